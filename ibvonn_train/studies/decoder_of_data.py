"""The best decoder of the open fraction alone: what a marginal density can say of the free energy.

A decoder q(x − ε | α) sees one number of the state. The data's own density of x − ε at a given open
fraction, pooled over all strains and rates at which it occurs, is the best of them by likelihood.
With it the audits against F_flow show what they ask of a law whose f is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.closed_form_reference import ClosedFormReference
from ..evaluation.interface import FloatArray

BINS = 240
"""Of the histograms of x − ε."""
REACH = 8.0
"""They extend this many thermal widths beyond the distance of the wells."""
BANDWIDTH = 0.3
"""Of the kernel over states, in ln p/(1 − p): a relative change of a rare well by a third."""
FLOOR = 1e-12
"""Smallest density, in units of its largest."""
STATES_AT_ONCE = 300


class DecoderOfData(ClosedFormReference):
    """The closed-form law of two-well springs with the density of its own data as decoder.

    The density at p is the local straight-line fit to the histograms of the states near p.

    Args:
        data: Ensemble of a chain of two-well springs.
        friction: As of the closed form.
    """

    def __init__(self, data: TrajectoryEnsemble, friction: float = 0.5) -> None:
        super().__init__(data, friction)
        self.name = f"{self.name}, decoder of the data"
        strain = data.strain[..., 0].reshape(-1)
        _, internal = self.encode(data.samples)
        fraction = internal.reshape(-1) + 0.5
        microstate = data.samples.reshape(len(strain), -1)
        lowest, width = self.wells(np.zeros((1, 1)), np.zeros((1, 1)))
        reach = float(lowest[0, 1] - lowest[0, 0]) + REACH * width
        edges = np.linspace(-reach, reach, BINS + 1)
        self._edges, self._middles = edges, (edges[1:] + edges[:-1]) / 2
        counts = [
            np.histogram(row - shift, edges)[0]
            for row, shift in zip(microstate, strain, strict=True)
        ]
        self._fraction, self._replicas = fraction, microstate.shape[1]
        self._density = np.array(counts) / (self._replicas * (edges[1] - edges[0]))

    def _logit(self, fraction: FloatArray) -> FloatArray:
        half = 0.5 / self._replicas
        logit: FloatArray = np.log((fraction + half) / (1 - fraction + half))
        return logit

    def _conditional(self, internal: FloatArray) -> FloatArray:
        """Return the densities of x − ε, ``(n, BINS)``, at α of shape ``(n, 1)``."""
        parts = []
        for at in range(0, len(internal), STATES_AT_ONCE):
            fraction = np.clip(internal[at : at + STATES_AT_ONCE] + 0.5, 0.0, 1.0)
            distance = self._logit(fraction) - self._logit(self._fraction)[None]
            kernel = np.exp(-0.5 * (distance / BANDWIDTH) ** 2)
            away = self._fraction[None] - fraction
            zeroth, first, second = (
                (kernel * away**power).sum(1, keepdims=True) for power in (0, 1, 2)
            )
            # Where all states near by have one p the line is a constant.
            spread = np.maximum(second - first**2 / zeroth, 1e-12 * zeroth)
            weight = kernel * (1 - (away - first / zeroth) * first / spread) / zeroth
            parts.append(weight @ self._density)
        density = np.concatenate(parts)
        positive: FloatArray = np.maximum(density, FLOOR * density.max(1, keepdims=True))
        return positive

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q, ``(n_state, n_sample)``, by straight lines between the bins."""
        centred = microstate[..., 0] - (strain + self.strain_reference)
        rows = zip(centred, np.log(self._conditional(internal)), strict=True)
        return np.array([np.interp(x, self._middles, row) for x, row in rows])

    def sample(
        self,
        noise: FloatArray,
        strain: FloatArray,
        internal: FloatArray,  # noqa: ARG002
    ) -> FloatArray:
        """Return the ends of the histograms: all that a quadrature asks for."""
        ends: Any = np.sign(noise) * self._edges[-1]
        microstate: FloatArray = ends + (strain + self.strain_reference)[:, None]
        return microstate
