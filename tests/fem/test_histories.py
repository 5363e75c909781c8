"""Histories of quadrature points: what is recorded, which points, on ranks and through restarts."""

import json
from pathlib import Path

from mpi4py import MPI

import h5py
import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    Microsphere,
    Scaled,
    StepError,
    TimeStepping,
    load_model,
    read_checkpoint,
    write_checkpoint,
)
from ibvonn_fem.directions import lebedev
from ibvonn_fem.errors import HistoryError
from ibvonn_fem.files.model_directory import manifest_hash
from ibvonn_fem.stepping import Histories, LargestPoints, RandomPoints, point_choice

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

WORLD = MPI.COMM_WORLD
EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"
TIMES = np.linspace(0.0, 1.0, 9)
POINTS = [LargestPoints("stress", 2), LargestPoints("dissipation", 1), RandomPoints(3, seed=5), 4]


@pytest.fixture
def folder(tmp_path):
    """The same folder on all ranks."""
    return WORLD.bcast(tmp_path)


def pulled(model, bar, record, comm=WORLD):
    """A bar with uneven strain and a loading that changes all the time."""
    body = bar(model, cells=12, comm=comm, body_force=0.1, options={"snes_rtol": 1e-13})
    return body, TimeStepping(
        body.problem,
        lambda t: setattr(body.elongation, "value", 0.4 + 0.3 * np.sin(4.0 * t)),
        record=record,
    )


def content(path):
    with h5py.File(path, "r") as file:
        return {name: file[name][()] for name in file}, dict(file.attrs)


def same(first, second, tolerance):
    arrays, others = content(first)[0], content(second)[0]
    assert arrays.keys() == others.keys()
    for name, values in arrays.items():
        np.testing.assert_allclose(others[name], values, rtol=tolerance, atol=1e-14, err_msg=name)


def test_the_recorded_stress_is_that_of_the_law_at_every_step(zener, bar, folder):
    path = folder / "bar.h5"
    body, stepping = pulled(zener(quartic=2.0), bar, Histories(path, list(range(24))))
    expected = []
    stepping.run(TIMES, lambda step: expected.append((step.time, body.law.measure.copy())))
    arrays, attributes = content(path)
    # the state before the elastic step, this step and eight more
    np.testing.assert_array_equal(arrays["time"], [0.0, *TIMES])
    assert not arrays["strain"][:, 0].any()
    strain, internal = arrays["strain"], arrays["internal"]
    np.testing.assert_allclose(arrays["stress"], strain - internal + 2.0 * strain**3, rtol=1e-12)
    rows = WORLD.allgather(np.stack([measure for _, measure in expected], 1))
    recorded = np.sort(strain[:, 1:].ravel())
    np.testing.assert_allclose(recorded, np.sort(np.concatenate(rows).ravel()), rtol=1e-14)
    assert (np.diff(arrays["dissipated"], axis=1) >= 0.0).all()
    assert arrays["dissipated"][:, -1].min() > 0.0
    np.testing.assert_array_equal(arrays["point"], np.arange(24))
    assert (np.diff(arrays["position"][:, 0]) > 0.0).all()
    assert json.loads(attributes["strain_names"]) == ["strain"]
    assert (attributes["ibvonn_histories"], attributes["model"]) == (1, "zener")


def test_the_file_names_the_exported_law_and_the_scales(bar, folder):
    path = folder / "bar.h5"
    model = Scaled(load_model(EXPORTED / "exact_trap"), stress_scale=3.0, time_scale=2.0)
    _, stepping = pulled(model, bar, Histories(path, 0))
    stepping.run(TIMES[:2])
    attributes = content(path)[1]
    manifest = json.loads((EXPORTED / "exact_trap" / "manifest.json").read_text())
    assert attributes["manifest_sha256"] == manifest_hash(manifest)
    assert json.loads(attributes["scales"]) == {"strain": 1.0, "stress": 3.0, "time": 2.0}


def test_one_rank_and_many_write_the_same_file(zener, bar, folder):
    paths = folder / f"alone_{WORLD.rank}.h5", folder / "together.h5"
    for path, comm in zip(paths, (MPI.COMM_SELF, WORLD), strict=True):
        pulled(zener(quartic=2.0), bar, Histories(path, POINTS), comm)[1].run(TIMES)
    same(*paths, 1e-11)
    assert content(paths[0])[1]["chosen_for"] == content(paths[1])[1]["chosen_for"]


