"""The values of a checkpoint on other ranks than those that wrote them.

A value is found by the cell on which it lies, which has the same index in the mesh as it was given
(``original_cell_index``) on any number of ranks: values at quadrature points by their place in the
cell, values at dofs by their position in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpi4py import MPI

import h5py
import numpy as np
from numpy.typing import NDArray

from .. import _compat
from ..body.law import InternalVariableLaw
from ..body.problem import InternalVariableProblem
from ..errors import CheckpointError
from ..kernels.base import FloatArray
from ..model.fingerprint import digest

SAME_PLACE = 1e-10
"""Distance, over the size of the mesh, up to which two places are the same."""

_REMEDY = "Set the problem up as it was then"


def places(problem: InternalVariableProblem) -> dict[str, NDArray[Any]]:
    """Where the values of this rank lie; empty where the mesh or the element does not say it.

    Returns:
        ``cell``: index of each owned cell in the mesh as it was given; ``corners``: nodes of its
        geometry, shape ``(cells, nodes, 3)``; ``dofs``: its dofs (blocks), shape ``(cells, k)``;
        ``x``: position of every dof of this rank, shape ``(dofs, 3)``; ``law_0`` …: the cells of
        each law; ``drag``: the diagonal of the drag.
    """
    space = problem.u.function_space
    owned = space.mesh.topology.index_map(space.mesh.topology.dim).size_local
    cell, x = _original_cells(space.mesh), _positions(space)
    if cell is None or x is None:
        return {}
    geometry = space.mesh.geometry
    arrays: dict[str, NDArray[Any]] = {
        "cell": cell[:owned],
        "corners": geometry.x[_compat.geometry_nodes(geometry)[:owned]],
        "dofs": np.asarray(space.dofmap.list[:owned], dtype=np.int64),
        "x": x,
        "drag": np.zeros(0) if problem.drag is None else problem.drag.diagonal,
    }
    for i, law in enumerate(problem.laws):
        arrays[f"law_{i}"] = cell[law.points.cells]
    return arrays


def setup(problem: InternalVariableProblem) -> dict[str, str]:
    """Checksums of what a checkpoint belongs to, the same on any number of ranks."""
    prints = {"element": digest(str(problem.u.function_space.ufl_element()))}
    for i, law in enumerate(problem.laws):
        points = law.points
        prints[f"law (number {i + 1})"] = digest(
            law.model.fingerprint(), law.kinematics, points.points, points.weights
        )
    return prints


class Redistribution:
    """Takes the values of a problem from the parts of all ranks that wrote them. Collective.

    Args:
        problem: The problem whose state is to be set.
        state: Its committed arrays by name, as :func:`.checkpoint.read_checkpoint` names them.
    """

    def __init__(self, problem: InternalVariableProblem, state: Mapping[str, FloatArray]) -> None:
        self._problem = problem
        self._state = state
        self._laws = [self._total(len(law.points.cells)) for law in problem.laws]
        mesh = problem.u.function_space.mesh
        self._cells = self._total(mesh.topology.index_map(mesh.topology.dim).size_local)
        low, high = (
            mesh.geometry.x.min(axis=0, initial=np.inf),
            mesh.geometry.x.max(axis=0, initial=-np.inf),
        )
        problem.comm.Allreduce(MPI.IN_PLACE, low, op=MPI.MIN)
        problem.comm.Allreduce(MPI.IN_PLACE, high, op=MPI.MAX)
        self._tolerance = SAME_PLACE * float(np.abs(high - low).max())

    def read(self, file: Any, ranks: int) -> dict[str, FloatArray]:
        """The values of this rank, from a file that ``ranks`` ranks wrote. Not collective.

        Raises:
            CheckpointError: If the file was written by another problem, or does not say where its
                values lie.
            ValueError: If a value is not that which was written.
        """
        problem = self._problem
        here = places(problem)
        parts = [f"rank_{rank}" for rank in range(ranks)]
        require_own(file, parts)
        if not here or any("places" not in file[part] for part in parts):
            raise CheckpointError(
                f"was written on {ranks} ranks and can only be read on as many, because mesh, "
                f"element or an older format do not say where its values lie; found "
                f"{problem.comm.size}"
            )
        self._check_setup(dict(file["setup"].attrs))
        space = problem.u.function_space
        geometry = space.mesh.geometry
        cells = np.asarray(space.mesh.topology.original_cell_index, dtype=np.int64)
        dofs = space.dofmap.list
        corners = geometry.x[_compat.geometry_nodes(geometry)]
        out = {name: np.full(values.shape, np.nan) for name, values in self._state.items()}
        known_dofs = np.zeros(len(here["x"]), dtype=bool)
        known_cells = [np.zeros(len(law.points.cells), dtype=bool) for law in problem.laws]
        counted = np.zeros(1 + len(problem.laws), dtype=np.int64)
        for part in parts:
            arrays = read_arrays(file[part])
            there: dict[str, Any] = {
                name.removeprefix("places/"): values
                for name, values in arrays.items()
                if name.startswith("places/")
            }
            self._same_contents(arrays)
            _, mine, theirs = np.intersect1d(cells, there["cell"], return_indices=True)
            counted += [
                len(there["cell"]),
                *(len(there[f"law_{i}"]) for i in range(len(known_cells))),
            ]
            if not _close(corners[mine], there["corners"][theirs], self._tolerance):
                raise CheckpointError(f"was written with another mesh. {_REMEDY}")
            own = dofs[mine]
            other = self._matched(
                here["x"][own], there["x"][there["dofs"][theirs]], there["dofs"][theirs]
            )
            self._check_drag(here["drag"], there["drag"], own, other)
            known_dofs[own.reshape(-1)] = True
            _copy_dofs(arrays, out, own.reshape(-1), other.reshape(-1), len(here["x"]))
            for i in range(len(known_cells)):
                known_cells[i] |= _copy_cells(
                    arrays, out, f"law_{i}/", here[f"law_{i}"], there[f"law_{i}"]
                )
        if counted[0] != self._cells or not known_dofs[: space.dofmap.index_map.size_local].all():
            raise CheckpointError(f"was written with another mesh. {_REMEDY}")
        for i, law in enumerate(problem.laws):
            if counted[1 + i] != self._laws[i] or not known_cells[i].all():
                raise CheckpointError(
                    f"was written with other cells of the law {law.name!r}. {_REMEDY}"
                )
        return out

    def _total(self, count: int) -> int:
        return int(self._problem.comm.allreduce(count, op=MPI.SUM))

    def _check_setup(self, written: dict[str, str]) -> None:
        for part, checksum in setup(self._problem).items():
            if written.pop(part, None) != checksum:
                raise CheckpointError(f"was written with another {part}. {_REMEDY}")
        if written:
            raise CheckpointError(f"was written with {', '.join(written)} too. {_REMEDY}")

    def _same_contents(self, arrays: Mapping[str, FloatArray]) -> None:
        names = {name for name in arrays if not name.startswith("places/")}
        different = sorted(names ^ set(self._state))
        if different:
            raise CheckpointError(
                f"was written with other contents than this problem has ({', '.join(different)} on "
                f"one side only). {_REMEDY}"
            )

    def _matched(
        self, here: FloatArray, there: FloatArray, dofs: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """For each dof of each cell, the written dof of that cell at its position."""
        if here.shape != there.shape:
            raise CheckpointError(f"was written with another element. {_REMEDY}")
        distance = np.linalg.norm(here[:, :, np.newaxis] - there[:, np.newaxis], axis=3)
        place = distance.argmin(axis=2)
        nearest = np.take_along_axis(distance, place[:, :, np.newaxis], axis=2)
        one_each = np.sort(place, axis=1) == np.arange(here.shape[1])
        if not (nearest <= self._tolerance).all() or not one_each.all():
            raise CheckpointError(f"was written with another element. {_REMEDY}")
        matched: NDArray[np.int64] = np.take_along_axis(dofs, place, axis=1)
        return matched

    def _check_drag(
        self,
        here: FloatArray,
        there: FloatArray,
        own: NDArray[np.int32],
        other: NDArray[np.int64],
    ) -> None:
        same = (here.size == 0) == (there.size == 0)
        if same and here.size:
            block = self._problem.u.function_space.dofmap.index_map_bs
            mine, theirs = here.reshape(-1, block)[own], there.reshape(-1, block)[other]
            same = bool(np.allclose(mine, theirs, rtol=1e-9, atol=1e-12 * np.abs(here).max()))
        if not same:
            raise CheckpointError(f"was written with another drag. {_REMEDY}")


def require_own(file: Any, parts: list[str]) -> None:
    """Raise unless a file holds its parts itself.

    Raises:
        CheckpointError: If a part is missing or a link.
    """
    for part in parts:
        if not isinstance(file.get(part, getlink=True), h5py.HardLink):
            raise CheckpointError(
                "must hold its values itself, not by a link. Give a file of write_checkpoint"
            )


def read_arrays(group: Any) -> dict[str, FloatArray]:
    """All arrays of the part of a rank, after a comparison with their checksum.

    Raises:
        CheckpointError: If an array stands in another file.
        ValueError: If a value is not that which was written.
    """
    arrays: dict[str, Any] = {}
    outside: list[str] = []

    def read(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.external is not None or item.is_virtual:
                outside.append(name)
            else:
                arrays[name] = item[()]

    group.visititems(read)
    if outside:
        raise CheckpointError(
            f"must hold its values itself; {outside[0]} stands in another file. Give a file of "
            "write_checkpoint"
        )
    if group.attrs["values"] != digest(arrays):
        raise ValueError("its values are not those that were written")
    return arrays


def _copy_dofs(
    arrays: Mapping[str, FloatArray],
    out: Mapping[str, FloatArray],
    own: NDArray[np.int32],
    other: NDArray[np.int64],
    count: int,
) -> None:
    for name, values in out.items():
        if name.startswith("problem/") and count:
            block = len(values) // count
            values.reshape(count, block)[own] = arrays[name].reshape(-1, block)[other]


def _copy_cells(
    arrays: Mapping[str, FloatArray],
    out: Mapping[str, FloatArray],
    prefix: str,
    cells: NDArray[np.int64],
    written: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Copy the values of cells on both sides; returns which cells of this rank they are."""
    _, mine, theirs = np.intersect1d(cells, written, return_indices=True)
    for name, values in out.items():
        if name.startswith(prefix) and len(mine):
            rows = values.reshape(len(cells), -1)
            rows[mine] = arrays[name].reshape(len(written), -1)[theirs]
    placed = np.zeros(len(cells), dtype=bool)
    placed[mine] = True
    return placed


def _close(here: FloatArray, there: FloatArray, tolerance: float) -> bool:
    return here.shape == there.shape and bool((np.abs(here - there) <= tolerance).all())


def _original_cells(mesh: Any) -> NDArray[np.int64] | None:
    """Index of every cell of this rank, ghosts included, in the mesh as it was given."""
    index_map = mesh.topology.index_map(mesh.topology.dim)
    original = np.asarray(mesh.topology.original_cell_index, dtype=np.int64)
    return original if len(original) == index_map.size_local + index_map.num_ghosts else None


def _positions(space: Any) -> FloatArray | None:
    """Position of every dof; None where dofs are no values at points, or several share one."""
    if space.num_sub_spaces and space.dofmap.index_map_bs == 1 and space.num_sub_spaces > 1:
        return None  # a mixed element
    try:
        x: FloatArray = space.tabulate_dof_coordinates()
    except RuntimeError:
        return None
    return x


def law_digest(law: InternalVariableLaw) -> str:
    """Checksum of a law and of its points on this rank."""
    points = law.points
    return digest(
        law.model.fingerprint(), law.kinematics, points.cells, points.points, points.weights
    )
