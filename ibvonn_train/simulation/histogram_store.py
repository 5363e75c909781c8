"""Histograms of microstates made while a simulation runs, so that no sample has to be kept.

Beside the weights on fine nodes, coarse hat functions b_i are followed: their variance between
replicas, and the covariances ⟨b_i(x_t) b_j(x_{t+τ})⟩ − ⟨b_i⟩_t ⟨b_j⟩_{t+τ} within each ensemble at
several lags τ. Both need single replicas, which a histogram does not know.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.bin_lattice import FloatArray, IntArray, Lattice, Window
from ..data.histogram import Histogram
from ..data.lattice_bins import LINEAR, bin_samples, pair_totals, totals
from .plan import Plan

logger = logging.getLogger(__name__)
SampleArray = npt.NDArray[np.floating[Any]]

FINE = {1: 8.0, 2: 2.5, 3: 2.5}
"""Nodes of the histogram in one spread of an ensemble, by the number of dimensions."""
COARSE = {1: 2.0, 2: 1.0, 3: 0.5}
"""Nodes of the hat functions in one spread."""
LAGS = (0, 1, 2, 5, 10, 20, 50)
"""In stored steps."""
PAIRS = 3e6
"""Of samples, at each lag: instants are left out where there are more."""
MOST_COARSE = 320
"""Hat functions of which joint counts are kept."""
AT_ONCE = 4_000_000
"""Numbers that are handled at once."""


class HistogramStore:
    """Bins the microstates of the stored instants as they come.

    Args:
        shape: ``(n_protocol, n_time, n_site, n_sample, n_x)``.
        replicas: Independent replicas, whose samples are side by side.
        origin: A typical microstate, ``(n_x,)``.
        spread: Standard deviation of an ensemble of microstates, ``(n_x,)``: the nodes follow it.

    Raises:
        ValueError: If there are more than three dimensions, or the spread vanishes.
    """

    def __init__(
        self, shape: tuple[int, ...], replicas: int, origin: FloatArray, spread: FloatArray
    ) -> None:
        self._shape, self._replicas = shape, replicas
        size = shape[4]
        if size not in FINE:
            raise ValueError(
                f"record: a histogram needs microstates of at most {max(FINE)} components; found "
                f'{size}. Keep samples: record = "samples".'
            )
        if not (spread > 0).all():
            raise ValueError(
                "record: a histogram needs ensembles that spread, by which its nodes are placed; "
                f'their standard deviation is {spread.tolist()}. Keep samples: record = "samples".'
            )
        self._fine = Lattice(origin, spread / FINE[size])
        self._coarse = Lattice(origin, spread / COARSE[size])
        self._lags = [lag for lag in LAGS if lag == 0 or 4 * lag < shape[1]]
        skip = int(np.ceil(np.prod([float(n) for n in shape[:4]]) / PAIRS))
        self._cases = [_Case(self._lags, max(skip, 1)) for _ in range(shape[0])]

    def add(self, cases: slice, instants: slice, microstate: SampleArray) -> None:
        """Bin microstates ``(protocols × instants, n_site, n_sample, n_x)``."""
        protocols = range(*cases.indices(self._shape[0]))
        times = range(*instants.indices(self._shape[1]))
        blocks = microstate.reshape(len(protocols), len(times), *microstate.shape[1:])
        for case, block in zip(protocols, blocks, strict=True):
            count = max(1, AT_ONCE // max(1, block[0].size))
            for at in range(0, len(block), count):
                self._add(self._cases[case], times[at], block[at : at + count])

    def _add(self, case: _Case, first: int, x: SampleArray) -> None:
        """Bin ``(n_time, n_site, n_sample, n_x)`` of one protocol."""
        times, _, samples, size = x.shape
        case.fine.append(_Block(first, *bin_samples(self._fine, x.reshape(-1, samples, size))))
        window = self._coarse.window(x, LINEAR)
        variance = self._variance(window, x.reshape(-1, samples, size))
        case.coarse.append(_Block(first, window, variance))
        for row in range(times):
            case.follow(first + row, self._coarse, x[row])

    def _variance(self, window: Window, x: SampleArray) -> FloatArray:
        """Return the variances between replicas of ⟨b_i⟩, ``(n_time · n_site, n_node)``.

        Args:
            window: In which all samples lie.
            x: Samples, ``(n_time · n_site, n_sample, n_x)``.
        """
        rows, samples, size = x.shape
        per_replica = samples // self._replicas
        if per_replica > 1:
            replicas = x.reshape(-1, per_replica, size)
            means = totals(self._coarse, window, replicas, LINEAR) / per_replica
            between: FloatArray = means.reshape(rows, self._replicas, -1).var(1, ddof=1)
            return between
        # A replica of one sample has few hats: sums of squares need no row for each replica.
        means = totals(self._coarse, window, x, LINEAR) / samples
        pairs = (pair_totals(self._coarse, window, row, row) for row in x)
        squares = np.stack([both.diagonal() for both in pairs]) / samples
        variance: FloatArray = np.maximum(squares - means**2, 0.0) * (samples / (samples - 1))
        return variance

    def result(self) -> tuple[None, Histogram]:
        """Return the histogram."""
        nodes, weights = self._assembled(self._fine, [case.fine for case in self._cases])
        used = np.abs(weights).max((0, 1, 2)) > 0
        coarse, variance = self._assembled(self._coarse, [case.coarse for case in self._cases])
        window = Window.union([block.window for case in self._cases for block in case.coarse])
        seen = variance.max((0, 1, 2)) > 0
        seen |= np.isin(np.arange(window.size), self._occupied(window))
        counts: dict[str, Any] = {}
        if seen.sum() <= MOST_COARSE:
            joint = np.stack([case.joint_counts(window, seen) for case in self._cases])
            counts = {"lags": np.array(self._lags), "joint_counts": joint}
        else:
            logger.warning(
                "histogram: joint counts of %d hat functions would be too large; left out. Record "
                'samples of a part of the protocols (record = "samples") where they are needed.',
                seen.sum(),
            )
        return None, Histogram(
            nodes[used],
            weights[..., used],
            replicas=self._replicas,
            samples_per_replica=self._shape[3] // self._replicas,
            coarse_nodes=coarse[seen],
            coarse_variance=variance[..., seen],
            **counts,
        )

    def _occupied(self, window: Window) -> IntArray:
        """Return the coarse nodes on which there ever was a sample."""
        places = [case.window.places_in(window)[case.touched()] for case in self._cases]
        return np.unique(np.concatenate(places))

    def _assembled(
        self, lattice: Lattice, cases: list[list[_Block]]
    ) -> tuple[FloatArray, FloatArray]:
        """Return nodes, and values ``(n_protocol, n_time, n_site, n_node)`` on all of them."""
        window = Window.union([block.window for blocks in cases for block in blocks])
        values = np.zeros((*self._shape[:3], window.size))
        for number, blocks in enumerate(cases):
            for block in blocks:
                rows = block.values.reshape(-1, self._shape[2], block.window.size)
                place = values[number, block.first : block.first + len(rows)]
                place[..., block.window.places_in(window)] = rows
        return lattice.nodes(window), values


class Pilot:
    """Looks at the first instant of a few replicas, where the nodes of a histogram are placed.

    Args:
        plan: Of these replicas.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.mean: FloatArray = np.empty(0)
        self.spread: FloatArray = np.empty(0)

    def take(self, cases: slice, instants: slice, x: Tensor) -> None:  # noqa: ARG002
        """Take mean and standard deviation over replicas of the microstates, sites alike."""
        λ = torch.tensor(self._plan.control[:1, 0], dtype=x.dtype, device=x.device)
        microstate = self._plan.system.microstate(x, λ).double().cpu().numpy()
        self.mean = microstate.mean((0, 1, 2))
        self.spread = microstate.std(2).mean((0, 1))


