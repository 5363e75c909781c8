"""Compiled Langevin dynamics of periodic lattices: lattice.c."""

from __future__ import annotations

import math

import numpy as np
import torch

from .compiled_replicas import CompiledReplicas, Steps, aligned
from .compiler import lattice_library
from .plan import Plan
from .protocols import FloatArray
from .systems.periodic_lattice import PeriodicLattice

MOST_DIRECTIONS = 8
"""As in lattice.c."""


class CompiledLattices(CompiledReplicas):
    """Replicas of a periodic cell of a lattice.

    Args:
        plan: What to simulate.
        case: Index of the protocol.
        generator: Source of the start.
    """

    def __init__(self, plan: Plan, case: int, generator: torch.Generator) -> None:
        ffi, library = lattice_library()
        super().__init__(plan, case, generator, ffi, int(library.lattice_lanes()))
        system = plan.system
        assert isinstance(system, PeriodicLattice)  # noqa: S101 (the only one that comes here)
        self._system, geometry = system, system.lattice
        if geometry.dimension not in (2, 3) or len(geometry.bonds) > MOST_DIRECTIONS:
            raise ValueError(
                f"simulate: the compiled engine runs lattices of 2 or 3 dimensions and up to "
                f"{MOST_DIRECTIONS} directions; found {len(geometry.bonds)} directions in "
                f"{geometry.dimension} dimensions. Use engine='torch'."
            )
        self._advance = getattr(library, f"lattice_advance_{self._real}")
        self._far = geometry.neighbours(system.cells).astype(np.int32)
        self._struct = ffi.new("struct lattice *")
        for name, value in (
            ("dimension", geometry.dimension),
            ("directions", len(geometry.bonds)),
            ("nodes", system.nodes),
            ("series", int(system.series)),
            ("true_lengths", int(system.true_lengths)),
            ("stiffness", system.stiffness),
            ("well_stiffness", system.curvature),
            ("well", system.well_distance),
            ("crossing", system.crossing),
        ):
            setattr(self._struct, name, value)
        for number, component in enumerate(geometry.directions.ravel()):
            self._struct.vectors[number] = component
        for number, length in enumerate(geometry.lengths):
            self._struct.lengths[number] = length
        self._kept = aligned(self._positions.shape, np.float32)
        self._fresh = True
        library.lattice_seed(plan.stream(case), self.blocks, self._pointer(self._state, "uint32_t"))

    def begin(self) -> None:
        """Begin a stage: its first step draws noise that no step before it has used."""
        self._fresh = True

    def _take(self, steps: Steps) -> None:
        struct, inner = self._struct, self._system.inner_friction
        variance = 2.0 * self.thermal_energy * steps.time_step
        struct.drift, struct.drift_inner = steps.time_step / self.friction, steps.time_step / inner
        struct.amplitude = steps.noise_factor * math.sqrt(variance / self.friction)
        struct.amplitude_inner = steps.noise_factor * math.sqrt(variance / inner)
        means = np.ascontiguousarray(self._means(steps.control))
        refused = self._advance(
            self._pointer(self._positions, self._real),
            self.blocks,
            struct,
            self._pointer(self._far, "int32_t"),
            self._pointer(means, "double"),
            int(steps.record is None),
            steps.count,
            self._pointer(self._state, "uint32_t"),
            self._pointer(self._kept, "float"),
            int(self._fresh),
            steps.stride,
            self.replicas,
            self._recorded(steps),
        )
        if refused:
            raise MemoryError(
                f"simulate: no memory is left for the forces on {self._system.nodes} nodes."
            )
        self._fresh = False

    def _means(self, control: FloatArray) -> FloatArray:
        """Return e_a of every step, or the bond vectors of the affine motion with true lengths."""
        if not self._system.true_lengths:
            return np.asarray(control @ self._system.lattice.strain_basis.T)
        bonds: FloatArray = self._system.affine_bonds(torch.from_numpy(control)).numpy()
        return bonds
