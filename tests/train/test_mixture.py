"""The decoder of a population: fractions as weights, one map of normal noise to all states."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import kstest
from torch import Tensor
from untrained_models import untrained_model

from ibvonn_train.data.binned_microstates import EmpiricalMeasure, Measures
from ibvonn_train.law.mixture import EMPTY, MixtureFlow, fractions_of
from ibvonn_train.law.networks.normal_distribution import upper_quantile, upper_tail
from ibvonn_train.training.build_law import LawSizes, build_law
from ibvonn_train.training.dataset import TrainingSet
from ibvonn_train.training.encode import start_from_states
from ibvonn_train.training.likelihood_term import negative_log_likelihood

STRAIN = 0.3
FRACTIONS = [
    [0.2, 0.3],
    [0.6, 0.399],
    [0.0, 0.0],
    [1.0, 0.0],
    [0.0, 1.0],
    [-2e-4, 0.7],
    [0.5, 0.501],
]


def mixture(features: int = 1, apart: float = 2.0, seed: int = 0) -> MixtureFlow:
    """Three states of random shapes, the middle one being number 0, and a strain before α."""
    generator = torch.Generator().manual_seed(seed)
    decoder = MixtureFlow(features, 3, first=1, states=3, generator=generator)
    for weight in decoder.parameters():
        noise = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
        weight.data.add_((0.3 if features == 1 else 0.1) * noise)
    decoder.centre.fill_(0.3)
    decoder.scale.fill_(0.7)
    decoder.state_centre[:, 0] = apart * torch.tensor([0.0, -1.0, 1.0])
    decoder.state_scale.fill_(0.25)
    return decoder.requires_grad_(False)


def context(fractions: list[list[float]]) -> Tensor:
    rows = torch.tensor(fractions, dtype=torch.float64)
    return torch.cat([torch.full_like(rows[:, :1], STRAIN), rows], 1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_normal_distribution_is_that_of_scipy() -> None:
    z = torch.linspace(0.0, 30.0, 3001, dtype=torch.float64)
    tail = upper_tail(z)
    assert np.max(np.abs(tail.numpy() / ndtr(-z.numpy()) - 1.0)) < 2e-8
    assert np.max(np.abs(tail.numpy() - ndtr(-z.numpy()))) < 1e-15
    assert (tail.diff() < 0.0).all()
    parts = torch.cat([torch.linspace(1e-3, 0.5, 500), torch.logspace(-299, -1, 500)]).double()
    parts = parts[parts > 1e-299]
    assert np.max(np.abs(upper_quantile(parts).numpy() + ndtri(parts.numpy()))) < 1e-13
    beyond = upper_quantile(torch.tensor([-1e-9, 0.0, 0.5, 0.6], dtype=torch.float64))
    assert beyond.tolist()[2:] == [0.0, 0.0]
    assert beyond.isfinite().all()


def test_fractions_are_those_of_alpha_and_never_below_the_least() -> None:
    p = fractions_of(context(FRACTIONS)[:, 1:], 3)
    assert ((p.sum(-1) - 1.0).abs() < 1e-14).all()
    assert (p >= 0.99 * EMPTY).all()
    assert (p[0] - torch.tensor([0.5, 0.2, 0.3])).abs().max() < 2.0 * EMPTY


@pytest.mark.parametrize("apart", [0.3, 2.0])
def test_density_integrates_to_one(apart: float) -> None:
    nodes = torch.linspace(-12.0, 12.0, 8001, dtype=torch.float64)
    given = context(FRACTIONS)
    points = nodes.expand(len(given), -1)[..., None]
    total = torch.trapezoid(mixture(apart=apart).log_density(points, given).exp(), nodes)
    assert (total - 1.0).abs().max() < 1e-4


def test_entropy_of_the_fractions_is_exact_where_states_are_apart() -> None:
    """⟨ln q⟩ = Σ p_s (ln p_s + ⟨ln q_s⟩_s), with q_s evaluated on its own."""
    decoder, nodes = mixture(apart=4.0), torch.linspace(-6.0, 6.0, 8001, dtype=torch.float64)
    given = context([[0.2, 0.3], [0.01, 0.04]])
    points = nodes.expand(2, -1)[..., None]
    log_q = decoder.log_density(points, given)
    whole = torch.trapezoid(log_q.exp() * log_q, nodes)
    p = decoder.fractions(given)
    parts = torch.zeros(2, dtype=torch.float64)
    for s in range(3):
        number = torch.zeros(2, 3, dtype=torch.float64)
        number[:, s] = 1.0
        y = ((points - decoder.centre) / decoder.scale - decoder.state_centre[s]) / 0.25
        log_s = decoder.flow.log_density(y, torch.cat([given, number], 1)) - math.log(0.25 * 0.7)
        parts += p[:, s] * (p[:, s].log() + torch.trapezoid(log_s.exp() * log_s, nodes))
    assert (whole - parts).abs().max() < 1e-4


def kolmogorov(decoder: MixtureFlow, given: Tensor, of: Tensor) -> list[float]:
    """√n times the distance between samples at some contexts and the density at others."""
    nodes = torch.linspace(-12.0, 12.0, 8001, dtype=torch.float64)
    density = decoder.log_density(nodes.expand(len(of), -1)[..., None], of).exp()
    levels = torch.cumulative_trapezoid(density, nodes)
    count = 10_000
    samples = decoder.sample(normal(len(given), count, 1, seed=3), given)[..., 0]
    return [
        math.sqrt(count) * float(kstest(x, lambda v, c=c: np.interp(v, nodes[1:], c)).statistic)
        for x, c in zip(samples.numpy(), levels.numpy(), strict=True)
    ]


@pytest.mark.parametrize("apart", [0.3, 2.0])
def test_samples_have_the_density(apart: float) -> None:
    """Kolmogorov's √n D exceeds 2 once in 1500 times."""
    given = context(FRACTIONS)
    assert max(kolmogorov(mixture(apart=apart), given, given)) < 2.0


