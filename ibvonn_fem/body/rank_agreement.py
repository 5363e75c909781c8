"""Errors and arguments of one rank are compared on all ranks, so that no rank waits for another."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mpi4py import MPI

import numpy as np

_ERRORS: tuple[type[Exception], ...] = (TypeError, ValueError, IndexError, ArithmeticError)


@contextmanager
def on_all_ranks(comm: MPI.Intracomm) -> Iterator[None]:
    """Raise on every rank what the block raises on one of them. Collective.

    The block itself must not communicate: it may stop early on some ranks.
    """
    error: Exception | None = None
    try:
        yield
    except _ERRORS as raised:
        error = raised
    # Not the exception itself: some cannot be sent.
    own_errors = [(kind, str(error)) for kind in _ERRORS if isinstance(error, kind)][:1]
    errors = comm.allgather(own_errors)
    if error is not None:
        raise error
    for rank, of_rank in enumerate(errors):
        for kind, message in of_rank:
            raise kind(f"{message} (on rank {rank})")


def require_same(comm: MPI.Intracomm, context: str, values: Mapping[str, Any]) -> None:
    """Raise on every rank unless all ranks were given the same values. Collective.

    Args:
        comm: Communicator of the ranks.
        context: Beginning of the message: what needs the values.
        values: Values by the words that name them in the message.

    Raises:
        ValueError: If they differ.
    """
    if comm.size == 1:
        return
    contents = {name: content(value) for name, value in values.items()}
    digest = zlib.crc32(repr(contents).encode())
    ends = np.array([digest, -digest], dtype=np.int64)
    comm.Allreduce(MPI.IN_PLACE, ends, op=MPI.MAX)
    if ends[0] == -ends[1]:
        return
    first, *others = comm.allgather(contents)
    for rank, other in enumerate(others, 1):
        for name in {**first, **other}:
            here, there = first.get(name, "nothing"), other.get(name, "nothing")
            if here != there:
                raise ValueError(
                    f"{context}: {name} must be the same on all ranks; found {here} on rank 0 and "
                    f"{there} on rank {rank}. Set it on every rank."
                )


def content(value: Any) -> str:
    """A value as text, all numbers of an array included, for messages and comparisons."""
    return repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
