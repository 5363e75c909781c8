"""Checkpoint and restart: going on equals not having stopped; what does not fit is refused."""

from pathlib import Path

from mpi4py import MPI

import h5py
import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    Microsphere,
    PlaneStress,
    Scaled,
    TimeStepping,
    Uniaxial,
    load_model,
    read_checkpoint,
    write_checkpoint,
)
from ibvonn_fem.errors import CheckpointError
from ibvonn_fem.model.fingerprint import digest

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"
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
    for actual, expected_value in zip(record(body, steps), expected, strict=True):
        np.testing.assert_allclose(actual, expected_value, rtol=1e-13, atol=1e-15)


def test_the_state_that_is_read_is_the_one_that_was_written(zener, bar, folder):
    body, stepping = pulled(zener(quartic=2.0), bar)
    stepping.run(TIMES)
    write_checkpoint(folder / "bar.h5", stepping, 1.0)
    before = record(body, [])
    other, fresh = pulled(zener(quartic=2.0), bar)
    assert not np.array_equal(other.u.x.array, body.u.x.array)
    read_checkpoint(folder / "bar.h5", fresh)
    for actual, expected_value in zip(record(other, []), before, strict=True):
        np.testing.assert_array_equal(actual, expected_value)


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


def as_older(written):
    """The same checkpoint in format 2, which does not say where its values lie."""
    with h5py.File(written, "r+") as file:
        file.attrs["ibvonn_checkpoint"] = 2
        del file["setup"]
        for rank in range(int(file.attrs["ranks"])):
            part = file[f"rank_{rank}"]
            del part["places"]
            arrays = {}
            part.visititems(
                lambda name, item, arrays=arrays: (
                    arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
            part.attrs["values"] = digest(arrays)


def test_the_older_format_is_read_on_as_many_ranks_alone(zener, bar, written):
    if WORLD.rank == 0:
        as_older(written)
    WORLD.barrier()
    body, stepping = pulled(zener(), bar)
    assert read_checkpoint(written, stepping) == TIMES[2]
    assert body.law.internal.any()
    if WORLD.rank == 0:
        with h5py.File(written, "r+") as file:
            file.attrs["ranks"] = WORLD.size + 1
            file.copy("rank_0", f"rank_{WORLD.size}")
    WORLD.barrier()
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
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def solid(model, kinematics, dimension=3, **options):
    """A block that is pulled at one face, with a law of several strains or of fibres."""
    cells = [1] * dimension
    make = mesh.create_unit_cube if dimension == 3 else mesh.create_unit_square
    body = make(WORLD, *cells)
    space = fem.functionspace(body, ("Lagrange", 1, (dimension,)))
    u, pulled = fem.Function(space), fem.Constant(body, np.zeros(dimension))
    bcs = [
        fem.dirichletbc(
            value,
            fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[0], a)),
            space,
        )
        for value, a in ((fem.Constant(body, np.zeros(dimension)), 0.0), (pulled, 1.0))
    ]
    law = InternalVariableLaw(model, kinematics, u, 0, **options)
    problem = InternalVariableProblem(law, u, bcs)
    return TimeStepping(problem, lambda t: pulled.value.__setitem__(0, 0.02 * np.sin(3.0 * t)))


def test_a_restart_in_plane_stress_has_the_thickness_strain(folder):
    model = load_model(EXPORTED / "exact_sls")

    def plate():
        return solid(model, PlaneStress(FullStrain(6)), 2)

    whole, part, resumed = plate(), plate(), plate()
    expected = whole.run(TIMES)
    part.run(TIMES[:4])
    write_checkpoint(folder / "plate.h5", part, TIMES[3])
    read_checkpoint(folder / "plate.h5", resumed)
    law, other = part.problem.laws[0], resumed.problem.laws[0]
    np.testing.assert_array_equal(other.measure, law.measure)
    thickness = WORLD.allreduce(float(np.abs(law.measure[:, 2]).max(initial=0.0)), op=MPI.MAX)
    assert thickness > 1e-3  # control: there is one to forget
    steps = resumed.run(TIMES[3:], elastic=False)
    np.testing.assert_allclose(
        [step.balance.external_work for step in steps],
        [step.balance.external_work for step in expected[4:]],
        rtol=1e-10,
    )


@pytest.mark.parametrize(
    "changed",
    [{"density": 2.0}, {"orientation": lambda n: n[:, 1] ** 2}],
    ids=["density", "orientation"],
)
def test_a_microsphere_of_other_fibres_is_refused(zener, folder, changed):
    """The number of fibres is the same."""
    settings = {"directions": 25, "orientation": lambda n: n[:, 0] ** 2}
    stepping = solid(zener(), Microsphere(**settings))
    write_checkpoint(folder / "sphere.h5", stepping, 0.0)
    read_checkpoint(folder / "sphere.h5", solid(zener(), Microsphere(**settings)))  # control
    with pytest.raises(CheckpointError, match=r"another law \(number 1\)"):
        read_checkpoint(
            folder / "sphere.h5", solid(zener(), Microsphere(**{**settings, **changed}))
        )


