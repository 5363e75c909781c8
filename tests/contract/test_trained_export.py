"""What is trained is what is exported: f, σ, g, α̇, φ and their derivatives, encoder and decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from untrained_models import untrained_model

from ibvonn_train.evaluation import open_law
from ibvonn_train.evaluation.encoded_records import encode_distributions
from ibvonn_train.export import ConstitutiveLaw, export_trained
from ibvonn_train.export.trained_parameters import law_parameters
from ibvonn_train.training.trained_model import TrainedModel

CASES: dict[str, dict[str, Any]] = {
    "one population": {"strain_size": 1, "populations": (2,)},
    "a mean beside a population": {"strain_size": 1, "populations": (2,), "means": 1},
    "three states": {"strain_size": 1, "populations": (3,)},
    "two populations and two means": {"strain_size": 2, "populations": (3, 2), "means": 2},
    "three directions": {"strain_size": 3, "populations": (2,), "means": 1, "directions": True},
    "three directions, three states, two means": {
        "strain_size": 3, "populations": (3,), "means": 2, "directions": True,
    },
    "a mean": {"strain_size": 1, "means": 1},
    "three means of three strains": {"strain_size": 3, "means": 3},
    "means of three directions": {"strain_size": 3, "means": 1, "directions": True},
}  # fmt: skip


def drawn(model: TrainedModel, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """States with fractions in their bounds."""
    rng = np.random.default_rng(seed)
    strain = rng.uniform(-1.0, 1.0, (count, model.strain_size))
    internal = rng.normal(size=(count, model.internal_size))
    for first, states in model.groups:
        parts = rng.dirichlet(np.ones(states), count)
        internal[:, first : first + states - 1] = parts[:, 1:]
    return strain, internal


def close(value: Any, expected: Any) -> None:
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_exported_potentials_are_those_that_were_trained(case: dict[str, Any]) -> None:
    model = untrained_model(**case)
    n = model.strain_size
    rest = np.full(n, 0.05)
    zero = model.equilibrium(rest)
    law = ConstitutiveLaw.of(law_parameters(model, rest, zero))
    strain, internal = drawn(model, 40)
    eps, alpha = torch.from_numpy(strain - rest), torch.from_numpy(internal - zero)
    energy, stress, force, rate = law.rates()(eps, alpha)
    expected = model.rates(strain, internal)
    at_rest = model.rates(rest, zero)
    close(energy[:, 0], expected.energy - at_rest.energy)
    close(stress, expected.stress)
    close(force, expected.driving_force)
    close(rate, expected.rate)
    close(law.energy.derivatives(eps, alpha)[2], model.energy_hessian(strain, internal))
    g = torch.from_numpy(np.random.default_rng(2).normal(size=internal.shape))
    state = torch.from_numpy(strain), torch.from_numpy(internal)
    potentials = model.law.potentials
    value, _, curvature = law.dissipation.derivatives(g, *law.dissipation.prepare(eps, alpha))
    close(value[:, 0], potentials.dual_dissipation(g, *state))
    close(curvature, potentials.mobility(g, *state))
    own = law.dissipation.derivatives(force, *law.dissipation.prepare(eps, alpha))[1]
    close(own, rate)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hosts_start_at_the_equilibrium(case: dict[str, Any]) -> None:
    model = untrained_model(**case)
    rest = np.zeros(model.strain_size)
    zero = model.equilibrium(rest)
    value = model.rates(rest, zero)
    assert np.abs(value.driving_force).max() < 1e-9
    rng = np.random.default_rng(3)
    for _ in range(50):  # f is convex in α: it is nowhere lower
        other = zero + 0.05 * rng.normal(size=zero.shape)
        low, high = model.bounds.T
        if np.all((other > low) & (other < high)) and all(
            other[i : i + m - 1].sum() < 1 for i, m in model.groups
        ):
            assert model.rates(rest, other).energy >= value.energy - 1e-12
    law = ConstitutiveLaw.of(law_parameters(model, rest, zero))
    states = [torch.zeros(1, size).double() for size in (model.strain_size, model.internal_size)]
    energy, _, force, rate = law.rates()(*states)
    assert float(energy) == pytest.approx(0.0, abs=1e-14)
    assert float(force.abs().max()) < 1e-10
    assert float(rate.abs().max()) < 1e-10


@pytest.mark.parametrize("tilt", [20.0, -20.0])
def test_an_equilibrium_with_a_nearly_empty_state_is_found_or_refused(tilt: float) -> None:
    """20 k_BT between two states leave e^−20 in the upper one."""
    model = untrained_model(1, (2,))
    potentials = model.law.potentials
    with torch.no_grad():
        for parameter in potentials.parameters():
            parameter *= 0.0
        potentials.smooth.layers.output_raw.fill_(-50.0)
        theta = float(potentials.thermal_energy)
        slope = tilt * theta / float(potentials.energy_scale)
        potentials.smooth.linear[0, 1] = slope / 2.0  # the feature of a fraction is 2 p − 1
        potentials.smooth.internal_root.fill_(1e-8)
        potentials.smooth.concavity.fill_(-60.0)
    zero = model.equilibrium([0.0])
    exact = 1.0 / (1.0 + np.exp(tilt))
    assert zero[0] == pytest.approx(exact, rel=1e-6, abs=0)
    law = ConstitutiveLaw.of(law_parameters(model, np.zeros(1), zero))
    states = [torch.zeros(1, 1).double()] * 2
    assert float(law.rates()(*states)[2].abs().max()) < 1e-8 * theta
    with torch.no_grad():
        potentials.smooth.linear[0, 1] *= 3.0
    if tilt < 0:  # state 0 is what the others leave of 1
        with pytest.raises(ValueError, match="every state of a population must be occupied"):
            law_parameters(model, np.zeros(1), model.equilibrium([0.0]))
    else:
        zero = model.equilibrium([0.0])
        assert zero[0] == pytest.approx(np.exp(-60.0), rel=1e-6, abs=0)
        law = ConstitutiveLaw.of(law_parameters(model, np.zeros(1), zero))
        assert float(law.rates()(*states)[2].abs().max()) < 1e-8 * theta


def test_encoder_and_decoder_of_several_classes_have_an_axis_of_classes(tmp_path: Path) -> None:
    model = untrained_model(3, (2,), 1, directions=True)
    law: Any = open_law(export_trained(model, tmp_path / "model"))
    zero = model.equilibrium(np.zeros(3))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3, 20, 1))
    _, internal = law.encode(x)
    close(internal, model.encode(x) - zero)
    own = [model.law.encoder(torch.from_numpy(x[:, a])).numpy() for a in range(3)]
    close(internal, np.concatenate(own, 1) - zero)
    strain = rng.normal(size=(5, 3))
    density = law.log_density(x, strain, internal)
    assert density.shape == (5, 3, 20)
    shift = law.strain_reference
    sites = torch.from_numpy(np.stack(own, 1)).flatten(0, 1)
    points = torch.from_numpy(x).flatten(0, 1)
    with torch.no_grad():
        expected = model.law.log_density(points, torch.from_numpy(strain + shift), sites)
        moved = model.law.log_density(points, torch.from_numpy(strain + shift + 0.1), sites)
    np.testing.assert_allclose(density.reshape(15, 20), expected, atol=1e-9)
    assert float((moved - expected).abs().max()) > 1e-4, "the strain of the class is given"
    drawn = law.sample(rng.normal(size=(5, 3, 7, 1)), strain, internal)
    assert drawn.shape == (5, 3, 7, 1)
    listed = law.manifest["internal"]["variables"]
    assert [(v["kind"], v["class"]) for v in listed] == [
        (kind, name) for name in "abc" for kind in ("population", "mean")
    ]
    assert law.manifest["symmetry"][1]["classes"] == [1, 2, 0]


@pytest.mark.parametrize("directions", [False, True])
def test_histograms_have_the_alpha_of_the_samples_that_they_count(
    directions: bool, tmp_path: Path
) -> None:
    size, classes = (3, 3) if directions else (1, 1)
    model = untrained_model(size, (3,), 1, directions=directions)
    law: Any = open_law(export_trained(model, tmp_path / "model"))
    nodes = np.linspace(-2.0, 2.0, 9)[:, None]
    counts = np.random.default_rng(1).multinomial(40, np.full(9, 1 / 9), size=(4, classes))
    samples = np.array([[np.repeat(nodes, c, 0) for c in row] for row in counts])
    expected = law.encode(samples if directions else samples[:, 0])[1]
    close(encode_distributions(law, nodes, counts / 40), expected)


def test_histograms_do_not_give_means_about_the_mean(tmp_path: Path) -> None:
    model = untrained_model(1, (2,), 1, averaged=True)
    law: Any = open_law(export_trained(model, tmp_path / "model"))
    nodes = np.linspace(-2.0, 2.0, 9)[:, None]
    with pytest.raises(ValueError, match=r"those of x − ⟨x⟩"):
        encode_distributions(law, nodes, np.full((1, 1, 9), 1 / 9))
