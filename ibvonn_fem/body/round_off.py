"""Size of a residual that consists of the rounding errors of the laws alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI

import numpy as np

from .law import InternalVariableLaw


def range_norm(laws: Sequence[InternalVariableLaw], space: Any) -> float:
    """Norm of a displacement that strains cells by the range of the laws: √N h max |ε|.

    Networks evaluate stresses with the round-off of that range, however small the strain is: a body
    at rest under no load would otherwise have to balance 1e-17 to ten digits.
    """
    domain, dofmap = space.mesh, space.dofmap
    dim = domain.topology.dim
    cells = np.arange(domain.topology.index_map(dim).size_local, dtype=np.int32)
    sizes = domain.comm.allreduce(float(domain.h(dim, cells).sum()), op=MPI.SUM)
    length: float = sizes / domain.topology.index_map(dim).size_global
    strain = max(float(np.abs(law.model.manifest.envelope.strain).max()) for law in laws)
    return float(np.sqrt(dofmap.index_map.size_global * dofmap.index_map_bs)) * length * strain