def test_the_largest_points_are_those_of_the_whole_run(zener, bar, folder):
    paths = folder / "all.h5", folder / "largest.h5"
    for path, points in zip(paths, (list(range(24)), POINTS), strict=True):
        pulled(zener(quartic=2.0), bar, Histories(path, points))[1].run(TIMES)
    (everything, _), (largest, attributes) = content(paths[0]), content(paths[1])
    reasons = dict(
        zip(largest["point"].tolist(), json.loads(attributes["chosen_for"]), strict=True)
    )
    peak = np.abs(everything["stress"][..., 0]).max(1)
    of_stress = {number for number, why in reasons.items() if "stress" in why}
    assert of_stress == set(np.argsort(peak)[-2:].tolist())
    (of_dissipation,) = [number for number, why in reasons.items() if "dissipation" in why]
    assert of_dissipation == everything["dissipated"][:, -1].argmax()
    assert sum("random" in why for why in reasons.values()) == 3
    assert "by number" in reasons[4]
    np.testing.assert_array_equal(largest["stress"], everything["stress"][largest["point"]])


def test_of_equal_points_the_first_is_taken_whatever_round_off_says():
    numbers = np.arange(4)
    scores = {"stress": np.array([1.0, 2.0, 2.0 + 1e-13, 0.0])}
    assert list(point_choice.chosen((LargestPoints("stress", 1),), numbers, scores)) == [1]


@pytest.mark.parametrize("restarted", ["a new process", "the same problem"])
def test_going_on_after_a_restart_equals_not_having_stopped(zener, bar, folder, restarted):
    whole, parts, checkpoint = folder / "whole.h5", folder / "parts.h5", folder / "bar_state.h5"
    points = [3, 20, RandomPoints(2)]
    pulled(zener(quartic=2.0), bar, Histories(whole, points))[1].run(TIMES)

    _, first = pulled(zener(quartic=2.0), bar, Histories(parts, points))
    first.run(TIMES[:5])
    write_checkpoint(checkpoint, first, TIMES[4])
    first.run(TIMES[4:7], elastic=False)  # what comes after the checkpoint is repeated
    again = first
    if restarted == "a new process":
        _, again = pulled(zener(quartic=2.0), bar, Histories(parts, resume=True))
    time = read_checkpoint(checkpoint, again)
    again.run([time, *TIMES[5:]], elastic=False)
    same(whole, parts, 0.0)
    assert content(whole)[1] == content(parts)[1]


def test_a_run_that_fails_leaves_what_it_has(zener, bar, folder):
    path = folder / "bar.h5"
    body = bar(zener(fails_beyond=0.05), cells=12, comm=WORLD)
    stepping = TimeStepping(
        body.problem,
        lambda t: setattr(body.elongation, "value", 0.0 if t < 1.0 else 2.0),
        max_cutbacks=0,
        record=Histories(path, [0]),
    )
    with pytest.raises(StepError):
        stepping.run([0.0, 0.5, 1.0])
    assert content(path)[0]["time"].tolist() == [0.0, 0.0, 0.5]


def test_what_does_not_fit_is_refused_on_all_ranks(zener, bar, folder):
    path = folder / "bar.h5"
    pulled(zener(), bar, Histories(path, [3]))[1].run(TIMES[:3])
    longer = bar(zener(), cells=12, comm=WORLD, length=3.0)
    cases = [
        (pulled(zener_of_other_law(), bar, Histories(path, resume=True))[1], "another model"),
        (pulled(zener(), bar, Histories(path, resume=True))[1], "their state there"),
        (TimeStepping(longer.problem, record=Histories(path, resume=True)), "another mesh"),
        (pulled(zener(), bar, Histories(folder / "no.h5", resume=True))[1], "not a complete"),
        (pulled(zener(), bar, Histories(path, [24]))[1], "found 24"),
        (pulled(zener(), bar, Histories(path, RandomPoints(25)))[1], "asks for more"),
    ]
    for stepping, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            stepping.run([TIMES[2], TIMES[3]], elastic=False)
        assert len(set(WORLD.allgather(str(caught.value)))) == 1


def zener_of_other_law():
    return load_model(EXPORTED / "exact_trap")


def test_a_file_of_something_else_is_refused(zener, bar, folder):
    path = folder / "other.h5"
    if WORLD.rank == 0:
        with h5py.File(path, "w") as file:
            file.attrs["format"] = 2
    WORLD.barrier()
    _, stepping = pulled(zener(), bar, Histories(path, resume=True))
    with pytest.raises(HistoryError, match="histories of format 1"):
        stepping.run(TIMES)