def test_another_scale_of_the_stress_is_refused(bar, folder):
    trap = load_model(EXPORTED / "trap")

    def scaled(stress):
        body = bar(Scaled(trap, stress_scale=stress, time_scale=1.0), cells=12, comm=WORLD)
        return TimeStepping(body.problem)

    write_checkpoint(folder / "bar.h5", scaled(2.0), 0.0)
    read_checkpoint(folder / "bar.h5", scaled(2.0))  # control
    with pytest.raises(CheckpointError, match=r"another law \(number 1\)"):
        read_checkpoint(folder / "bar.h5", scaled(3.0))


def test_an_eigenstrain_on_one_side_only_is_refused(zener, folder):
    def block(**options):
        return solid(load_model(EXPORTED / "exact_sls"), FullStrain(6), **options)

    def heated():
        stepping = block()
        space = stepping.problem.u.function_space
        growth = fem.Constant(space.mesh, np.zeros(6))
        law = InternalVariableLaw(
            stepping.problem.laws[0].model,
            FullStrain(6),
            stepping.problem.u,
            0,
            eigenstrain=growth,
        )
        return TimeStepping(InternalVariableProblem(law, stepping.problem.u, stepping.problem.bcs))

    write_checkpoint(folder / "cold.h5", block(), 0.0)
    with pytest.raises(CheckpointError, match=r"other contents .*law_0/eigenstrain"):
        read_checkpoint(folder / "cold.h5", heated())
    write_checkpoint(folder / "hot.h5", heated(), 0.0)
    with pytest.raises(CheckpointError, match=r"other contents .*law_0/eigenstrain"):
        read_checkpoint(folder / "hot.h5", block())


def test_one_altered_value_is_refused_and_changes_nothing(zener, bar, written):
    if WORLD.rank == 0:
        with h5py.File(written, "r+") as file:
            file["rank_0/law_0/stress"][0] += 1e-9
    WORLD.barrier()
    body, stepping = pulled(zener(), bar)
    with pytest.raises(CheckpointError, match="its values are not those that were written"):
        read_checkpoint(written, stepping)
    assert not body.u.x.array.any()


def test_values_outside_the_file_are_not_read(zener, bar, written):
    aside = written.with_name("aside.h5")
    if WORLD.rank == 0:
        aside.write_bytes(written.read_bytes())
        with h5py.File(written, "r+") as file:
            for rank in range(WORLD.size):
                del file[f"rank_{rank}"]
                file[f"rank_{rank}"] = h5py.ExternalLink("aside.h5", f"rank_{rank}")
    WORLD.barrier()
    _, stepping = pulled(zener(), bar)
    with pytest.raises(CheckpointError, match="must hold its values itself, not by a link"):
        read_checkpoint(written, stepping)


def test_a_missing_number_is_named(zener, bar, written):
    if WORLD.rank == 0:
        with h5py.File(written, "r+") as file:
            del file.attrs["force_scale"]
    WORLD.barrier()
    _, stepping = pulled(zener(), bar)
    with pytest.raises(CheckpointError, match=r"other contents .*\(force_scale on one side"):
        read_checkpoint(written, stepping)


def test_a_run_may_go_on_with_an_audit_of_its_steps_or_without(zener, bar, folder):
    def stepping(**options):
        body, _ = pulled(zener(quartic=2.0), bar)
        return TimeStepping(body.problem, lambda t: None, **options)

    write_checkpoint(folder / "plain.h5", stepping(), 0.25)
    write_checkpoint(folder / "audited.h5", stepping(audit_tolerance=0.01), 0.5)
    assert read_checkpoint(folder / "plain.h5", stepping(audit_tolerance=0.01)) == 0.25
    assert read_checkpoint(folder / "audited.h5", stepping()) == 0.5


@pytest.mark.skipif(WORLD.size > 1, reason="one rank writes")
def test_a_checkpoint_is_not_written_through_a_link(zener, bar, written):
    _, stepping = pulled(zener(), bar)
    target = written.with_name("precious.txt")
    target.write_text("mine")
    written.unlink()
    part = written.with_name(f".{written.name}.part")
    for link, words in ((written, "symbolic link"), (part, "must not be a link")):
        link.symlink_to(target)
        with pytest.raises(OSError, match=words):
            write_checkpoint(written, stepping, 0.0)
        link.unlink()
    write_checkpoint(written, stepping, 0.0)
    assert target.read_text() == "mine"
    assert read_checkpoint(written, stepping) == 0.0
