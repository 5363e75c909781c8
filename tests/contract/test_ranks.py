"""The run on several ranks is really one: guards every other test that is marked mpi."""

import os

import pytest

MPI = pytest.importorskip("mpi4py.MPI")

pytestmark = [pytest.mark.mpi, pytest.mark.fem]


def test_the_communicator_has_the_ranks_that_were_asked_for():
    """A launcher of another MPI starts unconnected copies, each of them the only rank."""
    assert MPI.COMM_WORLD.size == int(os.environ.get("IBVONN_RANKS", "1"))