@dataclass(frozen=True)
class _Block:
    """Values on a window, ``(n_time · n_site, n_node)``, from a stored instant on."""

    first: int
    window: Window
    values: FloatArray


@dataclass
class _Case:
    """What is kept of one protocol."""

    lags: list[int]
    skip: int
    fine: list[_Block] = field(default_factory=list)
    coarse: list[_Block] = field(default_factory=list)
    window: Window = field(default_factory=lambda: Window((0,), (0,)))
    joint: FloatArray = field(default_factory=lambda: np.empty(0))
    pairs: list[int] = field(default_factory=list)
    recent: deque[tuple[int, SampleArray]] = field(default_factory=deque)

    def follow(self, instant: int, coarse: Lattice, x: SampleArray) -> None:
        """Count pairs of an instant with those before it.

        Args:
            instant: Its number.
            coarse: Nodes of the hats.
            x: Its samples, ``(n_site, n_sample, n_x)``.
        """
        self._widen(coarse.window(x, LINEAR))
        if instant % self.skip == 0:
            self.recent.append((instant, x.copy()))  # engines use their memory again
        while self.recent and self.recent[0][0] < instant - self.lags[-1]:
            self.recent.popleft()
        for before, old in self.recent:
            if instant - before in self.lags:
                place = self.lags.index(instant - before)
                self.joint[place] += _covariance(coarse, self.window, old, x)
                self.pairs[place] += len(x)

    def _widen(self, window: Window) -> None:
        if not self.pairs:
            self.window, self.pairs = window, [0] * len(self.lags)
            self.joint = np.zeros((len(self.lags), window.size, window.size))
            return
        wider = Window.union([self.window, window])
        if wider != self.window:
            places = self.window.places_in(wider)
            joint = np.zeros((len(self.lags), wider.size, wider.size))
            joint[:, places[:, None], places] = self.joint
            self.window, self.joint = wider, joint

    def touched(self) -> npt.NDArray[np.bool_]:
        """Return which nodes of the window had a sample that was counted."""
        touched: npt.NDArray[np.bool_] = np.abs(self.joint).max((0, 1)) > 0
        return touched

    def joint_counts(self, window: Window, seen: npt.NDArray[np.bool_]) -> FloatArray:
        """Return the mean covariances on the nodes that were seen, ``(n_lag, n, n)``."""
        whole = np.zeros((len(self.lags), window.size, window.size))
        places = self.window.places_in(window)
        whole[:, places[:, None], places] = self.joint
        mean = whole / np.maximum(self.pairs, 1)[:, None, None]
        counts: FloatArray = mean[:, seen][:, :, seen]
        return counts


def _covariance(
    coarse: Lattice, window: Window, before: SampleArray, after: SampleArray
) -> FloatArray:
    """Return Σ over sites of ⟨b_i(x_t) b_j(x_{t+τ})⟩ − ⟨b_i⟩ ⟨b_j⟩, ``(size, size)``.

    Args:
        coarse: Nodes of the hats b.
        window: In which all samples lie.
        before: Samples at t, ``(n_site, n_sample, n_x)``.
        after: At t + τ, same shape.
    """
    samples, size = before.shape[1:]
    flat = before.reshape(-1, size), after.reshape(-1, size)
    both = pair_totals(coarse, window, *flat) / samples
    means = [totals(coarse, window, x, LINEAR) / samples for x in (before, after)]
    covariance: FloatArray = both - means[0].T @ means[1]
    return covariance
