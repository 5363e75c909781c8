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
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2
from scipy.linalg import eigh
from scipy.spatial import KDTree

FloatArray = npt.NDArray[np.float64]

CELLS = 60
SAMPLES = 5_000_000
"""Transitions that are counted at most for each lag: more do not change the features."""
FAST = 0.5
"""The lag is the shortest at which the second feature has decayed to less than this."""
RIDGE = 1e-3
"""Added to the variances, in parts of their mean: cells that are rarely visited decide nothing."""


@dataclass(frozen=True)
class SlowFeatures:
    """Features on the cells of microstate space, the slowest first.

    Attributes:
        centres: Of the cells, ``(n_cell, n_x)``.
        occupancy: Part of all samples in each, ``(n_cell,)``.
        values: Features on the cells, ``(n_cell, n_feature)``, of unit variance within a state.
        memory: μ of each, ``(n_feature,)``.
        lag: τ in stored steps.
    """

    centres: FloatArray
    occupancy: FloatArray
    values: FloatArray
    memory: FloatArray
    lag: int

    @property
    def time_scales(self) -> FloatArray:
        """−1/ln μ of each feature, in lags."""
        scales: FloatArray = -1.0 / np.log(np.clip(self.memory, 1e-6, 1.0 - 1e-9))
        return scales

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
            return np.searchsorted(self._edges, microstate[..., 0]).astype(np.int64)
        flat = microstate.reshape(-1, microstate.shape[-1]) / self._scale
        return self._tree.query(flat)[1].reshape(microstate.shape[:-1]).astype(np.int64)


def covariances(
    series: Sequence[npt.NDArray[np.int64]], cells: int, lags: Sequence[int]
) -> FloatArray:
    """Return covariances of the cells' indicators within each state, at each lag.

    Args:
        series: Cells of the replicas, one array ``(n_time, n_site, n_replica)`` for each protocol.
        cells: Their number.
        lags: In stored steps; lag 0 gives the variances.

    Returns:
        Shape ``(n_lag, cells, cells)``, symmetrised, sums over states of replica averages.
    """
    totals = np.zeros((len(lags), cells, cells))
    size = sum(part.size for part in series)
    stride = max(1, size // SAMPLES)
    for part in series:
        times, sites, replicas = part.shape
        counts = np.zeros((times * sites, cells))
        rows = np.repeat(np.arange(times * sites), replicas)
        flat = rows * cells + part.reshape(-1)
        counts = np.bincount(flat, minlength=times * sites * cells).reshape(-1, cells) / replicas
        counts = counts.reshape(times, sites, cells)
        for index, lag in enumerate(lags):
            if lag >= times:
                continue
            first, second = part[: times - lag : stride], part[lag::stride]
            pairs = np.bincount((first * cells + second).reshape(-1), minlength=cells * cells)
            joint = pairs.reshape(cells, cells) / replicas
            before = counts[: times - lag : stride].reshape(-1, cells)
            after = counts[lag::stride].reshape(-1, cells)
            total = joint - before.T @ after
            totals[index] += 0.5 * (total + total.T) / len(first)
    return totals


def features_at(covariance: FloatArray, variance: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return the ``count`` slowest features on the cells and their μ."""
    ridge = RIDGE * np.trace(variance) / len(variance)
    memory, vectors = eigh(covariance, variance + ridge * np.eye(len(variance)))
    order = np.argsort(memory)[::-1][:count]
    return vectors[:, order], memory[order]


def slow_features(
    microstates: Sequence[npt.NDArray[np.floating[Any]]], *, count: int = 4, seed: int = 0
) -> SlowFeatures:
    """Return the slow features of some ensembles.

    Args:
        microstates: One array ``(n_time, n_site, n_replica, n_x)`` for each protocol, on stored
            instants of one spacing.
        count: Number of features.
        seed: Of the choice of samples and cells.
    """
    generator = np.random.default_rng(seed)
    sample = np.concatenate(
        [
            x.reshape(-1, x.shape[-1])[generator.integers(0, x[..., 0].size, 4000)]
            for x in microstates
        ]
    ).astype(np.float64)
    cells = Cells(sample, CELLS, seed)
    series = [cells.number(np.asarray(x)) for x in microstates]
    longest = min(len(part) for part in series) // 4
    lags = [1]
    while lags[-1] * 2 <= longest:
        lags.append(2 * lags[-1])
    totals = covariances(series, len(cells), [0, *lags])
    occupancy = sum(np.bincount(p.reshape(-1), minlength=len(cells)) for p in series).astype(float)
    for lag, covariance in zip(lags, totals[1:], strict=True):
        values, memory = features_at(covariance, totals[0], count)
        if memory[1] < FAST:
            break
    return SlowFeatures(cells.centres, occupancy / occupancy.sum(), values, memory, lag)


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
    coordinates: FloatArray = weights / weights.sum(1, keepdims=True)
    return coordinates


def crispness(psi: FloatArray, variance: FloatArray, mean: FloatArray) -> float:
    """Return Σ(⟨ψ²⟩ − ⟨ψ⟩²)/Σ⟨ψ⟩(1 − ⟨ψ⟩): 1 where ψ is 0 or 1 everywhere.

    Args:
        psi: Membership on the cells, ``(n_cell,)``.
        variance: Sum over states of the covariances of the cells, ``(n_cell, n_cell)``.
        mean: Fractions of the states' samples in each cell, ``(n_state, n_cell)``.
    """
    p = mean @ psi
    return float(psi @ variance @ psi / (p * (1.0 - p)).sum())
