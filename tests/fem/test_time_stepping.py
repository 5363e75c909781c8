"""Cut-back, re-growth and roll-back: a failed step leaves no trace."""

import numpy as np
import pytest

from ibvonn_fem import EnvelopeWarning, StepError, TimeStepping
from ibvonn_fem.errors import EnvelopeError, LocalSolveError

pytestmark = pytest.mark.fem


def snapshot(body):
    law = body.law
    return [
        body.u.x.array.copy(),
        law.internal.copy(),
        law.measure.copy(),
        law.points.rows(law.stress).get().copy(),
        law.points.rows(law.energy).get().copy(),
        law.dissipated.copy(),
        body.problem.internal_force.x.array.copy(),
    ]


def assert_bitwise_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def pull(body, value):
    body.elongation.value = value


def test_a_solve_changes_nothing_that_is_committed(zener, bar):
    body = bar(zener(), body_force=0.1)
    pull(body, 0.4)
    body.problem.solve(0.1)
    body.problem.commit()
    before = snapshot(body)
    pull(body, 0.9)
    assert body.problem.solve(0.5).converged
    np.testing.assert_array_equal(body.law.internal, before[1])
    assert not np.array_equal(body.u.x.array, before[0])
    body.problem.restore()
    assert_bitwise_equal(snapshot(body), before)


def test_a_step_repeated_after_a_restore_gives_the_same_result_to_the_bit(zener, bar):
    body = bar(zener(), body_force=0.1)
    results = []
    for attempt in range(2):
        if attempt == 1:
            pull(body, 1.5)
            body.problem.solve(0.01)
            body.problem.restore()
        pull(body, 0.4)
        body.problem.solve(0.1)
        results.append(body.law.points.rows(body.law.stress).get().copy())
        body.problem.restore()
    np.testing.assert_array_equal(*results)


def test_a_local_failure_is_reported_and_leaves_the_state_bitwise_unchanged(zener, bar):
    body = bar(zener(fails_beyond=0.1))
    pull(body, 0.1)
    assert body.problem.solve(0.0).converged
    body.problem.commit()
    before = snapshot(body)
    pull(body, 1.0)
    report = body.problem.solve(0.1)
    assert not report.converged
    assert "of 10 points did not converge" in report.message
    body.problem.restore()
    assert_bitwise_equal(snapshot(body), before)
    body.law.commit()  # of the restored state: nothing of the failed step is left in it
    assert_bitwise_equal(snapshot(body)[:3], before[:3])


def test_a_failing_update_raises_and_names_the_point(zener, bar):
    body = bar(zener(fails_beyond=0.1))
    body.u.interpolate(lambda x: 0.2 * x[0])
    with pytest.raises(
        LocalSolveError, match=r"10 of 10 points .* near x = \(.* dt = 0.1\. Reduce"
    ):
        body.law.update(0.1)


def test_nan_displacements_are_a_local_failure(zener, bar):
    body = bar(zener())
    body.u.x.array[:] = np.nan
    with pytest.raises(LocalSolveError, match="residual nan"):
        body.law.update(0.1)


def test_steps_are_cut_where_the_law_fails_and_grow_again(zener, bar):
    body = bar(zener(fails_beyond=0.06))
    stepping = TimeStepping(body.problem, lambda t: pull(body, 0.8 * min(t, 0.5)))
    called_times = []
    steps = stepping.run([0.0, 0.5, 1.0, 2.0, 3.0], lambda step: called_times.append(step.time))
    assert called_times == [0.0, 0.5, 1.0, 2.0, 3.0]
    lengths = [step.dt for step in steps]
    np.testing.assert_allclose(sum(lengths), 3.0)
    assert lengths[1:5] == [0.125] * 4  # strain 0.2 in four steps of 0.05
    assert lengths[-1] == 1.0
    assert max(step.cutbacks for step in steps) == 2


def test_cut_steps_give_the_same_result_as_steps_given_by_hand(zener, bar):
    cut, whole = bar(zener(fails_beyond=0.06)), bar(zener())
    steps = TimeStepping(cut.problem, lambda t: pull(cut, 0.8 * t)).run([0.0, 0.5])
    assert sum(step.cutbacks for step in steps) > 0
    TimeStepping(whole.problem, lambda t: pull(whole, 0.8 * t)).run([0, 0.125, 0.25, 0.375, 0.5])
    np.testing.assert_array_equal(cut.law.internal, whole.law.internal)


