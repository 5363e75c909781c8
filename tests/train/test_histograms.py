"""Histograms made while simulating, against the samples of the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble

from ibvonn_train.data import Histogram, TrajectoryEnsemble, bins_by_numpy, compiled_bins
from ibvonn_train.data.bin_lattice import Lattice, Window
from ibvonn_train.data.binned_microstates import uniform_nodes
from ibvonn_train.data.lattice_bins import CUBIC, LINEAR, BoundedLattice, bin_samples
from ibvonn_train.data.state_measures import measure_of, span_of
from ibvonn_train.simulation import (
    ChainCell,
    HookeanDumbbell,
    SpringChain,
    TetheredParticle,
)
from ibvonn_train.simulation.protocols import hold, ramp, smooth_pull
from ibvonn_train.simulation.strain_paths import along
from ibvonn_train.simulation.systems.system import Preparation

CASES: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    "trap": (
        TetheredParticle(), [ramp(1.0), smooth_pull(0.7, sine=2.0, frequency=1.0)],
        {"duration": 1.0, "replicas": 300},
    ),
    "chain": (
        SpringChain(springs=4, preparation=(Preparation(300, 0.01, 2.0),)),
        [smooth_pull(0.05, 0.05)], {"duration": 1.0, "replicas": 200},
    ),
    "cell": (
        ChainCell(springs=12), [ramp(0.01), hold(0.1)],
        {"duration": 60.0, "time_step": 0.1, "stride": 10, "replicas": 40},
    ),
    "dumbbell": (
        HookeanDumbbell(), [along(ramp(0.1), (1.0, -1.0, 0.5))],
        {"duration": 0.5, "replicas": 100},
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES, ids=str)
def both(request: pytest.FixtureRequest) -> tuple[TrajectoryEnsemble, TrajectoryEnsemble]:
    """Samples and histogram of one run."""
    system, protocols, settings = CASES[request.param]
    kept, binned = (
        small_ensemble(system, protocols, record=record, **settings)
        for record in ("samples", "histogram")
    )
    return kept, binned


def hats(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Tensor hats at samples (…, n_x), (…, n_coarse), on nodes of any order."""
    steps = [np.diff(np.unique(axis.round(9))).min() for axis in nodes.T]
    away = np.abs(x[..., None, :] - nodes) / steps
    return np.clip(1.0 - away, 0.0, None).prod(-1)


def test_the_moments_of_a_histogram_are_those_of_the_samples(both: Any) -> None:
    samples, binned = both
    x, h = samples.samples.astype(float), binned.histogram
    for power in (1, 2, 3):
        exact = (x**power).mean(3)
        size = np.abs(exact).max()
        np.testing.assert_allclose(h.weights @ h.nodes**power, exact, rtol=0, atol=1e-12 * size)
    assert (binned.replicas, binned.elements) == (samples.replicas, samples.elements)
    for name in ("strain", "stress", "energy", "stress_variance"):
        if getattr(samples, name) is not None:
            np.testing.assert_array_equal(getattr(binned, name), getattr(samples, name))


def test_variances_of_coarse_hats_are_those_between_replicas(both: Any) -> None:
    samples, binned = both
    h = binned.histogram
    values = hats(h.coarse_nodes, samples.samples.astype(float))
    shape = values.shape
    of_replicas = values.reshape(*shape[:3], samples.replicas, samples.elements, -1).mean(4)
    expected = of_replicas.var(3, ddof=1)
    np.testing.assert_allclose(h.coarse_variance, expected, rtol=0, atol=1e-8)
    naive = values.var(3, ddof=1) / samples.elements
    if samples.elements > 1:  # springs of a cell are not independent
        assert np.abs(naive - expected).max() > 0.05 * expected.max()