def test_samples_of_other_fractions_do_not() -> None:
    """Guards the test above."""
    moved = context([[0.22, 0.3], [0.6, 0.37]])
    assert min(kolmogorov(mixture(), context([[0.2, 0.3], [0.6, 0.399]]), moved)) > 2.0


def test_plane_samples_have_the_density() -> None:
    """Moments of both components against integrals of the density."""
    decoder, given = mixture(features=2), context([[0.2, 0.3]])
    line = torch.linspace(-4.0, 4.5, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    density = decoder.log_density(grid[None], given)[0].exp() * float(line[1] - line[0]) ** 2
    assert abs(float(density.sum()) - 1.0) < 1e-3
    count = 40_000
    x = decoder.sample(normal(1, count, 2, seed=5), given)[0]
    for power in ([1, 0], [0, 1], [2, 0], [1, 1], [0, 2], [2, 1]):
        exponents = torch.tensor(power)
        values = x.pow(exponents).prod(-1)
        expected = float((density * grid.pow(exponents).prod(-1)).sum())
        assert abs(float(values.mean()) - expected) < 4.5 * float(values.std()) / count**0.5 + 1e-3


def test_noise_far_out_gives_the_two_ends_and_rises_between() -> None:
    decoder = mixture(apart=6.0)
    given = context([[0.2, 0.3], [0.5, 0.499999], [1e-5, 0.6]])
    noise = torch.linspace(-6.5, 6.5, 4001, dtype=torch.float64).expand(3, -1)[..., None]
    x = decoder.sample(noise, given)[..., 0]
    assert x.isfinite().all()
    assert (x.diff(dim=-1) > 0.0).all()
    nodes = torch.linspace(-12.0, 12.0, 8001, dtype=torch.float64)
    density = decoder.log_density(nodes.expand(3, -1)[..., None], given).exp()
    within = (nodes >= x[:, :1]) & (nodes <= x[:, -1:])
    assert torch.trapezoid(density * ~within, nodes).abs().max() < 1e-9


@pytest.mark.parametrize("features", [1, 2])
def test_empty_states_give_numbers_and_gradients(features: int) -> None:
    decoder = mixture(features=features).requires_grad_(True)
    given = context(FRACTIONS).requires_grad_(True)
    y = 3.0 * normal(len(given), 50, features)
    decoder.log_density(y, given).mean().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())
    assert decoder.sample(10.0 * normal(len(given), 50, features), given).isfinite().all()


