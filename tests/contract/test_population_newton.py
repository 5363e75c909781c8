"""Newton's method of populations: its linear systems, and how many passes it needs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_populations import LAWS, TOLERANCE, inputs_of, law_of, run

from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.elimination import LikePopulations
from ibvonn_train.export.graphs.interfaces import INPUTS
from ibvonn_train.export.graphs.unsymmetric import solve


@pytest.mark.parametrize("count", [2, 3, 5])
def test_elimination_solves_the_master_equation_to_the_last_digit(count):
    """Against a solution in 60 digits; flows over thirty decades, fractions as small as these."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(count)
    pairs = count * (count - 1) // 2
    n = 20
    forward, backward = 10.0 ** rng.uniform(-15.0, 15.0, (2, n, pairs))
    before = rng.dirichlet(np.full(count, 0.2), n)
    places = [(range(count), range(pairs), range(count - 1))]
    like = LikePopulations(count, places, (count, pairs, count - 1), 0.3)
    still = torch.zeros(n, pairs, dtype=torch.float64)
    result = like.step(*(torch.tensor(x) for x in (before, forward, backward)), still)[0].numpy()
    with mpmath.workdps(60):
        for point in range(n):
            matrix, k = mpmath.eye(count), 0
            for i in range(count):
                for j in range(i + 1, count):
                    f, b = mpmath.mpf(forward[point, k]), mpmath.mpf(backward[point, k])
                    matrix[i, j] -= f
                    matrix[j, j] += f
                    matrix[j, i] -= b
                    matrix[i, i] += b
                    k += 1
            exact = mpmath.lu_solve(matrix, mpmath.matrix(before[point].tolist()))
            for s in range(count):
                assert abs(result[point, s] / float(exact[s]) - 1.0) < 1e-13
    np.testing.assert_allclose(result.sum(1), 1.0, rtol=1e-13)


@pytest.mark.parametrize("case", LAWS)
def test_compliance_of_the_balance_is_the_derivative_by_the_force(case):
    law = law_of(case)
    inputs = {key: torch.tensor(value) for key, value in inputs_of(law, 100).items()}
    kinetics = law.kinetics
    frozen = kinetics.prepare(inputs["strain_old"], inputs["statev"])
    force = torch.randn(inputs["statev"].shape, dtype=torch.float64, generator=torch.manual_seed(0))
    force.requires_grad_()
    balance = kinetics.balance(inputs["statev"], inputs["dt"], force, *frozen)
    scale = float(balance.compliance.detach().abs().max())
    compliance = balance.compliance.detach()
    for i in range(force.shape[1]):
        (row,) = torch.autograd.grad(balance.internal[:, i].sum(), force, retain_graph=True)
        gap = (compliance[:, i] - row).abs() / (1.0 + row.abs())
        assert float(gap.max()) < 1e-9 * max(scale, 1.0)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_unsymmetric_systems_are_solved_whatever_the_scale_of_their_rows(size):
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(50, size, size)) * 10.0 ** rng.uniform(-12, 12, (50, size, 1))
    right = np.matmul(matrix, rng.normal(size=(50, size, 2)))
    result = solve(torch.tensor(matrix), torch.tensor(right), size).numpy()
    np.testing.assert_allclose(result, np.linalg.solve(matrix, right), rtol=1e-7, atol=1e-9)
    singular = torch.zeros(1, size, size, dtype=torch.float64)
    result = solve(singular, torch.ones(1, size, 1, dtype=torch.float64), size)
    assert not bool(torch.isfinite(result).all())


@pytest.mark.parametrize("stiffness", [10.0, 300.0])
@pytest.mark.parametrize("case", LAWS)
def test_steps_converge_where_the_smooth_energy_is_stiff(case, stiffness):
    """The paper's chain has 80 k_BT: forces at which all are folded and all open lie far apart."""
    law = untrained_populations(*case)
    m, theta = law.strain_size, law.thermal_energy
    quadratic = law.energy_quadratic.copy()
    quadratic[m:, m:] += stiffness * theta * np.eye(law.internal_size)
    quadratic[:m, m:] *= np.sqrt(stiffness)
    quadratic[m:, :m] *= np.sqrt(stiffness)
    law = ConstitutiveLaw.of(replace(law, energy_quadratic=quadratic))
    inputs = inputs_of(law, 500, reach=2.0, decades=(-4.0, 5.0))
    out = run(law, inputs)
    assert np.all(out["residual"] <= TOLERANCE)
    assert np.all(out["dissipation"] >= -1e-11 * np.abs(out["energy"]).max())
    assert passes(law, inputs) <= 90


def passes(law, inputs):
    """How often the loop evaluates the law before the last point has converged."""
    update = law.update()
    with torch.no_grad():
        prepared = update.prepare(*(torch.tensor(inputs[name]) for name in INPUTS))
        state = update.start(*prepared[:-1])
        for count in range(100):
            if not bool(torch.any(state[-1] > 0.5)):
                return count
            state = update.newton(*prepared[:-1], *state)
    return 100


def test_newton_needs_few_passes_on_usual_steps():
    law = law_of(LAWS[2])
    inputs = inputs_of(law, 500)
    inputs["strain"] = inputs["strain_old"] + 0.02 * inputs["strain"]
    inputs["dt"] = np.full((500, 1), 0.1)
    assert passes(law, inputs) <= 8


def test_newton_without_the_compliance_of_the_fractions_needs_many(monkeypatch):
    """Guards the test above: with a wrong derivative convergence is slow."""
    original = LikePopulations.step

    def wrong(self, *arguments):
        fractions, moved = original(self, *arguments)
        return fractions, 0.5 * moved

    monkeypatch.setattr(LikePopulations, "step", wrong)
    law = law_of(LAWS[2])
    inputs = inputs_of(law, 500)
    inputs["strain"] = inputs["strain_old"] + 0.02 * inputs["strain"]
    inputs["dt"] = np.full((500, 1), 0.1)
    assert passes(law, inputs) > 12
