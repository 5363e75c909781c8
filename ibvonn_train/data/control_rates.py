"""Control and rate of an ensemble's protocols: the rate must be the slope of the control."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SINGLE = float(np.finfo(np.float32).eps)
"""Rounding of what other programs write, whatever the type of the dataset."""


def require_rate(place: str, time: FloatArray, control: FloatArray, rate: FloatArray) -> None:
    r"""Refuse a rate that is not the slope of its control.

    Over one interval the control grows by the integral of its rate, which the trapezoid of the
    stored rates misses by no more than the interval times the spread of the rates around it: for a
    smooth control, and for one with a kink. Several kinks within one interval cannot be seen in
    the stored rates, so one or two intervals alone are no contradiction; three in a row are.

    Args:
        place: What to call the rate in the message.
        time: Instants, ``(n_time,)``.
        control: λ, same shape.
        rate: λ̇, same shape.

    Raises:
        ValueError: If the two contradict each other.
    """
    if len(time) < 3:
        return
    interval, growth = np.diff(time), np.diff(control)
    expected = 0.5 * interval * (rate[:-1] + rate[1:])
    around = np.lib.stride_tricks.sliding_window_view(np.pad(rate, 1, mode="edge"), 4)
    spread = around.max(1) - around.min(1)
    rounding = 4 * SINGLE * (np.abs(control).max() + np.abs(rate).max() * np.abs(time).max())
    wrong = np.abs(growth - expected) > interval * spread + rounding
    row = min(3, len(wrong))
    runs = np.lib.stride_tricks.sliding_window_view(wrong, row).all(1)
    if runs.any():
        at = int(np.argmax(runs))
        raise ValueError(
            f"{place} must be the slope of the control over time; from time[{at}] = {time[at]:g} "
            f"to time[{at + row}] = {time[at + row]:g} the control grows by "
            f"{growth[at : at + row].sum():.6g} and the rate says "
            f"{expected[at : at + row].sum():.6g}. Correct the rate, or the unit of time."
        )
