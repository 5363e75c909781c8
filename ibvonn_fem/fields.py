"""Fields for ParaView: displacement at the nodes, law quantities as cell averages.

Mesh files cannot hold quadrature values, so each is projected to piecewise constants (L2
projection, which is the volume average over the cell).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need

import numpy as np
from dolfinx import fem, io

from . import _compat
from .body.frame_file import FrameFile
from .body.law import InternalVariableLaw
from .body.stress_errors import StressErrors
from .kernels.base import FloatArray


class FieldWriter(FrameFile):
    """Write the committed fields of a simulation, one frame per call of :meth:`write`.

    Fields: ``displacement`` and, for each law, ``NAME_stress``, ``NAME_energy``,
    ``NAME_dissipated``, ``NAME_validity`` and each internal variable (mean over the directions).
    In these names every character but letters, digits, ``.``, ``-`` and ``_`` becomes ``_``.

    An XDMF file is complete after every frame: what was written stays readable if the program ends
    in the middle of the analysis. A PVD file lists its frames when it is closed.

    Args:
        path: ``….xdmf`` (XDMF with HDF5; straight cells and those of second order) or ``….pvd``
            (VTK).
        law: The law or laws.
        u: Displacement.
        errors: Estimates of stress errors, of some of the laws.

    Raises:
        ValueError: If the ending of ``path`` is none of the above, the geometry does not fit into
            the format, two laws have one name, a law is on another mesh than u, or errors are
            those of no law here.
        OSError: On all ranks, if the file or, by :meth:`write`, a frame cannot be written. The
            analysis goes on; the file does not: HDF5 may crash when the process ends.

    Example:
        with FieldWriter("bar.xdmf", law, u) as fields:
            stepping.run(times, callback=lambda step: fields.write(step.time))
    """

    def __init__(
        self,
        path: str | Path,
        law: InternalVariableLaw | Sequence[InternalVariableLaw],
        u: Any,
        *,
        errors: StressErrors | Sequence[StressErrors] = (),
    ) -> None:
        super().__init__(Path(path))
        self._laws = (law,) if isinstance(law, InternalVariableLaw) else tuple(law)
        self._errors = (errors,) if isinstance(errors, StressErrors) else tuple(errors)
        self._u = u
        self._mesh = mesh = u.function_space.mesh
        self._with_mesh = self._path.suffix == ".xdmf"
        self._check()
        shape, order = u.function_space.value_shape, _compat.geometry_order(mesh.geometry)
        # Both formats take values at the nodes of the geometry, XDMF no others.
        self._nodal = fem.Function(fem.functionspace(mesh, ("Lagrange", order, shape)))
        self._nodal.name = "displacement"
        self._constants = fem.functionspace(mesh, ("DG", 0))
        self._cells: dict[str, Any] = {}
        self._file: Any = None  # of VTK; that of XDMF is opened for each frame
        self._do(self._begin, "it cannot be begun")

    def _check(self) -> None:
        if self._path.suffix not in (".xdmf", ".pvd"):
            raise ValueError(
                f"FieldWriter: {self._path.name} must end in .xdmf or .pvd; "
                f"found '{self._path.suffix}'."
            )
        order = _compat.geometry_order(self._mesh.geometry)
        if self._with_mesh and order > 2:
            raise ValueError(
                f"FieldWriter: {self._path.name} must end in .pvd, because XDMF knows cells up to "
                f"second order; found a geometry of order {order}."
            )
        names = Counter(_plain(law.name) for law in self._laws)
        for name, count in names.items():
            if count > 1:
                raise ValueError(
                    f"FieldWriter: laws must have different names, which name their fields; found "
                    f"{name!r} {count} times. Make the laws with name=."
                )
        for estimate in self._errors:
            if not any(estimate.law is law for law in self._laws):
                raise ValueError(
                    f"FieldWriter: errors must be those of its laws; found errors of "
                    f"{estimate.law.name!r}. Make StressErrors with a law that is written."
                )
        for law in self._laws:
            if law.points.mesh._cpp_object is not self._mesh._cpp_object:
                raise ValueError(
                    f"FieldWriter: all laws must be on the mesh of u; the law {law.name!r} is on "
                    "another one. Write it with a FieldWriter of its own."
                )

    def close(self) -> None:
        """Finish the file; it takes no more frames."""
        if self._file is not None and not self._closed:
            self._file.close()
        super().close()

    def _write_frame(self, time: float, instant: float, failure: str) -> None:
        self._nodal.interpolate(self._u)
        for law in self._laws:
            self._average(law, time)
        self._do(lambda: self._append(instant), failure)

    def _do(self, action: Callable[[], None], failure: str) -> None:
        """Run an action on the file; an error on any rank is raised on all."""
        reason = ""
        try:
            action()
        except RuntimeError as error:
            reason = str(error) or "no reason given"
        reasons = self._mesh.comm.allgather(reason)
        self._refuse(failure, next((text for text in reasons if text), ""))

    def _begin(self) -> None:
        comm = self._mesh.comm
        if not comm.bcast(self._path.parent.is_dir()):
            raise RuntimeError(f"there is no folder {self._path.parent}")
        if self._with_mesh:
            with io.XDMFFile(comm, str(self._path), "w") as file:
                file.write_mesh(self._mesh)
        else:
            self._file = io.VTKFile(comm, str(self._path), "w")

    def _append(self, time: float) -> None:
        functions = [self._nodal, *self._cells.values()]
        if self._with_mesh:
            with io.XDMFFile(self._mesh.comm, str(self._path), "a") as file:
                for function in functions:
                    file.write_function(function, time)
        else:
            self._file.write_function(functions, time)

    def _average(self, law: InternalVariableLaw, time: float) -> None:
        points = law.points
        internal = law.kinematics.mean(law.internal)
        names = law.model.manifest.internal_components
        fields = dict(
            [
                *_components("stress", points.rows(law.stress).get()),
                ("energy", points.rows(law.energy).get()),
                ("dissipated", law.dissipated),
                ("validity", points.rows(law.validity).get()),
            ]
        )
        for i, name in enumerate(names):
            fields[f"internal_{name}" if name in fields else name] = internal[:, i]
        for estimate in self._errors:
            if estimate.law is law:
                names_of_errors = ("stress_error", "stress_error_deviation")
                for name, values in zip(names_of_errors, estimate.at(time), strict=True):
                    fields[name] = np.linalg.norm(values, axis=1)
        rows = self._constants.dofmap.list[points.cells].reshape(-1)
        for field, values in fields.items():
            name = _plain(f"{law.name}_{field}")
            if name not in self._cells:
                self._cells[name] = fem.Function(self._constants, name=name)
            function = self._cells[name]
            function.x.array[rows] = points.cell_average(values, law.volumes)[:, 0]
            function.x.scatter_forward()


def _plain(name: str) -> str:
    """A name that HDF5, XML and ParaView take as one word."""
    return re.sub(r"[^\w.-]", "_", name)


def _components(name: str, values: FloatArray) -> list[tuple[str, FloatArray]]:
    """One scalar field per component: any number of components is then a valid file."""
    if values.shape[1] == 1:
        return [(name, values)]
    return [(f"{name}_{i}", np.ascontiguousarray(values[:, i])) for i in range(values.shape[1])]
