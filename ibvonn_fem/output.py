"""Fields for ParaView: displacement at the nodes, law quantities as cell averages.

Quadrature values have no place in a mesh file, so each is projected to piecewise constants (L2
projection, which is the volume average over the cell).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from dolfinx import fem, io

from .kernels.base import FloatArray
from .law import InternalVariableLaw


class FieldWriter:
    """Write the committed fields of a simulation, one frame per call of :meth:`write`.

    Fields: ``displacement`` and, for each law, ``NAME_stress``, ``NAME_energy``,
    ``NAME_dissipated``, ``NAME_validity`` and each internal variable (mean over the law points).

    Args:
        path: ``….xdmf`` (XDMF with HDF5) or ``….pvd`` (VTK).
        law: The law or laws.
        u: Displacement.

    Raises:
        ValueError: If the ending of ``path`` is none of the above.
        OSError: By :meth:`write`, if a frame cannot be written, on all ranks. The analysis goes on;
            the file does not: HDF5 may crash when the process ends.

    Example:
        with FieldWriter("bar.xdmf", law, u) as fields:
            stepping.run(times, callback=lambda step: fields.write(step.time))
    """

    def __init__(
        self, path: str | Path, law: InternalVariableLaw | Sequence[InternalVariableLaw], u: Any
    ) -> None:
        path = self._path = Path(path)
        self._laws = (law,) if isinstance(law, InternalVariableLaw) else tuple(law)
        self._u = u
        mesh = u.function_space.mesh
        self._constants = fem.functionspace(mesh, ("DG", 0))
        vertices = fem.functionspace(mesh, ("Lagrange", 1, u.function_space.value_shape))
        self._nodal = fem.Function(vertices, name="displacement")
        self._cells: dict[str, Any] = {}
        self._with_mesh = path.suffix == ".xdmf"
        if path.suffix == ".xdmf":
            self._file: Any = io.XDMFFile(mesh.comm, str(path), "w")
            self._file.write_mesh(mesh)
        elif path.suffix == ".pvd":
            self._file = io.VTKFile(mesh.comm, str(path), "w")
        else:
            raise ValueError(
                f"FieldWriter: {path.name} must end in .xdmf or .pvd; found '{path.suffix}'."
            )

    def __enter__(self) -> FieldWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def write(self, time: float) -> None:
        """Append the current fields as the frame of instant ``time``. Collective."""
        self._nodal.interpolate(self._u)
        for law in self._laws:
            self._average(law)
        try:
            self._append(time)
        except RuntimeError as error:
            found = str(error)
        else:
            found = ""
        messages = [each for each in self._u.function_space.mesh.comm.allgather(found) if each]
        if messages:
            raise OSError(
                f"{self._path}: the frame of time {time:.6g} could not be written ({messages[0]}). "
                "Make room on the disk and write into a new file."
            )

    def _append(self, time: float) -> None:
        functions = [self._nodal, *self._cells.values()]
        if self._with_mesh:
            for function in functions:
                self._file.write_function(function, time)
        else:
            self._file.write_function(functions, time)

    def _average(self, law: InternalVariableLaw) -> None:
        points = law.points
        names = law.model.manifest.internal_components
        internal = law.kinematics.mean(law.internal)
        fields: list[tuple[str, FloatArray]] = [
            *_components("stress", points.rows(law.stress).get()),
            *((name, internal[:, i]) for i, name in enumerate(names)),
            ("energy", points.rows(law.energy).get()),
            ("dissipated", law.dissipated),
            ("validity", points.rows(law.validity).get()),
        ]
        rows = self._constants.dofmap.list[points.cells].reshape(-1)
        for field, values in fields:
            name = f"{law.name}_{field}"
            if name not in self._cells:
                self._cells[name] = fem.Function(self._constants, name=name)
            function = self._cells[name]
            function.x.array[rows] = points.cell_average(values, law.volumes)[:, 0]
            function.x.scatter_forward()


def _components(name: str, values: FloatArray) -> list[tuple[str, FloatArray]]:
    """One scalar field per component: any number of components is then a valid file."""
    if values.shape[1] == 1:
        return [(name, values)]
    return [(f"{name}_{i}", np.ascontiguousarray(values[:, i])) for i in range(values.shape[1])]
