"""Checkpoints: the committed state of a simulation in one file.

The file (HDF5) holds, rank by rank, what the next step starts from: displacement, forces and the
state at every point. A run that goes on from it equals a run without a stop. The file is
written under another name and then moved, so an interrupted write leaves the previous file whole.

    stepping.run(times[:50])
    write_checkpoint("bar.h5", stepping, times[49])
    …
    time = read_checkpoint("bar.h5", stepping)
    stepping.run([time, *times[50:]], elastic=False)
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .. import _compat
from ..body.law import InternalVariableLaw
from ..body.problem import InternalVariableProblem
from ..errors import CheckpointError
from ..files.plain_files import replacing
from ..kernels.base import FloatArray
from ..model.fingerprint import digest
from .time_stepping import TimeStepping

FORMAT = 2
"""Format of the file, in its attribute ``ibvonn_checkpoint``."""


def write_checkpoint(path: str | Path, stepping: TimeStepping, time: float) -> None:
    """Write the committed state. Collective.

    Args:
        path: File to write; an older one is replaced when the new one is complete.
        stepping: The stepping, with its problem.
        time: Current instant, which :func:`read_checkpoint` returns.

    Raises:
        OSError: On every rank, if the file cannot be written.
    """
    path = Path(path)
    problem = stepping.problem
    comm = problem.comm
    part = _state(problem), _fingerprints(problem)
    if comm.rank > 0:
        comm.send(part, dest=0)
        failure: Exception | None = comm.bcast(None)
    else:
        scalars = {
            "ibvonn_checkpoint": FORMAT,
            "ranks": comm.size,
            "time": time,
            **_scalars(stepping),
        }
        failure = comm.bcast(_write(path, scalars, _collect(comm, part)))
    if failure is not None:
        raise OSError(f"{path}: cannot write the checkpoint ({failure}).")


def read_checkpoint(path: str | Path, stepping: TimeStepping) -> float:
    """Set a problem to a state that was written before. Collective.

    Args:
        path: A file of :func:`write_checkpoint`, readable on every rank.
        stepping: A stepping whose problem was set up as the one that was written: the same mesh
            on the same number of ranks, the same laws. The kernel of a law may differ.

    Returns:
        The instant of the state. Go on with ``run([time, …], elastic=False)``.

    Raises:
        CheckpointError: On every rank, if the file is no checkpoint or does not fit; the problem
            is then as before.
    """
    path = Path(path)
    problem = stepping.problem
    arrays: dict[str, FloatArray] = {}
    scalars: dict[str, float] = {}
    try:
        with h5py.File(path, "r") as file:
            scalars = {name: float(value) for name, value in file.attrs.items()}
            message = _misfit(file, scalars, stepping)
            if not message:
                group = file[f"rank_{problem.comm.rank}"]
                arrays = {name: group[name][()] for name in _state(problem)}
                if group.attrs["values"] != digest(arrays):
                    raise ValueError("its values are not those that were written")
    except (OSError, KeyError, TypeError, ValueError) as error:
        message = f"is not a complete checkpoint ({error}). Start from another file"
    messages = [text for text in problem.comm.allgather(message) if text]
    if messages:
        raise CheckpointError(f"{path}: {messages[0]}.")
    _set_state(problem, arrays)
    problem.set_committed_scalars(scalars)
    stepping.set_step_control(scalars)
    return scalars["time"]


def _state(problem: InternalVariableProblem) -> dict[str, FloatArray]:
    arrays = {f"problem/{name}": values for name, values in problem.committed().items()}
    for i, law in enumerate(problem.laws):
        arrays |= {f"law_{i}/{name}": values for name, values in law.committed().items()}
    return arrays


def _set_state(problem: InternalVariableProblem, arrays: Mapping[str, FloatArray]) -> None:
    def part(prefix: str) -> dict[str, FloatArray]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    for i, law in enumerate(problem.laws):
        law.set_committed(part(f"law_{i}/"))
    problem.set_committed(part("problem/"))


def _collect(comm: Any, part: Any) -> Iterator[tuple[int, Any]]:
    """The parts of all ranks, one after the other: rank 0 never holds more than one."""
    yield 0, part
    for rank in range(1, comm.size):
        yield rank, comm.recv(source=rank)


def _write(
    path: Path, scalars: Mapping[str, float], parts: Iterator[tuple[int, Any]]
) -> Exception | None:
    """Write all parts; receive every part even after a failure, so that no rank waits."""
    # HDF5 itself may crash where a disk is full: it writes to memory, and Python to the disk.
    memory = io.BytesIO()
    try:
        with h5py.File(memory, "w") as file:
            file.attrs.update(scalars)
            for rank, (arrays, fingerprints) in parts:
                group = file.create_group(f"rank_{rank}")
                group.attrs.update({**fingerprints, "values": digest(arrays)})
                for name, values in arrays.items():
                    group.create_dataset(name, data=values)
        with replacing(path) as stream:
            stream.write(memory.getbuffer())
    except OSError as error:
        for _ in parts:
            pass
        return error
    return None


def _scalars(stepping: TimeStepping) -> dict[str, float]:
    return {**stepping.problem.committed_scalars(), **stepping.step_control()}


def _misfit(file: Any, scalars: Mapping[str, float], stepping: TimeStepping) -> str:
    """Why a file does not fit a stepping and its problem; empty if it does."""
    problem = stepping.problem
    if scalars.get("ibvonn_checkpoint") != FORMAT:
        return (
            f"must be a checkpoint of format {FORMAT}; found "
            f"{scalars.get('ibvonn_checkpoint', 'none')}. Give a file of write_checkpoint"
        )
    ranks, size = int(scalars["ranks"]), problem.comm.size
    if ranks != size:
        return f"was written on {ranks} ranks and can only be read on as many; found {size}"
    rank = f"rank_{problem.comm.rank}"
    if not isinstance(file.get(rank, getlink=True), h5py.HardLink):
        return "must hold its values itself, not by a link. Give a file of write_checkpoint"
    fingerprints = dict(file[rank].attrs)
    fingerprints.pop("values", None)
    for what, checksum in _fingerprints(problem).items():
        if fingerprints.pop(what, None) != checksum:
            return f"was written with another {what}. Set the problem up as it was then"
    if fingerprints:
        return f"was written with {', '.join(fingerprints)} too. Set the problem up as it was then"
    return _missing(file[rank], scalars, stepping)


def _missing(group: Any, scalars: Mapping[str, float], stepping: TimeStepping) -> str:
    """Message on data that a group lacks or has too many; empty if there is none."""
    required = {name: values.shape for name, values in _state(stepping.problem).items()}
    shapes: dict[str, tuple[int, ...] | None] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            inside = item.external is None and not item.is_virtual
            shapes[name] = item.shape if inside else None

    group.visititems(note)
    names = sorted({name for name, _ in required.items() ^ shapes.items()})
    # Whether the steps are audited may change: an audit begins anew where there was none.
    names += sorted(
        {"time", *stepping.problem.committed_scalars(), "longest", "successes"} - set(scalars)
    )
    if not names:
        return ""
    return (
        f"was written with other contents than this problem has ({', '.join(names)} on one side "
        "only, or of another size). Set the problem up as it was then"
    )


def _fingerprints(problem: InternalVariableProblem) -> dict[str, str]:
    """Checksums of mesh, element, laws and drag on this rank, to which a state belongs."""
    space = problem.u.function_space
    geometry = space.mesh.geometry
    prints = {
        "mesh": digest(geometry.x, _compat.geometry_nodes(geometry)),
        "element": digest(space.dofmap.list),
    }
    for i, law in enumerate(problem.laws):
        prints[f"law (number {i + 1})"] = _lawdigest(law)
    prints["drag"] = digest(np.zeros(0) if problem.drag is None else problem.drag.diagonal)
    return prints


def _lawdigest(law: InternalVariableLaw) -> str:
    points = law.points
    return digest(
        law.model.fingerprint(),
        law.kinematics,
        points.cells,
        points.points,
        points.weights,
    )
