"""The same numbers on one rank and on several; run alone these tests compare a rank with itself."""

from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

from ibvonn_fem import FieldWriter, Scaled, StepError, TimeStepping, load_model
from ibvonn_fem.errors import EnvelopeError, LocalSolveError

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

WORLD = MPI.COMM_WORLD
EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"


def run(body):
    """A loading history; per step the reaction, the energies and the displacement at the middle."""
    stepping = TimeStepping(
        body.problem, lambda t: setattr(body.elongation, "value", 0.4 + 0.3 * np.sin(4.0 * t))
    )
    rows = []

    def record(step):
        balance = step.balance
        rows.append(
            [
                body.problem.reaction(body.right)[0],
                balance.external_work,
                balance.stored,
                balance.dissipated,
                step.iterations,
            ]
        )

    stepping.run(np.linspace(0.0, 1.0, 6), record)
    return np.array(rows)


# The learned chain rests a little outside its training range, which it says at every start.
@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
@pytest.mark.parametrize("law", ["closed form", "trap", "unfolding_chain"])
@pytest.mark.parametrize("cells", [1, 12])
def test_one_rank_and_many_give_the_same_numbers(zener, bar, cells, law):
    """With one cell, a rank owns no cells at all."""
    model = zener(quartic=2.0) if law == "closed form" else load_model(EXPORTED / law)
    settings = {"cells": cells, "body_force": 0.01, "options": {"snes_rtol": 1e-13}}
    alone, together = run(bar(model, **settings)), run(bar(model, comm=WORLD, **settings))
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-14)


def test_the_state_is_the_same_at_every_point(zener, bar):
    fields = []
    for comm in (MPI.COMM_SELF, WORLD):
        body = bar(zener(quartic=2.0), cells=12, body_force=0.1, comm=comm)
        run(body)
        x = body.law.points.evaluator(_coordinate(body))()[:, 0]
        table = np.column_stack([x, body.law.internal[:, 0, 0], body.stress])
        table = np.concatenate(comm.allgather(table))
        fields.append(table[np.argsort(table[:, 0])])
    np.testing.assert_allclose(fields[1], fields[0], rtol=1e-11)


def _coordinate(body):
    import ufl

    return ufl.SpatialCoordinate(body.u.function_space.mesh)[0]


def test_a_failure_on_one_rank_is_raised_on_all_with_the_same_message(zener, bar):
    body = bar(zener(fails_beyond=0.05), cells=12, comm=WORLD)
    # only the far end is strained beyond what the law bears
    body.u.interpolate(lambda x: 0.1 * np.maximum(x[0] - 1.9, 0.0))
    with pytest.raises(LocalSolveError) as caught:
        body.law.update(0.1)
    messages = WORLD.allgather(str(caught.value))
    assert len(set(messages)) == 1
    assert "of 24 points did not converge" in messages[0]
    assert 0 < caught.value.failed < 24


def test_a_step_that_fails_everywhere_ends_on_all_ranks(zener, bar):
    body = bar(zener(fails_beyond=0.05), cells=12, comm=WORLD)
    stepping = TimeStepping(
        body.problem, lambda t: setattr(body.elongation, "value", 2.0), max_cutbacks=2
    )
    with pytest.raises(StepError):
        stepping.run([0.0, 1.0])
    np.testing.assert_array_equal(body.u.x.array, 0.0)


def test_a_strict_range_is_left_on_all_ranks(zener, bar):
    body = bar(zener(strict_range=True), cells=12, body_force=0.5, comm=WORLD)
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 2.06))
    with pytest.raises(EnvelopeError) as caught:
        stepping.run([0.0])
    assert len(set(WORLD.allgather(str(caught.value)))) == 1


@pytest.mark.parametrize("suffix", ["xdmf", "pvd"])
def test_fields_are_written_by_all_ranks(zener, bar, tmp_path, suffix):
    folder = WORLD.bcast(tmp_path)
    body = bar(zener(), cells=3, comm=WORLD)
    body.elongation.value = 0.5
    body.problem.solve(0.1)
    body.problem.commit()
    with FieldWriter(folder / f"bar.{suffix}", body.law, body.u) as fields:
        fields.write(0.0)
        fields.write(0.1)
    WORLD.barrier()
    text = (folder / f"bar.{suffix}").read_text()
    assert "0.1" in text


@pytest.mark.skipif(WORLD.size == 1, reason="needs two ranks to differ")
@pytest.mark.parametrize("difference", ["model", "scale"])
def test_ranks_with_different_models_are_refused_on_all(bar, difference):
    if difference == "model":
        model = load_model(EXPORTED / ("exact_trap" if WORLD.rank == 0 else "trap"))
    else:
        stress = 1.0 if WORLD.rank == 0 else 2.0
        model = Scaled(load_model(EXPORTED / "trap"), stress_scale=stress, time_scale=1.0)
    with pytest.raises(ValueError, match=r"all ranks must have the same model; .* on rank 1"):
        bar(model, comm=WORLD)