def test_joint_counts_are_the_covariances_within_each_ensemble(both: Any) -> None:
    samples, binned = both
    h = binned.histogram
    values = hats(h.coarse_nodes, samples.samples.astype(float))
    assert 0 in h.lags
    assert len(h.lags) > 3
    for place, lag in enumerate(h.lags):
        before, after = values[:, : values.shape[1] - lag], values[:, lag:]
        joint = np.einsum("ptsri,ptsrj->ptsij", before, after) / values.shape[3]
        means = np.einsum("ptsi,ptsj->ptsij", before.mean(3), after.mean(3))
        expected = (joint - means).mean((1, 2))
        np.testing.assert_allclose(h.joint_counts[:, place], expected, rtol=0, atol=1e-8)
    symmetric = h.joint_counts[:, 0]
    np.testing.assert_allclose(symmetric, np.swapaxes(symmetric, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(symmetric).min() > -1e-12


def test_a_histogram_comes_back_from_its_file(both: Any, tmp_path: Path) -> None:
    _, binned = both
    binned.save(tmp_path / "binned.h5")
    read = TrajectoryEnsemble.load(tmp_path / "binned.h5")
    assert read.sha256() == binned.sha256()
    assert np.array_equal(read.histogram.joint_counts, binned.histogram.joint_counts)
    one = read.select([0])
    assert one.histogram.joint_counts.shape[0] == 1
    assert read.select(slice(None), slice(0, 5)).histogram.joint_counts is None
    with pytest.raises(ValueError, match='Simulate the set with record = "samples"'):
        _ = read.samples


@pytest.mark.parametrize("centred", [False, True])
def test_a_measure_of_a_histogram_has_the_moments_of_that_of_the_samples(
    both: Any, centred: bool
) -> None:
    samples, _ = both
    rows = list(range(samples.protocols))
    means = []
    nodes = None
    if samples.microstate_size == 1:
        spans = np.stack([span_of(data, rows, centred=centred) for data in both])
        nodes = uniform_nodes(float(spans[:, 0].min()), float(spans[:, 1].max()), 200)
    for data in both:
        measure = measure_of(data, rows, centred=centred, nodes=nodes, samples=10**6)
        assert float((measure.weights.sum(-1) - 1).abs().max()) < 1e-12
        means.append([measure.mean(measure.nodes**power) for power in (1, 2, 3)])
    for own, other in zip(*means, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("centred", [False, True])
def test_microstates_of_two_dimensions_are_binned_on_nodes_that_all_states_share(
    centred: bool,
) -> None:
    paths = [along(ramp(rate), (1.0, -1.0, 0.5)) for rate in (0.1, -0.2)]
    data = small_ensemble(HookeanDumbbell(), paths, duration=0.2, replicas=50)
    rows = [1, 0]
    low, high = span_of(data, rows, centred=centred)
    lattice = BoundedLattice.over(low, high, 12)
    measure = measure_of(data, rows, centred=centred, nodes=lattice)
    assert measure.shared
    assert measure.nodes.shape == (16 * 16, 2)
    kept = measure_of(data, rows, centred=centred)
    assert not kept.shared
    for a, b in ((1, 0), (0, 1), (2, 1), (3, 2)):
        binned, exact = (
            m.mean((m.nodes[..., :1] ** a) * (m.nodes[..., 1:] ** b)) for m in (measure, kept)
        )
        torch.testing.assert_close(binned, exact, rtol=0, atol=1e-10)


def test_detailed_balance_shows_in_the_joint_counts() -> None:
    """At rest the covariances at a lag are symmetric, within sampling error; under load they are
    not.
    """
    settings = {"duration": 4.0, "stride": 5, "replicas": 4000, "record": "histogram"}
    rest, driven = (
        small_ensemble(TetheredParticle(), [protocol], **settings)
        for protocol in (hold(0.3), smooth_pull(2.0, sine=2.0, frequency=1.0))
    )

    def asymmetry(data: TrajectoryEnsemble) -> float:
        h = data.histogram
        # Of the moments x and x²: hats reproduce x exactly, x² nearly.
        c = h.joint_counts[0, list(h.lags).index(5)]
        x = h.coarse_nodes[:, 0]
        u, v = x - x.mean(), (x - x.mean()) ** 2
        return float(abs(u @ c @ v - v @ c @ u) / np.sqrt((u @ c @ u) * (v @ c @ v)))

    assert asymmetry(rest) < 0.01
    assert asymmetry(driven) > 0.02


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_compiled_sums_are_those_of_numpy(axes: int) -> None:
    if not compiled_bins.available():
        pytest.skip("needs a C compiler")
    random = np.random.default_rng(1)
    x, later = random.normal(size=(2, 4, 60, axes))
    lattice = Lattice(random.normal(size=axes), random.uniform(0.4, 0.9, axes))
    for order in (LINEAR, CUBIC):
        window = lattice.window(x, order)
        ours = compiled_bins.totals(lattice, window, x, order)
        np.testing.assert_allclose(
            ours, bins_by_numpy.totals(lattice, window, x, order), atol=1e-12
        )
        np.testing.assert_allclose(ours.sum(1), 60.0)
    window = lattice.window(np.stack([x, later]), LINEAR)
    pairs = x.reshape(-1, axes), later.reshape(-1, axes)
    np.testing.assert_allclose(
        compiled_bins.pair_totals(lattice, window, *pairs),
        bins_by_numpy.pair_totals(lattice, window, *pairs),
        atol=1e-12,
    )


def test_bins_of_a_lattice_are_a_tensor_product() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 50, 2))
    lattice = Lattice(np.array([0.1, -0.2]), np.array([0.3, 0.5]))
    window, weights = bin_samples(lattice, x)
    nodes = lattice.nodes(window)
    assert weights.shape == (3, window.size)
    exact = np.mean(x[..., 0] ** 2 * x[..., 1] ** 3, 1)
    np.testing.assert_allclose(weights @ (nodes[:, 0] ** 2 * nodes[:, 1] ** 3), exact, rtol=1e-12)
    larger = Window.union([window, Window((-9, -9), (9, 9))])
    np.testing.assert_array_equal(lattice.nodes(larger)[window.places_in(larger)], nodes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": np.full((1, 2, 1, 4), 0.3)}, "must sum to one"),
        ({"weights": np.full((1, 2, 1, 3), 1 / 3)}, "with 4 nodes"),
        ({"replicas": 1}, "at least 2"),
        ({"lags": np.array([0]), "joint_counts": np.zeros((1, 1, 2, 2))}, "coarse_nodes must be"),
        ({"coarse_nodes": np.zeros((2, 1)), "lags": np.array([0])}, "both or not at all"),
        ({"coarse_nodes": np.zeros((2, 3))}, r"coarse_nodes must have shape \(2, 1\)"),
    ],
)
def test_a_histogram_without_meaning_is_refused(change: dict[str, Any], words: str) -> None:
    fields: dict[str, Any] = {
        "nodes": np.arange(4.0)[:, None], "weights": np.full((1, 2, 1, 4), 0.25), "replicas": 3,
    }  # fmt: skip
    Histogram(**fields)
    with pytest.raises(ValueError, match=words):
        Histogram(**fields | change)


def test_the_default_keeps_few_samples_and_bins_cells() -> None:
    few = small_ensemble(TetheredParticle(), [ramp(1.0)], duration=0.1, replicas=10)
    assert few.histogram is None
    cell = small_ensemble(
        ChainCell(springs=400), [hold(0.0)], duration=20.0, time_step=0.1, stride=1, replicas=128
    )
    assert cell.microstate is None
    with pytest.raises(ValueError, match="record must be auto, samples or histogram"):
        small_ensemble(TetheredParticle(), [ramp(1.0)], duration=0.1, replicas=10, record="bins")
    cold = TetheredParticle(thermal_energy=0.0)
    with pytest.raises(ValueError, match="needs ensembles that spread"):
        small_ensemble(cold, [ramp(1.0)], duration=0.1, replicas=10, record="histogram")
