"""The best decoder of strain and fractions: what is left of driven densities when these are given.

A decoder q(x | ε, p) is trained on driven states, in which some particles are on their way between
the wells. The data's own density at given strain and fractions, pooled over all states near by, is
the best of them by likelihood. With it the audits against F_flow show what they ask of a law whose
f is exact, as :mod:`~ibvonn_train.studies.decoder_of_data` does for springs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray
from ..statistical_mechanics.microscopic_energy import Physics
from .wells_law import WellsLaw

BINS = 240
"""Of the histograms over the range of the microstates."""
STRAIN_WIDTH = 0.05
"""Of the kernel over states, in parts of the range of the strain."""
FRACTION_WIDTH = 0.3
"""The same in ln p: a relative change of a rare well by a third."""
FLOOR = 1e-12
"""Smallest density of a well, in units of its largest."""
STATES_AT_ONCE = 300


class WellsDecoderOfData(WellsLaw):
    """The exact law of wells with the density of data as decoder.

    The density of each well is the mean of its histograms in the states near by; the fractions of
    the wells are those asked for.

    Args:
        data: Ensemble, of another seed than the one that is judged.
        physics: With e(x, ε).
        middles: Bottoms of the wells, rising.
        rest: Number of the well that is left out.
    """

    def __init__(
        self, data: TrajectoryEnsemble, physics: Physics, middles: Sequence[float], rest: int
    ) -> None:
        super().__init__(data, physics, middles, rest)
        self.name = f"{self.name}, decoder of the data"
        x = data.samples.reshape(-1, data.samples.shape[-2]).astype(float)
        self._edges = np.linspace(self._nodes[0], self._nodes[-1], BINS + 1)
        self._middles = (self._edges[1:] + self._edges[:-1]) / 2
        self._counts = np.array([np.histogram(row, self._edges)[0] for row in x], dtype=float)
        self._well = np.searchsorted(self._tops, self._middles)
        self._half = 0.5 / x.shape[1]
        strain = data.strain.reshape(-1)
        self._strain_width = STRAIN_WIDTH * float(np.ptp(strain))
        fractions = np.stack(
            [self._counts[:, self._well == s].sum(1) for s in range(len(middles))], 1
        )
        self._places = self._place(strain, fractions / x.shape[1])

    def _place(self, strain: FloatArray, fractions: FloatArray) -> FloatArray:
        """Return states in units of the widths of the kernel."""
        logs = np.log(np.maximum(fractions, 0.0) + self._half) / FRACTION_WIDTH
        return np.column_stack([strain / self._strain_width, logs])

    def _conditional(self, strain: FloatArray, fractions: FloatArray) -> FloatArray:
        """Return the densities of x at the bins, ``(n, BINS)``."""
        away = self._place(strain, fractions)[:, None] - self._places
        distance = 0.5 * np.square(away).sum(-1)
        kernel = np.exp(distance.min(1, keepdims=True) - distance)
        counts = kernel @ self._counts
        density = np.empty_like(counts)
        for s in range(fractions.shape[1]):
            own = counts[:, self._well == s]
            positive = np.maximum(own, FLOOR * own.max(1, keepdims=True) + 1e-300)
            density[:, self._well == s] = (
                np.maximum(fractions[:, [s]], self._half * 1e-3)
                * positive
                / positive.sum(1, keepdims=True)
            )
        of_x: FloatArray = density / (self._edges[1] - self._edges[0])
        return of_x

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q, ``(n_state, n_sample)``, by straight lines between the bins."""
        values = []
        for at in range(0, len(strain), STATES_AT_ONCE):
            chosen = slice(at, at + STATES_AT_ONCE)
            density = self._conditional(strain[chosen, 0], self._fractions(internal[chosen]))
            rows = zip(microstate[chosen, :, 0], np.log(density), strict=True)
            values += [np.interp(x, self._middles, row) for x, row in rows]
        return np.array(values)
