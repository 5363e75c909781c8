"""The errors that are reported, all in per cent and pooled over cases, times and sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def relative_error(value: FloatArray, reference: FloatArray) -> float:
    """Return 100 · ‖value − reference‖ / ‖reference‖, the norm pooled over everything."""
    return 100 * float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def deviation(value: FloatArray, reference: FloatArray) -> float:
    """Return 100 · sd(value − reference) / sd(reference): for quantities known up to a constant."""
    return 100 * float(np.std(value - reference) / np.std(reference))


def spread(values: Sequence[FloatArray]) -> float:
    """Return 100 · ‖sd‖ / ‖mean‖ of alike predictions: what the choice among them leaves open."""
    scatter, mean = np.std(values, 0, ddof=1), np.mean(values, 0)
    return 100 * float(np.linalg.norm(scatter) / np.linalg.norm(mean))
