"""Checkpoint and restart: going on equals not having stopped; what does not fit is refused."""

from mpi4py import MPI

import h5py
import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    Uniaxial,
    read_checkpoint,
    write_checkpoint,
)
from ibvonn_fem.errors import CheckpointError

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

WORLD = MPI.COMM_WORLD
TIMES = np.linspace(0.0, 1.0, 9)


@pytest.fixture
def folder(tmp_path):
    """The same folder on all ranks."""
    return WORLD.bcast(tmp_path)


def pulled(model, bar, **options):
    """A bar with uneven strain and a loading that changes all the time."""
    body = bar(model, cells=12, comm=WORLD, **{"body_force": 0.1, **options})
    return body, TimeStepping(
        body.problem, lambda t: setattr(body.elongation, "value", 0.4 + 0.3 * np.sin(4.0 * t))
    )


def record(body, steps):
    """Everything that a user sees."""
    rows = [
        [s.time, s.dt, s.iterations, s.balance.external_work, s.balance.numerical] for s in steps
    ]
    return [
        np.array(rows),
        body.u.x.array.copy(),
        body.law.internal.copy(),
        body.law.dissipated.copy(),
        body.stress.copy(),
        body.problem.reaction(body.right),
    ]


@pytest.mark.parametrize("fails_beyond", [np.inf, 0.05], ids=["whole steps", "cut steps"])
def test_going_on_equals_not_having_stopped(zener, bar, folder, fails_beyond):
    model = zener(quartic=2.0, fails_beyond=fails_beyond)
    if np.isfinite(fails_beyond):
        start = 0.4 * 0.05

        def loads(body):
            return lambda t: setattr(body.elongation, "value", start + 0.3 * np.sin(4.0 * t))
    else:

        def loads(body):
            return lambda t: setattr(body.elongation, "value", 0.4 + 0.3 * np.sin(4.0 * t))

    body = bar(model, cells=12, body_force=0.02, comm=WORLD)
    whole = TimeStepping(body.problem, loads(body))
    first = whole.run(TIMES[:5])
    expected = record(body, [*first, *whole.run(TIMES[4:], elastic=False)])

    body = bar(model, cells=12, body_force=0.02, comm=WORLD)
    stopped = TimeStepping(body.problem, loads(body))
    steps = stopped.run(TIMES[:5])
    write_checkpoint(folder / "bar.h5", stopped, TIMES[4])

    body = bar(model, cells=12, body_force=0.02, comm=WORLD)
    resumed = TimeStepping(body.problem, loads(body))
    time = read_checkpoint(folder / "bar.h5", resumed)
    assert time == TIMES[4]
    steps += resumed.run([time, *TIMES[5:]], elastic=False)
    for found, wanted in zip(record(body, steps), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-15)


def test_the_state_that_is_read_is_the_one_that_was_written(zener, bar, folder):
    body, stepping = pulled(zener(quartic=2.0), bar)
    stepping.run(TIMES)
    write_checkpoint(folder / "bar.h5", stepping, 1.0)
    before = record(body, [])
    other, fresh = pulled(zener(quartic=2.0), bar)
    assert not np.array_equal(other.u.x.array, body.u.x.array)
    read_checkpoint(folder / "bar.h5", fresh)
    for found, wanted in zip(record(other, []), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_drag_goes_on_too(zener, folder):
    def chain():
        bar = mesh.create_interval(WORLD, 6, [0.0, 1.0])
        V = fem.functionspace(bar, ("Lagrange", 1))
        u = fem.Function(V)
        end = fem.Constant(bar, 0.0)
        bcs = [
            fem.dirichletbc(
                g, fem.locate_dofs_geometrical(V, lambda x, a=a: np.isclose(x[0], a)), V
            )
            for g, a in ((fem.Constant(bar, 0.0), 0.0), (end, 1.0))
        ]
        law = InternalVariableLaw(zener(), Uniaxial(), u, 0)
        problem = InternalVariableProblem(law, u, bcs, drag=0.3)
        return TimeStepping(problem, lambda t: setattr(end, "value", 0.3 * t)), bcs[1]

    whole, grip = chain()
    whole.run(TIMES)
    part, _ = chain()
    part.run(TIMES[:4])
    write_checkpoint(folder / "chain.h5", part, TIMES[3])
    resumed, other_grip = chain()
    read_checkpoint(folder / "chain.h5", resumed)
    np.testing.assert_array_equal(
        resumed.problem.reaction(other_grip), part.problem.reaction(part.problem.bcs[1])
    )
    resumed.run(TIMES[3:], elastic=False)
    np.testing.assert_allclose(
        resumed.problem.reaction(other_grip), whole.problem.reaction(grip), rtol=1e-12
    )


@pytest.fixture
def written(zener, bar, folder):
    _, stepping = pulled(zener(), bar)
    stepping.run(TIMES[:3])
    write_checkpoint(folder / "bar.h5", stepping, TIMES[2])
    return folder / "bar.h5"


def test_another_mesh_is_refused_and_changes_nothing(zener, bar, written):
    body = bar(zener(), cells=13, comm=WORLD)
    with pytest.raises(CheckpointError, match=r"another mesh\. Set the problem up"):
        read_checkpoint(written, TimeStepping(body.problem))
    assert not body.u.x.array.any()


def test_another_law_is_refused(zener_at, bar, written):
    body = bar(zener_at(0.1, 0.05), cells=12, body_force=0.1, comm=WORLD)
    with pytest.raises(CheckpointError, match=r"another law \(number 1\)"):
        read_checkpoint(written, TimeStepping(body.problem))


def test_another_element_is_refused(zener, bar, written):
    body = bar(zener(), cells=12, order=1, comm=WORLD)
    with pytest.raises(CheckpointError, match="another element"):
        read_checkpoint(written, TimeStepping(body.problem))


def test_another_number_of_ranks_is_refused(zener, bar, written):
    if WORLD.rank == 0:
        with h5py.File(written, "r+") as file:
            file.attrs["ranks"] = WORLD.size + 1
    WORLD.barrier()
    _, stepping = pulled(zener(), bar)
    with pytest.raises(
        CheckpointError, match=f"written on {WORLD.size + 1} ranks .* found {WORLD.size}"
    ):
        read_checkpoint(written, stepping)


def test_what_is_no_checkpoint_is_refused_on_all_ranks(zener, bar, written):
    _, stepping = pulled(zener(), bar)
    if WORLD.rank == 0:
        written.write_bytes(written.read_bytes()[:1000])
    WORLD.barrier()
    with pytest.raises(CheckpointError, match="not a complete checkpoint"):
        read_checkpoint(written, stepping)
    with pytest.raises(CheckpointError, match="not a complete checkpoint"):
        read_checkpoint(written.with_name("nothing.h5"), stepping)


def test_an_interrupted_write_leaves_the_old_file_whole(zener, bar, written, monkeypatch):
    _, stepping = pulled(zener(), bar)
    before = written.read_bytes()

    def full(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(OSError, match=r"cannot write the checkpoint \(no space"):
        write_checkpoint(written, stepping, 0.0)
    assert written.read_bytes() == before
    assert list(written.parent.glob("*.part")) == []
