"""Checkpoints: the committed state of a simulation in one file.

The file (HDF5) holds, rank by rank, what the next step starts from: displacement, forces and the
state at every point, and where these values lie, so that another number of ranks finds them. A run
that goes on from it equals a run without a stop. The file is written under another name and then
moved, so an interrupted write leaves the previous file whole.

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
from ..body.problem import InternalVariableProblem
from ..errors import CheckpointError
from ..files.plain_files import replacing
from ..kernels.base import FloatArray
from ..model.fingerprint import digest
from .redistribution import Redistribution, law_digest, places, read_arrays, require_own, setup
from .time_stepping import TimeStepping

FORMAT = 3
"""Format of the file, in its attribute ``ibvonn_checkpoint``."""

OLDER = 2
"""A format that is read, too, on as many ranks as wrote it: it does not say where values lie."""


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
    where = {f"places/{name}": values for name, values in places(problem).items()}
    part = _state(problem) | where, _fingerprints(problem)
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
        failure = comm.bcast(_write(path, scalars, setup(problem), _collect(comm, part)))
    if failure is not None:
        raise OSError(f"{path}: cannot write the checkpoint ({failure}).")


def read_checkpoint(path: str | Path, stepping: TimeStepping) -> float:
    """Set a problem to a state that was written before. Collective.

    Args:
        path: A file of :func:`write_checkpoint`, readable on every rank.
        stepping: A stepping whose problem was set up as the one that was written: the same mesh,
            on any number of ranks, and the same laws. The kernel of a law may differ. On other
            ranks dofs must be values at points, as those of Lagrange elements are.

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
    redistribution = Redistribution(problem, _state(problem))
    try:
        with h5py.File(path, "r") as file:
            scalars = {name: float(value) for name, value in file.attrs.items()}
            arrays = _arrays(file, scalars, stepping, redistribution)
            message = ""
    except CheckpointError as error:
        message = str(error)
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
    path: Path,
    scalars: Mapping[str, float],
    checksums: Mapping[str, str],
    parts: Iterator[tuple[int, Any]],
) -> Exception | None:
    """Write all parts; receive every part even after a failure, so that no rank waits."""
    # HDF5 itself may crash where a disk is full: it writes to memory, and Python to the disk.
    memory = io.BytesIO()
    try:
        with h5py.File(memory, "w") as file:
            file.attrs.update(scalars)
            file.create_group("setup").attrs.update(checksums)
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


def _arrays(
    file: Any,
    scalars: Mapping[str, float],
    stepping: TimeStepping,
    redistribution: Redistribution,
) -> dict[str, FloatArray]:
    """The values of this rank, from its own part if it was written by the same cells.

    Raises:
        CheckpointError: If the file does not fit the stepping and its problem.
    """
    problem = stepping.problem
    if scalars.get("ibvonn_checkpoint") not in (FORMAT, OLDER):
        raise CheckpointError(
            f"must be a checkpoint of format {FORMAT} or {OLDER}; found "
            f"{scalars.get('ibvonn_checkpoint', 'none')}. Give a file of write_checkpoint"
        )
    _require_scalars(scalars, stepping)
    ranks, size = int(scalars["ranks"]), problem.comm.size
    if ranks != size:
        return redistribution.read(file, ranks)
    part = f"rank_{problem.comm.rank}"
    require_own(file, [part])
    different = _difference(dict(file[part].attrs), problem)
    if not different:
        required = {name: values.shape for name, values in _state(problem).items()}
        arrays = read_arrays(file[part])
        own = {name: values for name, values in arrays.items() if not name.startswith("places/")}
        _require_contents(required, {name: values.shape for name, values in own.items()})
        return own
    if scalars["ibvonn_checkpoint"] == OLDER:
        raise CheckpointError(f"was written with {different}. Set the problem up as it was then")
    return redistribution.read(file, ranks)


def _difference(attributes: dict[str, Any], problem: InternalVariableProblem) -> str:
    """What the part of a rank was written with, where this problem differs; empty if nothing."""
    attributes.pop("values", None)
    for part, checksum in _fingerprints(problem).items():
        if attributes.pop(part, None) != checksum:
            return f"another {part}"
    return f"{', '.join(attributes)} too" if attributes else ""


def _require_contents(
    required: Mapping[str, tuple[int, ...]], contents: Mapping[str, tuple[int, ...]]
) -> None:
    _require_none(sorted({name for name, _ in required.items() ^ contents.items()}))


def _require_scalars(scalars: Mapping[str, float], stepping: TimeStepping) -> None:
    # Whether the steps are audited may change: an audit begins anew where there was none.
    required = {"time", *stepping.problem.committed_scalars(), "longest", "successes"}
    _require_none(sorted(required - set(scalars)))


def _require_none(names: list[str]) -> None:
    if names:
        raise CheckpointError(
            f"was written with other contents than this problem has ({', '.join(names)} on one "
            "side only, or of another size). Set the problem up as it was then"
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
        prints[f"law (number {i + 1})"] = law_digest(law)
    prints["drag"] = digest(np.zeros(0) if problem.drag is None else problem.drag.diagonal)
    return prints
