r"""Slow features of the microstate from the data themselves: no network, no random start.

ψ maximises :math:`E[\operatorname{cov}(\psi(x_t), \psi(x_{t+\tau}))] / E[\operatorname{var}\psi]`,
variances and covariances taken over the replicas *within* each state, so that the drift of a driven
mean does not count as memory. In a basis of cells of microstate space (indicator functions) this is
a generalised symmetric eigenproblem; its eigenvalue μ gives the time scale −τ/ln μ of a feature.

References:
    Wu & Noé (2020), *Variational approach for learning Markov processes from time series data*,
    J. Nonlinear Sci. 30, 23 (VAMP); Deuflhard & Weber (2005), *Robust Perron cluster analysis*,
    Linear Algebra Appl. 398, 161 (states from eigenvectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2
from scipy.linalg import eigh
from scipy.spatial import KDTree

from ..data.ensemble import TrajectoryEnsemble

FloatArray = npt.NDArray[np.float64]

CELLS = 60
DIGITS = 6
"""Decimals that are kept of features, memberships and μ: the last ones of NumPy's products depend
on where arrays lie in memory, and a training has to repeat to the bit."""
PROTOCOLS = 12
"""Protocols of an ensemble that are used, evenly spaced."""
DRAWN = 4000
"""Samples of each that decide the cells."""
SAMPLES = 5_000_000
"""Transitions that are counted at most for each lag: more do not change the features."""
FAST = 0.5
"""The lag is the shortest at which the second feature has decayed to less than this."""
RIDGE = 1e-3
"""Added to the variances, in parts of their mean: cells that are rarely visited decide nothing."""
RESPONSE = 0.1
"""A feature has a mean that moves with the strain if this moves by more than this part of the
thermal spread about it."""


@dataclass(frozen=True)
class SlowFeatures:
    """Features on the cells of microstate space, the slowest first.

    Attributes:
        centres: Of the cells, ``(n_cell, n_x)``.
        fractions: Part of the samples of some states in each cell, ``(n_state, n_cell)``.
        variance: Covariance of the cells within a state, sum over states, ``(n_cell, n_cell)``.
        covariance: The same between states one lag apart.
        values: Features on the cells, ``(n_cell, n_feature)``, of unit variance within a state.
        memory: μ of each, ``(n_feature,)``.
        lag: τ [time].
    """

    centres: FloatArray
    fractions: FloatArray
    variance: FloatArray
    covariance: FloatArray
    values: FloatArray
    memory: FloatArray
    lag: float

    @property
    def occupancy(self) -> FloatArray:
        """Part of all samples in each cell, ``(n_cell,)``."""
        mean: FloatArray = np.round(self.fractions.mean(0), 2 * DIGITS)
        return mean

    @property
    def time_scales(self) -> FloatArray:
        """−τ/ln μ of each feature [time]."""
        scales: FloatArray = -self.lag / np.log(np.clip(self.memory, 1e-6, 1.0 - 1e-9))
        return scales

    @property
    def slowest(self) -> float:
        """Time scale of the first feature [time]."""
        return float(self.time_scales[0])

    @property
    def gap(self) -> float:
        """Time scale of the first feature over that of the second."""
        return float(self.time_scales[0] / self.time_scales[1])


class Cells:
    """Partition of microstate space by nearest centres.

    Args:
        samples: Microstates, ``(n, n_x)``; the centres are quantiles of those of one component, and
            means of clusters of those of more.
        count: Number of cells.
        seed: Of the clustering.
    """

    def __init__(self, samples: FloatArray, count: int, seed: int) -> None:
        if samples.shape[1] == 1:
            low, high = np.quantile(samples, [1e-4, 1.0 - 1e-4])
            even = np.linspace(low, high, count // 2)
            places = (np.arange(count - len(even)) + 0.5) / (count - len(even))
            self.centres = np.unique(np.concatenate([even, np.quantile(samples, places)]))[:, None]
        else:
            scale = samples.std(0)
            start = samples / scale
            centres, _ = kmeans2(start, count, minit="++", seed=seed)
            self.centres = centres * scale
            self._tree = KDTree(centres)
            self._scale = scale
        self._edges = 0.5 * (self.centres[1:, 0] + self.centres[:-1, 0])

    def __len__(self) -> int:
        return len(self.centres)

    def number(self, microstate: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """Return the cell of each microstate ``(..., n_x)``, shape ``(...)``."""
        if microstate.shape[-1] == 1:
            numbers: npt.NDArray[np.int64] = np.searchsorted(self._edges, microstate[..., 0])
            return numbers
        flat = microstate.reshape(-1, microstate.shape[-1]) / self._scale
        nearest: npt.NDArray[np.int64] = self._tree.query(flat)[1].astype(np.int64)
        return nearest.reshape(microstate.shape[:-1])


def covariances(
    series: Sequence[npt.NDArray[np.int64]], cells: int, lags: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Return covariances of the cells' indicators within each state, at each lag, and fractions.

    Args:
        series: Cells of the replicas, one array ``(n_time, n_site, n_replica)`` for each protocol.
        cells: Their number.
        lags: In stored steps; lag 0 gives the variances.

    Returns:
        Means over the instants, sums over protocols and sites, ``(n_lag, cells, cells)``,
        symmetrised; and the fractions of the samples of some states in each cell, ``(n_state,
        cells)``.
    """
    totals = np.zeros((len(lags), cells, cells))
    fractions = []
    stride = max(1, sum(part.size for part in series) // SAMPLES)
    for part in series:
        times, sites, replicas = part.shape
        rows = np.repeat(np.arange(times * sites), replicas)
        counts = np.bincount(rows * cells + part.reshape(-1), minlength=times * sites * cells)
        # Whole numbers as floats: products of them are exact, in whatever order they are added.
        counts = counts.reshape(times, sites, cells).astype(np.float64)
        fractions.append(counts[::10].reshape(-1, cells) / replicas)
        for index, lag in enumerate(lags):
            if lag >= times:
                continue
            first, second = part[: times - lag : stride], part[lag::stride]
            pairs = np.bincount((first * cells + second).reshape(-1), minlength=cells * cells)
            before = counts[: times - lag : stride].reshape(-1, cells)
            after = counts[lag::stride].reshape(-1, cells)
            total = replicas * pairs.reshape(cells, cells) - before.T @ after
            totals[index] += 0.5 * (total + total.T) / (len(first) * replicas**2)
    return totals, np.concatenate(fractions)


def features_at(
    covariance: FloatArray, variance: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Return the ``count`` slowest features on the cells and their μ."""
    ridge = RIDGE * np.trace(variance) / len(variance)
    memory, vectors = eigh(covariance, variance + ridge * np.eye(len(variance)))
    order = np.argsort(memory)[::-1][:count]
    return vectors[:, order], memory[order]


def slow_features(
    ensembles: Sequence[tuple[TrajectoryEnsemble, Sequence[int]]],
    *,
    count: int,
    seed: int,
) -> SlowFeatures:
    """Return the slow features of some ensembles: those of the one with the widest gap.

    A wide gap of time scales is seen best at one lag, which the ensembles of slow and of fast
    protocols do not have in common.

    Args:
        ensembles: Each with the protocols that are used.
        count: Number of features.
        seed: Of the choice of samples and cells.

    Raises:
        ValueError: If an ensemble has neither samples nor joint counts.
    """
    candidates = [
        _of_histogram(ensemble, rows, count)
        if ensemble.histogram is not None
        else _of_samples(ensemble, rows, count, seed)
        for ensemble, rows in ensembles
    ]
    return max(candidates, key=lambda features: features.gap)


def _of_samples(
    ensemble: TrajectoryEnsemble, rows: Sequence[int], count: int, seed: int
) -> SlowFeatures:
    generator = np.random.default_rng(seed)
    chosen = [rows[i] for i in range(0, len(rows), max(1, len(rows) // PROTOCOLS))]
    series = [np.asarray(ensemble.samples[row]) for row in chosen]
    sample = np.concatenate(
        [x.reshape(-1, x.shape[-1])[generator.integers(0, x[..., 0].size, DRAWN)] for x in series]
    ).astype(np.float64)
    cells = Cells(sample, CELLS, seed)
    numbers = [cells.number(x) for x in series]
    lags = [1]
    while lags[-1] * 2 <= len(ensemble.time) // 4:
        lags.append(2 * lags[-1])
    totals, fractions = covariances(numbers, len(cells), [0, *lags])
    place = _slow_place(totals, count)
    return _at_lag(cells.centres, fractions, totals, place, lags[place] * _spacing(ensemble), count)


def _of_histogram(ensemble: TrajectoryEnsemble, rows: Sequence[int], count: int) -> SlowFeatures:
    histogram = ensemble.histogram
    if (
        histogram is None
        or histogram.joint_counts is None
        or histogram.lags is None
        or histogram.coarse_nodes is None
    ):
        raise ValueError(
            "training data: a record of histograms must have joint_counts at some lags, from which "
            "slow features follow; found none. Simulate it again, or store samples."
        )
    totals = histogram.joint_counts[list(rows)].sum(0)
    order = np.argsort(histogram.lags)
    lags, totals = histogram.lags[order], totals[order]
    totals = 0.5 * (totals + np.swapaxes(totals, 1, 2))
    coarse = histogram.coarse_nodes
    weights = histogram.weights[list(rows)].reshape(-1, len(histogram.nodes))
    nearest = KDTree(coarse).query(histogram.nodes)[1]
    fractions = np.zeros((len(weights), len(coarse)))
    np.add.at(fractions.T, nearest, weights.T)
    place = _slow_place(totals, count)
    lag = float(lags[1:][place]) * _spacing(ensemble)
    return _at_lag(coarse, fractions, totals, place, lag, count)


def _spacing(ensemble: TrajectoryEnsemble) -> float:
    return float(np.median(np.diff(ensemble.time)))


def _slow_place(totals: FloatArray, count: int) -> int:
    """Return the place of the shortest lag at which the second feature is fast.

    Args:
        totals: Variances, then the covariances at each lag.
        count: Number of features.
    """
    memories = [features_at(covariance, totals[0], count)[1] for covariance in totals[1:]]
    fast = (place for place, memory in enumerate(memories) if memory[1] < FAST)
    return next(fast, len(memories) - 1)


def _at_lag(
    centres: FloatArray,
    fractions: FloatArray,
    totals: FloatArray,
    place: int,
    lag: float,
    count: int,
) -> SlowFeatures:
    variance, covariance = totals[0], totals[1 + place]
    values, memory = features_at(covariance, variance, count)
    values, memory = np.round(values, DIGITS), np.round(memory, DIGITS)
    return SlowFeatures(centres, fractions, variance, covariance, values, memory, lag)


def smooth_features(features: SlowFeatures, count: int) -> SlowFeatures:
    """Return the slowest features among polynomials, on the same cells.

    They are linear, with squares and products only where more features are asked for than the
    microstate has components, or where the mean of no linear one moves with the strain: the slowest
    polynomial of all may rise and fall again where the energy stiffens, and such a mean does not
    tell the states on either side apart. Of squares and products, those whose means move come
    first, the slowest of them before the others.
    """
    size = features.centres.shape[1]
    linear = polynomials(features, products=False)
    if count <= size and bool(responding(linear).any()):
        return _kept(linear, np.arange(count))
    directions = polynomials(features, products=True)
    return _kept(directions, np.argsort(~responding(directions), kind="stable")[:count])


def responding(features: SlowFeatures) -> npt.NDArray[np.bool_]:
    """Return which features have means that move with the strain, ``(n,)``."""
    mean = features.fractions @ features.values
    within = features.fractions @ features.values**2 - mean**2
    moves: npt.NDArray[np.bool_] = mean.std(0) > RESPONSE * np.sqrt(within.mean(0))
    return moves


def _kept(features: SlowFeatures, columns: npt.NDArray[np.intp]) -> SlowFeatures:
    return replace(features, values=features.values[:, columns], memory=features.memory[columns])


def polynomials(features: SlowFeatures, *, products: bool) -> SlowFeatures:
    """Return features among linear functions, and squares and products, the slowest first."""
    weights = features.occupancy
    centre = weights @ features.centres
    x = features.centres - centre
    x = x / np.sqrt(weights @ x**2)
    size = x.shape[1]
    columns = [x[:, i] for i in range(size)]
    if products:
        columns += [x[:, i] * x[:, j] for i in range(size) for j in range(i, size)]
    basis = np.column_stack(columns)
    variance = basis.T @ features.variance @ basis
    covariance = basis.T @ features.covariance @ basis
    coefficients, memory = features_at(covariance, variance, basis.shape[1])
    return replace(
        features, values=np.round(basis @ coefficients, DIGITS), memory=np.round(memory, DIGITS)
    )


def memberships(features: SlowFeatures, states: int) -> FloatArray:
    """Return memberships of the cells in ``states`` states, ``(n_cell, states)``, in the simplex.

    The cells that lie furthest from each other in the space of the slow features are the corners of
    a simplex, in whose coordinates all cells are given (inner simplex algorithm), clipped to it.
    """
    space = np.column_stack([np.ones(len(features.values)), features.values[:, : states - 1]])
    common = features.occupancy > 1e-3
    chosen: list[int] = []
    rest = np.where(common[:, None], space - space[common].mean(0), 0.0)
    first = int(np.argmax((rest**2).sum(1)))
    chosen.append(first)
    rest = np.where(common[:, None], space - space[first], 0.0)
    for _ in range(states - 1):
        at = int(np.argmax((rest**2).sum(1)))
        chosen.append(at)
        direction = rest[at] / np.linalg.norm(rest[at])
        rest = rest - np.outer(rest @ direction, direction)
    weights = _coordinates(space, space[chosen])
    # The corners move to the middle of their states, whose cells then belong to them wholly.
    nearest = weights.argmax(1)
    corners = [
        np.average(space[nearest == s], axis=0, weights=features.occupancy[nearest == s])
        for s in range(states)
    ]
    return _coordinates(space, np.array(corners))


def _coordinates(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Return the coordinates of points in a simplex, clipped to it."""
    weights = np.clip(points @ np.linalg.inv(corners), 0.0, None)
    coordinates: FloatArray = np.round(weights / weights.sum(1, keepdims=True), DIGITS)
    return coordinates


def crispness(features: SlowFeatures, membership: FloatArray) -> float:
    """Return Σ(⟨ψ²⟩ − ⟨ψ⟩²)/Σ⟨ψ⟩(1 − ⟨ψ⟩) over states: 1 where ψ is 0 or 1 everywhere.

    Args:
        features: What the membership was made of.
        membership: ψ on the cells, ``(n_cell,)``.
    """
    mean = features.fractions @ membership
    square = features.fractions @ membership**2
    return float((square - mean**2).sum() / (mean * (1.0 - mean)).sum())
