"""How good intervals are: coverage and interval score.

References:
    Gneiting & Raftery (2007), *Strictly proper scoring rules, prediction, and estimation*, Journal
    of the American Statistical Association 102, section 6.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def coverage(low: FloatArray, high: FloatArray, values: FloatArray) -> float:
    """Return which part of what was found lies in its interval."""
    return float(((low <= values) & (values <= high)).mean())


def interval_score(
    low: FloatArray, high: FloatArray, values: FloatArray, level: float = 0.9
) -> float:
    """Return the mean of width + 2/(1 − level) × distance outside; less is better.

    Its expectation is least for the true quantiles (1 ± level)/2.
    """
    outside = np.maximum(low - values, 0.0) + np.maximum(values - high, 0.0)
    return float((high - low + 2.0 / (1.0 - level) * outside).mean())