def test_a_step_that_cannot_be_cut_further_fails_and_keeps_the_last_state(zener, bar):
    body = bar(zener(fails_beyond=0.1))
    stepping = TimeStepping(
        body.problem, lambda t: pull(body, 0.1 if t <= 1.0 else 1.0), max_cutbacks=3
    )
    stepping.run([0.0, 1.0])
    before = snapshot(body)
    with pytest.raises(StepError, match=r"from t = 1 failed with dt = 0.125, cut 3 times"):
        stepping.run([1.0, 2.0])
    assert_bitwise_equal(snapshot(body), before)
    assert float(body.elongation.value) == 0.1  # the loading went back too


@pytest.mark.slow
def test_steps_do_not_creep_towards_a_jump_inside_an_interval(zener, bar):
    """Halving succeeds until just before the jump, for ever; the shortest step ends it."""
    body = bar(zener(fails_beyond=0.1))
    stepping = TimeStepping(
        body.problem, lambda t: pull(body, 0.05 if t < 0.7 else 1.0), max_cutbacks=4
    )
    with pytest.raises(StepError, match="cut"):
        stepping.run([0.0, 1.0])
    assert float(body.elongation.value) == 0.05


def test_a_jump_that_is_too_large_fails_with_advice(zener, bar):
    body = bar(zener(fails_beyond=0.1))
    with pytest.raises(StepError, match=r"elastic step at t = 0 failed .* smaller jumps"):
        TimeStepping(body.problem, lambda t: pull(body, 1.0)).run([0.0, 1.0])


def test_a_loading_that_raises_leaves_no_trace(zener, bar):
    body = bar(zener())

    def loading(t):
        pull(body, 0.3)
        if t == 0.5:
            raise KeyError("no data for this instant")

    stepping = TimeStepping(body.problem, loading)
    stepping.run([0.0, 0.25])
    before = snapshot(body)
    with pytest.raises(KeyError):
        stepping.run([0.25, 0.5])
    np.testing.assert_array_equal(body.law.internal.shape, before[1].shape)
    assert_bitwise_equal(snapshot(body)[:1], before[:1])


def test_leaving_the_training_range_warns_with_the_fraction_and_the_worst_variable(zener, bar):
    body = bar(zener(), body_force=0.5)
    with pytest.warns(EnvelopeWarning) as caught:
        TimeStepping(body.problem, lambda t: pull(body, 2.06)).run([0.0])
    outside = np.count_nonzero(body.strain > 1.0)
    assert 0 < outside < 10
    worst = body.strain.max()
    assert f"{outside} of 10 points ({10 * outside} %)" in str(caught[0].message)
    assert f"worst is strain = {worst:.6g}, {worst - 1.0:.3g} half" in str(caught[0].message)


def test_a_strict_range_refuses_the_step_and_keeps_the_last_state(zener, bar):
    body = bar(zener(strict_range=True))
    stepping = TimeStepping(body.problem, lambda t: pull(body, 1.9 if t < 1.0 else 2.1))
    stepping.run([0.0, 0.5])
    before = snapshot(body)
    with pytest.raises(EnvelopeError, match=r"10 of 10 points .* leave out strict_range"):
        stepping.run([0.5, 1.0])
    assert_bitwise_equal(snapshot(body), before)


@pytest.mark.parametrize("times", [[], [0.0, 0.0], [1.0, 0.5], [0.0, np.nan], [np.inf]])
def test_times_that_do_not_increase_are_refused(zener, bar, times):
    body = bar(zener())
    with pytest.raises(ValueError, match="run: times must"):
        TimeStepping(body.problem).run(times)


@pytest.mark.parametrize("options", [{"cutback": 1.0}, {"cutback": 0.0}, {"growth": 1.0}])
def test_factors_out_of_range_are_refused(zener, bar, options):
    body = bar(zener())
    with pytest.raises(ValueError, match="TimeStepping: "):
        TimeStepping(body.problem, **options)


@pytest.mark.parametrize("dt", [-0.1, np.nan, np.inf])
def test_a_negative_or_infinite_step_is_refused(zener, bar, dt):
    body = bar(zener())
    with pytest.raises(ValueError, match="dt must be finite and >= 0"):
        body.problem.solve(dt)
    with pytest.raises(ValueError, match="dt must be finite and >= 0"):
        body.law.update(dt)
