"""A bar of the Zener solid against closed forms: k = η = 1, relaxation times 1/2 and (creep) 1."""

import textwrap
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh

import ibvonn_fem
from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping, Uniaxial

pytestmark = pytest.mark.fem


def relaxation(t):
    """σ(t)/E of a suddenly held strain E."""
    return 0.5 * (1.0 + np.exp(-2.0 * t))


def creep(t):
    """ε(t)/σ₀ under a suddenly held stress σ₀."""
    return 2.0 - np.exp(-t)


def sinusoid(t, frequency):
    """σ(t)/E for ε = E sin ωt from rest: α̇ = ε − 2α solved by hand."""
    α = (2.0 * np.sin(frequency * t) - frequency * np.cos(frequency * t)) / (4.0 + frequency**2)
    α += frequency * np.exp(-2.0 * t) / (4.0 + frequency**2)
    return np.sin(frequency * t) - α


def relative_error(values, exact):
    return np.linalg.norm(values - exact) / np.linalg.norm(exact)


def reaction_history(bar, times, elongation):
    stepping = TimeStepping(bar.problem, lambda t: setattr(bar.elongation, "value", elongation(t)))
    forces = []
    stepping.run(times, lambda step: forces.append(bar.problem.reaction(bar.right)[0]))
    return np.array(forces)


def errors_at_halved_steps(run, exact, end=2.0, coarsest=20):
    errors = []
    for intervals in (coarsest, 2 * coarsest, 4 * coarsest):
        times = np.linspace(0.0, end, intervals + 1)
        errors.append(relative_error(run(times), exact(times)))
    return np.array(errors)


def assert_first_order(errors):
    """Halving Δt halves the error; the next term of the expansion allows 15 % at these steps."""
    ratios = errors[:-1] / errors[1:]
    assert np.all(np.abs(ratios - 2.0) < 0.3), f"errors {errors}, ratios {ratios}"


def test_relaxation_converges_to_the_closed_form_at_first_order(zener, bar):
    errors = errors_at_halved_steps(
        lambda times: reaction_history(bar(zener()), times, lambda t: 1.0),
        lambda times: 0.5 * relaxation(times),
    )
    assert_first_order(errors)
    assert errors[-1] < 5e-3


def test_relaxation_equals_the_discrete_recursion_to_round_off(zener, bar):
    times = np.linspace(0.0, 2.0, 21)
    α, expected = 0.0, [0.5]
    for dt in np.diff(times):
        α = (α + dt * 0.5) / (1.0 + 2.0 * dt)
        expected.append(0.5 - α)
    reactions = reaction_history(bar(zener()), times, lambda t: 1.0)
    np.testing.assert_allclose(reactions, expected, rtol=1e-13)


def test_creep_under_a_constant_force_converges_to_the_closed_form_at_first_order(zener, bar):
    def run(times):
        body = bar(zener(), drive="force")
        strains = []
        stepping = TimeStepping(body.problem, lambda t: setattr(body.force, "value", 0.3))
        stepping.run(times, lambda step: strains.append(body.strain.mean()))
        return np.array(strains)

    errors = errors_at_halved_steps(run, lambda times: 0.3 * creep(times))
    assert_first_order(errors)
    assert errors[-1] < 5e-3


@pytest.mark.slow
def test_sinusoid_converges_to_the_closed_form_at_first_order(zener, bar):
    frequency = 3.0
    errors = errors_at_halved_steps(
        lambda times: reaction_history(bar(zener()), times, lambda t: 1.0 * np.sin(frequency * t)),
        lambda times: 0.5 * sinusoid(times, frequency),
        coarsest=40,
    )
    assert_first_order(errors)
    assert errors[-1] < 5e-3


@pytest.mark.parametrize("friction", [0.95, 1.05])
def test_five_per_cent_error_in_friction_destroys_the_order(zener, bar, friction):
    """Guards the tests above: against a wrong solution the error does not halve."""
    errors = errors_at_halved_steps(
        lambda times: reaction_history(bar(zener()), times, lambda t: 1.0),
        lambda times: 0.5 * relaxation(times / friction),
    )
    with pytest.raises(AssertionError):
        assert_first_order(errors)


def test_a_jump_is_elastic_and_later_jumps_are_too(zener, bar):
    body = bar(zener())
    stepping = TimeStepping(
        body.problem, lambda t: setattr(body.elongation, "value", 1.0 if t < 1.5 else 0.2)
    )
    first = stepping.run([0.0, 0.5, 1.0])
    assert first[0].dt == 0.0
    assert first[0].balance.dissipated == 0.0
    α = body.law.internal[:, 0, 0].copy()
    stepping.loading = lambda t: setattr(body.elongation, "value", 0.2)
    jump = stepping.run([1.0])[0]
    np.testing.assert_array_equal(body.law.internal[:, 0, 0], α)
    np.testing.assert_allclose(body.stress, 0.1 - α, rtol=1e-12)
    assert jump.dt == 0.0


def test_a_law_whose_equilibrium_is_strained_starts_there(bar, zener_at):
    """The body at rest is at the declared strain and bears no stress: σ₀ = 0.2 is subtracted."""
    body = bar(zener_at(strain=0.4, statev=0.2))
    np.testing.assert_allclose(body.stress, 0.0, atol=1e-15)
    body.elongation.value = 0.2
    body.problem.solve(0.5)
    body.problem.commit()
    α = (0.2 + 0.5 * 0.5) / 2.0
    np.testing.assert_allclose(body.law.internal[:, 0, 0], α, rtol=1e-12)
    np.testing.assert_allclose(body.stress, 0.5 - α - 0.2, rtol=1e-12)


@pytest.mark.parametrize("stress_free", [True, False])
def test_a_bar_without_load_stays_as_it_is(zener_at, stress_free):
    """It crept to 0.4 while the law's initial stress was not subtracted."""
    domain = mesh.create_unit_interval(MPI.COMM_SELF, 2)
    V = fem.functionspace(domain, ("Lagrange", 1))
    u = fem.Function(V)
    clamp = fem.dirichletbc(0.0, fem.locate_dofs_geometrical(V, lambda x: np.isclose(x[0], 0)), V)
    law = InternalVariableLaw(
        zener_at(strain=0.4, statev=0.2), Uniaxial(stress_free=stress_free), u, 0
    )
    problem = InternalVariableProblem(law, u, [clamp])
    for dt in (0.0, 0.1, 10.0, 100.0):
        problem.solve(dt)
        problem.commit()
    assert np.abs(u.x.array).max() < 1e-14 if stress_free else np.abs(u.x.array).max() > 0.3


def test_the_example_in_the_package_docstring_runs_and_creeps(monkeypatch, capsys):
    blocks = ibvonn_fem.__doc__.split("::\n\n")
    example = textwrap.dedent(blocks[2].split("\n``law.stress``")[0])
    monkeypatch.chdir(Path(__file__).parents[2])
    exec(compile(example, "docstring", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 61
    time, strain = (float(word.strip("[]")) for word in lines[-1].split())
    np.testing.assert_allclose(strain, 0.3 * creep(time), rtol=3e-3)
