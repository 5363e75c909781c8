"""The values at the quadrature points themselves: as arrays, and as a file for ParaView.

    cloud = point_cloud(law)          # on rank 0: numbers, positions, volumes and fields
    with PointCloudWriter("plate.vtkhdf", law) as points:
        stepping.run(times, callback=lambda step: points.write(step.time))

Nothing is projected or averaged. The file is VTKHDF (version 2.0 of the format, for ParaView 5.12,
VTK 9.3 or newer): an unstructured grid with a vertex for each point, written by h5py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need

import h5py
import numpy as np
import ufl
from numpy.typing import NDArray

from ..body.frame_file import FrameFile
from ..body.law import InternalVariableLaw
from ..body.rank_agreement import require_same
from ..kernels.base import FloatArray

ENDING = ".vtkhdf"

_VERTEX = 1  # VTK's number of a cell that is a point


@dataclass(frozen=True)
class PointCloud:
    """Values at the quadrature points of a law on all ranks, ordered by the number of the point.

    Attributes:
        point: Numbers of the points, shape ``(n,)``: index of the cell in the mesh as it was given
            × points in a cell + place in the cell. They do not depend on the number of ranks.
        position: Positions in the undeformed body, shape ``(n, dimensions)`` [length].
        volume: Quadrature weight × volume element × thickness or area, shape ``(n,)``:
            ``volume @ values`` is the integral over the body.
        fields: Name → committed values, shape ``(n, components)``: ``displacement``, ``strain``
            (the measure of the kinematics), ``stress``, ``energy``, ``dissipated``, ``validity``,
            and each internal variable with a component for every integration direction.
    """

    point: NDArray[np.int64]
    position: FloatArray
    volume: FloatArray
    fields: Mapping[str, FloatArray]


def point_cloud(law: InternalVariableLaw) -> PointCloud | None:
    """The committed values of a law at all its points, gathered on rank 0. Collective.

    Args:
        law: The law.

    Returns:
        The values on rank 0, which holds all of them in memory; None on the other ranks.
    """
    return _Gatherer(law).gather()


class _Gatherer:
    """Collects the values of a law, whose expressions it compiles once."""

    def __init__(self, law: InternalVariableLaw) -> None:
        self._law = law
        points = law.points
        cells = np.asarray(points.mesh.topology.original_cell_index, dtype=np.int64)[points.cells]
        self._own = (cells[:, None] * points.per_cell + np.arange(points.per_cell)).reshape(-1)
        self._position = points.evaluator(ufl.SpatialCoordinate(points.mesh))
        self._displacement = points.evaluator(ufl.as_ufl(law.u))

    def gather(self) -> PointCloud | None:
        law = self._law
        arrays = {
            "point": self._own,
            "position": self._position(),
            "volume": law.volumes,
            **{f"fields/{name}": values for name, values in self._fields().items()},
        }
        parts = law.comm.gather(arrays)
        if parts is None:
            return None
        order = np.argsort(np.concatenate([part["point"] for part in parts]))
        whole = {name: np.concatenate([part[name] for part in parts])[order] for name in arrays}
        return PointCloud(
            np.asarray(whole["point"], dtype=np.int64),
            whole["position"],
            whole["volume"],
            {n.removeprefix("fields/"): v for n, v in whole.items() if n.startswith("fields/")},
        )

    def _fields(self) -> dict[str, FloatArray]:
        law = self._law
        committed = law.committed()
        fields = {
            "displacement": self._displacement(),
            "strain": law.measure,
            "stress": committed["stress"],
            "energy": committed["energy"],
            "dissipated": law.dissipated[:, np.newaxis],
            "validity": law.points.rows(law.validity).get(),
        }
        internal = law.internal
        for i, name in enumerate(law.model.manifest.internal_components):
            fields[f"internal_{name}" if name in fields else name] = internal[:, :, i]
        return fields


class PointCloudWriter(FrameFile):
    """Write the committed values at the quadrature points, one frame per call of :meth:`write`.

    The fields are those of :class:`PointCloud`, and ``volume`` and ``point``; vectors of the plane
    and of bars have zeros as their other components. Rank 0 gathers and writes them, so its memory
    must hold one frame. The file is complete after every frame. Points are ordered by their number:
    the file is the same on any number of ranks.

    Args:
        path: ``….vtkhdf``; an older file is replaced.
        law: The law. Give each law a file of its own.

    Raises:
        ValueError: If the ending of ``path`` is another, or the ranks were given different paths.
        TypeError: If ``law`` is no law.
        OSError: On all ranks, if the file or, by :meth:`write`, a frame cannot be written.
    """

    def __init__(self, path: str | Path, law: InternalVariableLaw) -> None:
        if not isinstance(law, InternalVariableLaw):
            raise TypeError(
                f"PointCloudWriter: law must be one InternalVariableLaw; found "
                f"{type(law).__name__}. Give each law a writer and a file of its own."
            )
        super().__init__(Path(path))
        require_same(law.comm, "PointCloudWriter", {"path": str(path)})
        if self._path.suffix != ENDING:
            raise ValueError(
                f"PointCloudWriter: {self._path.name} must end in {ENDING}; found "
                f"'{self._path.suffix}'."
            )
        self._law = law
        self._gatherer = _Gatherer(law)
        self._do("w", lambda file, cloud: _begin(file, cloud, law.name), "it cannot be begun")

    def _write_frame(self, time: float, instant: float, failure: str) -> None:  # noqa: ARG002
        self._do("r+", lambda file, cloud: _append(file, cloud, instant), failure)

    def _do(self, mode: str, action: Any, failure: str) -> None:
        """Run an action on the open file on rank 0; its error is raised on all ranks."""
        cloud = self._gatherer.gather()
        reason = ""
        if cloud is not None:
            try:
                with h5py.File(self._path, mode) as file:
                    action(file, cloud)
            except (OSError, RuntimeError, KeyError) as error:
                reason = str(error) or "no reason given"
        self._refuse(failure, self._law.comm.bcast(reason))


def _begin(file: Any, cloud: PointCloud, law: str) -> None:
    """Points and their cells, which all frames share, and a place for fields and instants."""
    count = len(cloud.point)
    root = file.create_group("VTKHDF", track_order=True)
    root.attrs["Version"] = np.array([2, 0], dtype=np.int64)
    kind = b"UnstructuredGrid"
    root.attrs.create("Type", kind, dtype=h5py.string_dtype("ascii", len(kind)))
    root.attrs["ibvonn_law"] = law
    for name in ("NumberOfPoints", "NumberOfCells", "NumberOfConnectivityIds"):
        root[name] = np.array([count], dtype=np.int64)
    root["Points"] = _in_space(cloud.position)
    root["Connectivity"] = np.arange(count, dtype=np.int64)
    root["Offsets"] = np.arange(count + 1, dtype=np.int64)
    root["Types"] = np.full(count, _VERTEX, dtype=np.uint8)
    steps = root.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(0)
    _growing(steps, "Values", (), np.float64)
    for name in ("PartOffsets", "NumberOfParts", "PointOffsets"):
        _growing(steps, name, (), np.int64)
    for name in ("CellOffsets", "ConnectivityIdOffsets"):
        _growing(steps, name, (1,), np.int64)
    data, offsets = root.create_group("PointData"), steps.create_group("PointDataOffsets")
    for name, values in _frame(cloud).items():
        _growing(data, name, values.shape[1:], values.dtype, max(count, 1))
        _growing(offsets, name, (), np.int64)


def _append(file: Any, cloud: PointCloud, time: float) -> None:
    root = file["VTKHDF"]
    steps, data = root["Steps"], root["PointData"]
    for name, values in _frame(cloud).items():
        _add(steps["PointDataOffsets"][name], np.array([len(data[name])]))
        _add(data[name], values)
    _add(steps["Values"], np.array([time]))
    _add(steps["NumberOfParts"], np.array([1]))
    for name in ("PartOffsets", "PointOffsets"):
        _add(steps[name], np.array([0]))
    for name in ("CellOffsets", "ConnectivityIdOffsets"):
        _add(steps[name], np.array([[0]]))
    # Readers take as many frames as this says: it comes last.
    steps.attrs["NSteps"] = np.int64(steps.attrs["NSteps"] + 1)


def _frame(cloud: PointCloud) -> dict[str, NDArray[Any]]:
    """The arrays of a frame, by names that HDF5, XML and ParaView take as one word."""
    frame: dict[str, NDArray[Any]] = {"point": cloud.point, "volume": cloud.volume}
    for name, values in cloud.fields.items():
        plain = re.sub(r"[^\w.-]", "_", name)
        array = _in_space(values) if name == "displacement" else values
        frame[plain] = array[:, 0] if array.shape[1] == 1 else array
    return frame


def _in_space(vectors: FloatArray) -> FloatArray:
    """Vectors of one, two or three components with three, the others being 0."""
    padded = np.zeros((len(vectors), 3))
    padded[:, : vectors.shape[1]] = vectors
    return padded


def _growing(group: Any, name: str, shape: tuple[int, ...], kind: Any, rows: int = 64) -> None:
    group.create_dataset(
        name, (0, *shape), kind, maxshape=(None, *shape), chunks=(min(rows, 65536), *shape)
    )


def _add(dataset: Any, values: NDArray[Any]) -> None:
    old = len(dataset)
    dataset.resize(old + len(values), axis=0)
    dataset[old:] = values
