"""Steps chosen by the Bregman audit, and the statistics of a run."""

import logging
from functools import partial

from mpi4py import MPI

import numpy as np
import pytest

from ibvonn_fem import StepError, TimeStepping, read_checkpoint, write_checkpoint
from ibvonn_fem.body.energy_balance import EnergyBalance
from ibvonn_fem.body.statistics import Statistics
from ibvonn_fem.stepping.step_control import AuditControl

pytestmark = pytest.mark.fem

STRAIN = 0.4


def relax(model, bar, tolerance, until=6.0, **options):
    """Sudden strain, then held: fast at first, slow at the end. Zener: τ = 1/2."""
    body = bar(model)
    stepping = TimeStepping(
        body.problem,
        lambda t: setattr(body.elongation, "value", 2.0 * STRAIN),
        audit_tolerance=tolerance,
        **options,
    )
    steps = stepping.run([0.0, until])
    return body, steps


def worst_error(steps, body):
    alpha = 0.5 * STRAIN * (1.0 - np.exp(-2.0 * steps[-1].time))
    return abs(body.law.internal - alpha).max()


def test_every_step_keeps_the_tolerance_and_slow_times_have_long_steps(zener, bar):
    tolerance = 1e-3
    _, steps = relax(zener(), bar, tolerance)
    handled = 0.5 * STRAIN**2 * 2.0  # of the elastic step; relaxation turns it into dissipation
    assert max(step.balance.numerical for step in steps[1:]) <= tolerance * handled * (1 + 1e-12)
    lengths = [step.dt for step in steps[1:]]
    assert lengths[-1] > 10.0 * min(lengths)
    assert steps[0].dt == 0.0
    np.testing.assert_allclose(sum(lengths), 6.0)


def test_a_smaller_tolerance_gives_a_smaller_error_and_more_steps(zener, bar):
    """The audit is of second order in Δt: steps grow with 1/√tolerance, the error falls with it."""
    counts, errors = [], []
    for tolerance in (1e-3, 1e-4, 1e-5):
        body, steps = relax(zener(), bar, tolerance, until=0.5)
        counts.append(len(steps) - 1)
        errors.append(worst_error(steps, body))
    ratios = np.array(counts[1:]) / counts[:-1]
    np.testing.assert_allclose(ratios, np.sqrt(10.0), rtol=0.35)
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], np.sqrt(10.0), rtol=0.35)


def test_the_audit_spends_fewer_steps_than_equal_steps_of_the_same_error(zener, bar):
    """On a slow process that starts fast, which equal steps resolve everywhere."""
    _, chosen = relax(zener(), bar, 1e-4)
    smallest = min(step.dt for step in chosen[1:])
    assert len(chosen) < 0.5 * 6.0 / smallest


def test_without_a_tolerance_the_steps_are_those_given(zener, bar):
    _, steps = relax(zener(), bar, None)
    assert [step.dt for step in steps] == [0.0, 6.0]


def test_a_jump_inside_a_run_is_refused_with_advice(zener, bar):
    body = bar(zener())
    stepping = TimeStepping(
        body.problem,
        lambda t: setattr(body.elongation, "value", 0.2 if t < 0.5 else 1.0),
        audit_tolerance=1e-4,
        max_cutbacks=4,
    )
    with pytest.raises(StepError, match="numerical dissipation is"):
        stepping.run([0.0, 1.0])
    assert body.strain.max() == pytest.approx(0.1)


def test_a_given_scale_takes_the_place_of_the_energy_handled(zener, bar):
    _, coarse = relax(zener(), bar, 1e-3, energy_scale=1e3)
    _, fine = relax(zener(), bar, 1e-3, energy_scale=1e-2)
    assert len(coarse) == 2
    assert len(fine) > 10


@pytest.mark.parametrize(("tolerance", "scale"), [(0.0, None), (1e-3, -1.0), (np.inf, 1.0)])
def test_a_tolerance_or_scale_that_is_not_positive_is_refused(zener, bar, tolerance, scale):
    with pytest.raises(ValueError, match="must be positive and finite"):
        TimeStepping(bar(zener()).problem, audit_tolerance=tolerance, energy_scale=scale)


def test_a_scale_without_a_tolerance_is_refused(zener, bar):
    with pytest.raises(ValueError, match="only with an audit_tolerance"):
        TimeStepping(bar(zener()).problem, energy_scale=1.0)


def test_a_refused_step_leaves_no_trace(zener, bar):
    body = bar(zener())
    loaded_times = []

    def pull(time):
        loaded_times.append(time)
        body.elongation.value = 2.0 * STRAIN * min(1.0, 10.0 * time)

    stepping = TimeStepping(body.problem, pull, audit_tolerance=1e-4, energy_scale=1.0)
    steps = stepping.run([0.0, 0.1])
    refused = sum(step.cutbacks for step in steps)
    assert refused > 0
    assert len(loaded_times) == len(steps) + 2 * refused  # every refusal sets the load back
    plain = bar(zener())
    times = [step.time for step in steps]
    again = TimeStepping(
        plain.problem, lambda t: setattr(plain.elongation, "value", 2.0 * STRAIN * 10.0 * t)
    )
    again.run(times)
    np.testing.assert_allclose(plain.law.internal, body.law.internal, rtol=1e-12)
    np.testing.assert_allclose(plain.law.dissipated, body.law.dissipated, rtol=1e-12)