@pytest.mark.parametrize(
    ("points", "error", "words"),
    [
        ("all", TypeError, "LargestPoints"),
        ([1.5], TypeError, "found 1.5"),
        ([], ValueError, "at least one"),
        (None, ValueError, "resume=True"),
    ],
)
def test_points_that_are_none_are_refused(points, error, words):
    with pytest.raises(error, match=words):
        Histories("bar.h5", points)


def test_a_choice_of_no_points_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        RandomPoints(0)
    with pytest.raises(ValueError, match="'validity', 'dissipation', 'stress'"):
        LargestPoints("energy", 1)  # type: ignore[arg-type]


def stretched_network(record, comm=WORLD):
    """A cube of springs in all directions, clamped below and pulled and sheared above."""
    cube = mesh.create_unit_cube(comm, 2, 1, 1)
    space = fem.functionspace(cube, ("Lagrange", 1, (3,)))
    u = fem.Function(space)
    model = load_model(EXPORTED / "exact_trap")
    law = InternalVariableLaw(model, Microsphere(7, stress_free=False), u, quadrature_degree=0)
    top = fem.Function(space)
    bcs = [
        fem.dirichletbc(
            value,
            fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[2], at)),
        )
        for at, value in ((0.0, fem.Function(space)), (1.0, top))
    ]
    problem = InternalVariableProblem(law, u, bcs)

    def load(t):
        top.interpolate(lambda x: np.stack([0.1 * t * x[0], 0.0 * x[1], 0.2 * t + 0.1 * t * x[0]]))

    return law, TimeStepping(problem, load, record=record)


def test_a_network_is_recorded_in_every_direction(folder):
    """Strain n·E n, the stress of the law there, and a dissipation that all directions share."""
    path = folder / "cube.h5"
    law, stepping = stretched_network(Histories(path, [LargestPoints("stress", 1), 3]))
    stepping.run([0.0, 0.5, 1.0])
    arrays, attributes = content(path)
    assert attributes["directions"] == 7
    words = json.loads(attributes["chosen_for"])
    by_number = [k for k, text in enumerate(words) if "by number" in text]
    np.testing.assert_array_equal(arrays["point"][by_number], 3 * 7 + np.arange(7))
    assert words[by_number[2]].endswith("direction 2")
    assert len(words) in (7, 14)  # the largest may be that point
    strain, internal = arrays["strain"], arrays["internal"]
    np.testing.assert_allclose(arrays["stress"], strain - internal, rtol=1e-12, atol=1e-15)
    assert np.ptp(strain[by_number, -1, 0]) > 0.05  # directions differ
    assert np.ptp(arrays["dissipated"][by_number, -1]) == 0.0
    assert arrays["dissipated"][by_number[0], -1] > 0.0
    vectors = lebedev(7).vectors
    own = WORLD.allgather((law.points.mesh.topology.original_cell_index, law.measure.copy()))
    (measure,) = [m[list(c[: len(m)]).index(3)] for c, m in own if 3 in c[: len(m)]]
    squares = vectors[:, [0, 1, 2, 0, 0, 1]] * vectors[:, [0, 1, 2, 1, 2, 2]]
    squares[:, 3:] *= np.sqrt(2.0)
    np.testing.assert_allclose(strain[by_number, -1, 0], squares @ measure, rtol=1e-12)


def test_a_network_goes_on_after_a_restart_and_on_other_ranks(folder):
    whole, parts, checkpoint = folder / "whole.h5", folder / "parts.h5", folder / "cube_state.h5"
    alone = folder / f"alone_{WORLD.rank}.h5"
    points = [LargestPoints("dissipation", 2), 5]
    stretched_network(Histories(whole, points))[1].run([0.0, 0.5, 1.0])
    stretched_network(Histories(alone, points), MPI.COMM_SELF)[1].run([0.0, 0.5, 1.0])
    same(whole, alone, 1e-10)
    _, first = stretched_network(Histories(parts, [*content(whole)[0]["point"][::7] // 7]))
    first.run([0.0, 0.5])
    write_checkpoint(checkpoint, first, 0.5)
    _, again = stretched_network(Histories(parts, resume=True))
    again.run([read_checkpoint(checkpoint, again), 1.0], elastic=False)
    same(whole, parts, 1e-12)
