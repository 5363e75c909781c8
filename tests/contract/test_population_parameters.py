"""The arrays of a law with populations: what is stored is read, what breaks the physics is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ibvonn_train.closed_form.random_law import untrained_law, untrained_populations
from ibvonn_train.export import ConstitutiveLaw, LawParameters, PopulationParameters
from ibvonn_train.export.folding import shifted, with_zero_energy


@pytest.mark.parametrize("case", [(1, (2,), 0), (2, (3, 2), 1)])
def test_saved_parameters_are_read_back_exactly(tmp_path, case):
    law = untrained_populations(*case)
    law.save(tmp_path / "parameters.npz")
    again = PopulationParameters.load(tmp_path / "parameters.npz")
    assert again.arrays().keys() == law.arrays().keys()
    for name, array in law.arrays().items():
        assert np.array_equal(again.arrays()[name], array), name
    assert again.groups.dtype == np.int64


def test_family_decides_what_arrays_are_read_as(tmp_path):
    populations, convex = untrained_populations(1, (2,)), untrained_law(1, 1)
    assert ConstitutiveLaw.of_arrays(populations.arrays()).family == "populations"
    assert ConstitutiveLaw.of_arrays(convex.arrays()).family == "convex_potentials"
    with pytest.raises(ValueError, match="family 'populations'; found 'convex_potentials'"):
        PopulationParameters.of(convex.arrays())
    arrays = populations.arrays()
    del arrays["rest"]
    with pytest.raises(ValueError, match="rest"):
        PopulationParameters.of(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros((0, 2))}, "at least one"),
        ({"groups": np.array([[0, 1]])}, "two states or more"),
        ({"groups": np.array([[2, 3]])}, "components that exist"),
        ({"groups": np.array([[0, 3], [1, 2]])}, "share no components"),
        ({"rest": np.array([0.5, 0.6, 0.0])}, "sum below 1"),
        ({"rest": np.array([-0.1, 0.6, 0.0])}, "not be negative"),
        ({"rest": np.array([0.1, 0.6, 0.1])}, "0 for means"),
        ({"thermal_energy": 0.0}, "thermal_energy must be positive"),
        ({"rate_bias": (np.zeros(3),)}, "rate network"),
        ({"rate_barrier": np.zeros(2)}, "rate_barrier must have shape"),
        ({"ridge_weight": np.zeros((6, 2))}, "ridge_weight must have shape"),
    ],
)
def test_parameters_that_break_the_structure_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(untrained_populations(1, (3,), 1), **change)


@pytest.mark.parametrize(("component", "allowed"), [(0, 1.0), (2, 0.0)])
def test_smooth_energy_may_be_concave_up_to_the_entropy_and_not_beyond(component, allowed):
    """2θ(I + 11ᵀ) for the population of three states, nothing for the mean beside it."""
    law = untrained_populations(1, (3,), 1)
    bound = law.entropy_bound()
    np.testing.assert_allclose(bound[:2, :2], 2.0 * law.thermal_energy * np.array([[2, 1], [1, 2]]))
    assert not np.any(bound[2])
    for factor, accepted in ((0.999 * allowed, True), (1.001 * allowed + 1e-3, False)):
        quadratic = law.energy_quadratic.copy()
        quadratic[1:, 1:] = 0.0
        lowest = np.linalg.eigvalsh(bound[:2, :2])[0]
        direction = np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0) if component == 0 else np.eye(3)[2]
        quadratic[1:, 1:] -= (
            factor * (lowest if component == 0 else 1.0) * np.outer(direction, direction)
        )
        if accepted:
            replace(law, energy_quadratic=quadratic)
        else:
            with pytest.raises(ValueError, match="positive semidefinite"):
                replace(law, energy_quadratic=quadratic)


@pytest.mark.parametrize("states", [2, 3, 5])
def test_bound_of_the_entropy_is_below_its_hessian_and_reached(states):
    law = untrained_populations(1, (states,))
    bound, theta = law.entropy_bound(), law.thermal_energy
    fractions = np.random.default_rng(0).dirichlet(np.ones(states), 2000)
    fractions[0] = [0.5, 0.5, *np.zeros(states - 2)][:states]
    fractions = np.clip(fractions, 1e-9, None)
    hessian = theta * (np.eye(states - 1) / fractions[:, 1:, None] + 1.0 / fractions[:, :1, None])
    gap = np.linalg.eigvalsh(hessian - bound)[:, 0]
    assert gap.min() > -1e-9
    assert gap[0] < 1e-6  # two states of one half each


@pytest.mark.parametrize(
    "law",
    [untrained_populations(1, (2,)), untrained_populations(2, (3, 2), 1), untrained_law(1, 2)],
)
def test_shifted_law_is_the_same_law_from_another_zero(law):
    rng = np.random.default_rng(1)
    shift = rng.normal(size=law.size)
    if isinstance(law, PopulationParameters):
        shift[law.strain_size :] = -law.rest  # to the fractions themselves
    moved = shifted(law, shift)
    x = 0.05 * rng.normal(size=(20, law.size))
    for result, expected in zip(values(moved, x - shift), values(law, x), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12)
    back = shifted(moved, -shift)
    for result, expected in zip(values(back, x), values(law, x), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12)
    assert abs(ConstitutiveLaw.of(with_zero_energy(law)).equilibrium()[1]) < 1e-13


def values(law: LawParameters | PopulationParameters, x: np.ndarray) -> list[np.ndarray]:
    m = law.strain_size
    with torch.no_grad():
        result = ConstitutiveLaw.of(law).rates()(torch.tensor(x[:, :m]), torch.tensor(x[:, m:]))
    return [value.numpy() for value in result]


def test_rate_saturates_where_the_force_has_removed_the_barrier():
    """Ln k₁₂ = ln k' + y grows with y up to b and no further; k₁₂/k₂₁ = e^2y stays."""
    law = replace(
        untrained_populations(1, (2,)),
        rate_weight=(np.zeros((1, 3)),),
        rate_bias=(np.zeros(1),),
        rate_barrier=np.array([4.0]),
    )
    kinetics = ConstitutiveLaw.of(law).kinetics
    y = torch.tensor([[0.0], [2.0], [15.0], [20.0]], dtype=torch.float64)
    faster = kinetics.rates.implicit(y)[0] + y
    assert float(faster[1]) == pytest.approx(2.0, abs=0.15)
    assert float(faster[3] - faster[2]) == pytest.approx(0.0, abs=1e-4)
    assert float(faster[3]) == pytest.approx(4.0, abs=1e-4)