def test_empty_state_has_no_samples() -> None:
    x = mixture().sample(normal(1, 5000, 1), context([[0.0, 0.4]]))
    assert (x > -0.5).all()


def test_order_of_the_states_is_that_of_their_places() -> None:
    """Not that of their numbers: the states of this mixture stand as 1, 0, 2."""
    decoder = mixture()
    turned = mixture()
    turned.state_centre.copy_(-decoder.state_centre)
    given = context([[0.2, 0.3]])
    ends = torch.tensor([[[-6.0], [6.0]]], dtype=torch.float64)
    for each in (decoder, turned):
        x = each.sample(ends, given)[0, :, 0]
        assert x[0] < -0.5
        assert x[1] > 1.0


def test_likelihood_of_its_own_samples_is_largest_at_its_own_fractions() -> None:
    model = untrained_model(1, (2,), mixed=True).law
    assert isinstance(model.decoder, MixtureFlow)
    model.decoder.state_centre.copy_(torch.tensor([[-1.0], [1.0]]))
    model.decoder.state_scale.fill_(0.2)
    strain = torch.zeros(1, 1, dtype=torch.float64)
    given = model.context(strain, torch.tensor([[0.3]], dtype=torch.float64))
    x = model.decoder.sample(normal(1, 5_000, 1), given)[0]
    measure = EmpiricalMeasure(x, torch.full((1, len(x)), 1.0 / len(x), dtype=torch.float64))
    measures = Measures(measure, measure)

    def nats(fraction: float) -> float:
        other = model.context(strain, torch.tensor([[fraction]], dtype=torch.float64))
        generator = torch.Generator().manual_seed(0)
        return float(negative_log_likelihood(model, measures, other, generator))

    assert nats(0.3) < min(nats(0.25), nats(0.35))


def test_files_of_earlier_versions_keep_their_single_flow() -> None:
    sizes = LawSizes.of_record(untrained_model(1, (2,), mixed=True).record["sizes"])
    assert sizes.mixed_states == 2
    old = {key: v for key, v in sizes.record().items() if key != "mixed_states"}
    law = build_law(LawSizes.of_record(old), torch.Generator().manual_seed(0))
    assert not isinstance(law.decoder, MixtureFlow)


@pytest.mark.parametrize("averaged", [False, True])
def test_states_begin_where_the_encoder_sees_them(
    averaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ensembles of different fractions and strains: the widths are those within a state."""
    law = untrained_model(1, (2,), mixed=True, averaged=averaged).law
    decoder = law.decoder
    assert isinstance(decoder, MixtureFlow)
    decoder.centre.fill_(0.2)
    decoder.scale.fill_(0.9)
    strain = torch.tensor([[0.3], [-0.4]], dtype=torch.float64)
    place = torch.tensor([[-1.0] * 3000 + [1.0] * 1000, [-1.0] * 1000 + [1.0] * 3000]).double()
    width = torch.where(place < 0.0, 0.1, 0.2)
    y = place + width * normal(2, 4000)
    x = y + strain if averaged else y
    weights = torch.full(x.shape, 1.0 / 4000, dtype=torch.float64)
    measure = EmpiricalMeasure(x[..., None], weights)
    opened = place[..., None] > 0.0
    monkeypatch.setattr(law.encoder, "features", lambda _: opened.double())
    block = SimpleNamespace(
        measures=Measures(measure, measure), strain=strain, flat=lambda series: series
    )
    start_from_states(decoder, law, cast(TrainingSet, SimpleNamespace(training=[block])))
    centres = decoder.state_centre * decoder.scale + decoder.centre
    widths = decoder.state_scale * decoder.scale
    assert (centres[:, 0] - torch.tensor([-1.0, 1.0])).abs().max() < 4.5 * 0.2 / 4000**0.5
    assert (widths[:, 0] / torch.tensor([0.1, 0.2]) - 1.0).abs().max() < 4.5 / 8000**0.5
