r"""Free energy of elements of two wells at given mean strain and open fraction.

Of all densities of microstates with mean ε and the fraction p beyond the crossing c, that of least
free energy is a Gaussian in each well, cut off at the crossing, under one force σ:

.. math:: q \propto (1-p)\, \frac{e^{-(e-\sigma x)/k_BT}}{Z_1}\Big|_{x<c}
   + p\, \frac{e^{-(e-\sigma x)/k_BT}}{Z_2}\Big|_{x>c}.

σ follows from the mean, and per unit reference length

.. math:: f = \sigma\varepsilon - k_BT\,[(1-p)\ln Z_1 + p \ln Z_2 - p\ln p - (1-p)\ln(1-p)],
   \quad -\partial f/\partial p = k_BT \ln\frac{Z_2\,(1-p)}{Z_1\,p}.

For low k_BT this is the free energy of the reference model (`kramers`), which takes the wells as
sharp; near the loss of the barrier it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtri_exp, xlogy

FloatArray = npt.NDArray[np.float64]

BISECTIONS = 100
FARTHEST = 1e4
"""Largest |σ/k − ε| in thermal widths: wells whose mean is that near to the crossing."""


class Wells(NamedTuple):
    """Both wells under a force, each ``(2, n)``: the folded one first.

    Attributes:
        mean: ⟨x⟩ of each.
        slope: Its derivative by s = σ/k.
    """

    mean: FloatArray
    slope: FloatArray


@dataclass(frozen=True)
class TwoWells:
    """Elements of energy k_BT x²/2w² below c, k_BT (x − h)²/2w² + D beyond.

    Attributes:
        width: w, thermal standard deviation in a well.
        distance: h, distance of the wells.
        crossing: c, where they meet.
        offset: D over k_BT.
        thermal_energy: k_BT per unit reference length.
    """

    width: float
    distance: float
    crossing: float
    offset: float
    thermal_energy: float

    def wells(self, force: FloatArray) -> Wells:
        """Return the cut-off Gaussians under forces s = σ/k, ``(n,)``."""
        below, beyond = self._places(force)
        ratios = (
            np.exp(-0.5 * below**2 - log_ndtr(below)),
            np.exp(-0.5 * beyond**2 - log_ndtr(beyond)),
        )
        first, second = (ratio / np.sqrt(2 * np.pi) for ratio in ratios)
        mean = force - self.width * first, force + self.distance + self.width * second
        slope = 1 - first * (first + below), 1 - second * (second + beyond)
        return Wells(np.stack(mean), np.stack(slope))

    def _places(self, force: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distances of the crossing from both middles, outwards, over the width."""
        return (
            (self.crossing - force) / self.width,
            (force + self.distance - self.crossing) / self.width,
        )

    def force(self, strain: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return s = σ/k at mean ε and open fraction p, ``(n,)``: the mean grows with it."""
        low = strain - self.distance - FARTHEST * self.width
        high = strain + FARTHEST * self.width
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            first, second = self.wells(middle).mean
            below = (1 - fraction) * first + fraction * second < strain
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        root: FloatArray = (low + high) / 2
        return root

    def _log_ratio(self, force: FloatArray) -> FloatArray:
        """Return ln Z_2/Z_1."""
        below, beyond = self._places(force)
        ratio: FloatArray = (
            force * self.distance / self.width**2 - self.offset + log_ndtr(beyond) - log_ndtr(below)
        )
        return ratio

    def energy(self, strain: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return f up to a constant, ``(n,)``."""
        s = self.force(strain, fraction)
        log_first = 0.5 * (s / self.width) ** 2 + log_ndtr(self._places(s)[0])
        mixing = xlogy(fraction, fraction) + xlogy(1 - fraction, 1 - fraction)
        energy: FloatArray = self.thermal_energy * (
            s * strain / self.width**2 - log_first - fraction * self._log_ratio(s) + mixing
        )
        return energy

    def driving_force(self, strain: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return −∂f/∂p, ``(n,)``; infinite where a well is empty."""
        ratio = self._log_ratio(self.force(strain, fraction))
        with np.errstate(divide="ignore"):
            mixing = np.log(1 - fraction) - np.log(fraction)
        force: FloatArray = self.thermal_energy * (ratio + mixing)
        return force

    def ensembles(self, force: FloatArray, replicas: int) -> FloatArray:
        """Return quantiles of both wells under forces s, ``(2, n, replicas)``."""
        places = np.log((np.arange(replicas) + 0.5) / replicas)
        below, beyond = (log_ndtr(place)[:, None] for place in self._places(force))
        # The part of a Gaussian on the outer side of the crossing, from its tail inwards.
        first = ndtri_exp(places + below)
        second = -ndtri_exp(places + beyond)
        middle = force[:, None]
        return np.stack([middle + self.width * first, middle + self.distance + self.width * second])