def test_a_law_that_fails_and_the_audit_shorten_steps_together(zener, bar):
    body = bar(zener(fails_beyond=0.02))
    stepping = TimeStepping(
        body.problem,
        lambda t: setattr(body.elongation, "value", 2.0 * STRAIN * min(t, 1.0)),
        audit_tolerance=1e-3,
        energy_scale=0.1,
    )
    steps = stepping.run([0.0, 1.0, 8.0])
    np.testing.assert_allclose(steps[-1].time, 8.0)
    pulled = [step.dt for step in steps if 0.0 < step.time <= 1.0]
    assert max(pulled) * STRAIN <= 0.02 * (1 + 1e-9)
    assert max(abs(step.balance.numerical) for step in steps[1:]) <= 1e-4 * (1 + 1e-12)
    assert steps[-1].dt > 5.0 * max(pulled)
    assert body.problem.statistics.failures > 0


def test_steps_that_the_audit_chose_go_on_after_a_restart(zener, bar, tmp_path):
    whole, first = bar(zener()), bar(zener())

    def stepping_of(body):
        return TimeStepping(
            body.problem,
            lambda t: setattr(body.elongation, "value", 2.0 * STRAIN),
            audit_tolerance=1e-4,
        )

    uninterrupted = stepping_of(whole).run([0.0, 0.5, 2.0])
    stepping = stepping_of(first)
    begun = stepping.run([0.0, 0.5])
    write_checkpoint(tmp_path / "half.h5", stepping, 0.5)
    second = bar(zener())
    stepping = stepping_of(second)
    time = read_checkpoint(tmp_path / "half.h5", stepping)
    continued = begun + stepping.run([time, 2.0], elastic=False)
    assert [step.dt for step in continued] == [step.dt for step in uninterrupted]
    np.testing.assert_array_equal(second.law.internal, whole.law.internal)


@pytest.mark.mpi
def test_all_ranks_choose_the_same_steps(zener, bar):
    """Those of one rank: the energies agree to round-off, and so do the lengths."""
    lengths = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        _, steps = relax(zener(quartic=1.0), partial(bar, cells=12, comm=comm), 1e-4, until=2.0)
        lengths.append([step.dt for step in steps])
    np.testing.assert_allclose(lengths[1], lengths[0], rtol=1e-6)
    assert all(length == lengths[1] for length in MPI.COMM_WORLD.allgather(lengths[1]))


def test_each_step_has_a_line_in_the_log(zener, bar, caplog):
    with caplog.at_level(logging.INFO, logger="ibvonn_fem"):
        _, steps = relax(zener(), bar, None)
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("t = ")]
    assert len(lines) == len(steps)
    assert "iterations, local residual" in lines[-1]


def test_statistics_count_solves_iterations_and_time(zener, bar):
    body, steps = relax(zener(quartic=1.0), bar, 1e-3)
    statistics = body.problem.statistics
    assert statistics.solves >= len(steps)
    assert statistics.iterations >= sum(step.iterations for step in steps) > 0
    assert 0.0 <= statistics.worst_residual <= 1e-10
    fractions = [statistics.fraction(part) for part in ("law", "assembly", "solve")]
    assert min(fractions) > 0.0
    assert sum(fractions) == pytest.approx(1.0)
    assert "0 failed" in statistics.sentence()


def test_time_inside_another_part_is_counted_once():
    statistics = Statistics()
    with statistics.measure("solve"), statistics.measure("law"):
        sum(range(100_000))
    assert statistics.fraction("law") > 0.9


def test_energy_handled_is_the_stored_plus_the_dissipated_energy():
    control = AuditControl(tolerance=0.1)
    control.account(EnergyBalance(stored=-1.0, dissipated=2.0, dragged=3.0))
    assert control.scale == 6.0
    control.account(EnergyBalance(stored=1.0))
    assert control.scale == 6.0  # the largest so far


def test_next_step_follows_the_root_of_the_numerical_dissipation():
    """N is of second order: four times too small allows a step of twice the length, times 0.9."""
    control = AuditControl(tolerance=0.1, energy_scale=4.0)
    for sign in (1.0, -1.0):
        balance = EnergyBalance(external_work=sign * 0.1)
        np.testing.assert_allclose(control.factor(balance), 0.9 * 2.0, rtol=1e-14)


def test_work_dissipated_by_drag_closes_the_energy_balance():
    balance = EnergyBalance(external_work=2.0, external_work_trapezoidal=2.0, dragged=2.0)
    assert balance.numerical == balance.numerical_trapezoidal == 0.0
