r"""Protocols: how the control λ moves in time.

A :class:`Protocol` is a pair of functions of time, λ and λ̇. λ is a number, or a vector of n_ε
strain components: then both return ``(n, n_ε)`` for n instants; `strain_paths.py` makes such.
Sudden steps are not representable (λ̇ is recorded with the data): a step is a ramp over a short,
declared time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TimeFunction = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Protocol:
    """λ(t) and its rate.

    Attributes:
        name: Short text for figures and tables.
        value: λ(t), vectorised over time: ``(n,)``, or ``(n, n_ε)``.
        rate: λ̇(t), same shape.
    """

    name: str
    value: TimeFunction
    rate: TimeFunction


DIFFERENCE = 1e-5
"""Step of the differences that give λ̇ of a function [time]."""


def from_function(name: str, value: TimeFunction, rate: TimeFunction | None = None) -> Protocol:
    """Return a protocol of one's own function.

    Args:
        name: Short text for figures and tables.
        value: λ(t), vectorised over time, for t ≥ 0.
        rate: λ̇(t); by default central differences, one-sided at t = 0.
    """

    def slope(t: FloatArray) -> FloatArray:
        before, after = np.maximum(t - DIFFERENCE, 0.0), t + DIFFERENCE
        return (value(after) - value(before)) / (after - before)

    return Protocol(name, value, rate or slope)


def ramp(rate: float, start: float = 0.0) -> Protocol:
    """Return λ = start + rate · t."""
    return Protocol(f"ramp {rate:g}", lambda t: start + rate * t, lambda t: np.full_like(t, rate))


def hold(value: float) -> Protocol:
    """Return a constant λ."""
    return Protocol(f"hold {value:g}", lambda t: np.full_like(t, value), np.zeros_like)


def sinusoid(amplitude: float, period: float, start: float = 0.0) -> Protocol:
    """Return λ = start + amplitude · sin(2πt/period)."""
    ω = 2 * np.pi / period
    return Protocol(
        f"sinusoid {amplitude:g}, period {period:g}",
        lambda t: start + amplitude * np.sin(ω * t),
        lambda t: amplitude * ω * np.cos(ω * t),
    )


def piecewise_linear(
    times: Sequence[float], values: Sequence[float], name: str = "piecewise linear"
) -> Protocol:
    """Return straight lines between points; constant outside them.

    Raises:
        ValueError: If the times do not increase or the numbers of times and values differ.
    """
    knots, heights = np.asarray(times, float), np.asarray(values, float)
    if knots.shape != heights.shape or knots.ndim != 1 or len(knots) < 2:
        raise ValueError(
            "piecewise_linear: needs as many values as times, at least two; found "
            f"{len(times)} times and {len(values)} values."
        )
    if not np.all(np.diff(knots) > 0):
        raise ValueError(f"piecewise_linear: times must increase; found {list(times)}.")
    slopes = np.concatenate([[0.0], np.diff(heights) / np.diff(knots), [0.0]])

    def rate(t: FloatArray) -> FloatArray:
        # The Euler step from t uses the slope ahead of t.
        return slopes[np.searchsorted(knots, t, side="right")]

    return Protocol(name, lambda t: np.interp(t, knots, heights), rate)


def ramp_and_hold(target: float, duration: float, start: float = 0.0) -> Protocol:
    """Return a ramp to ``target`` over ``duration``, then a hold."""
    return piecewise_linear(
        [0.0, duration], [start, target], f"ramp to {target:g} in {duration:g}, hold"
    )


def step_and_hold(target: float, at: float, rise: float, start: float = 0.0) -> Protocol:
    """Return a hold until ``at``, a sudden step to ``target`` over the time ``rise``, a hold."""
    return piecewise_linear(
        [0.0, at, at + rise], [start, start, target], f"step to {target:g} at {at:g}"
    )


def triangle(peak: float, rise: float, fall: float, start: float = 0.0) -> Protocol:
    """Return loading to ``peak`` in ``rise``, unloading to ``start`` in ``fall``, then a hold."""
    return piecewise_linear(
        [0.0, rise, rise + fall], [start, peak, start], f"load-unload to {peak:g}"
    )


def random_walk(
    duration: float, segments: int, low: float, high: float, seed: int, start: float = 0.0
) -> Protocol:
    """Return straight lines between levels drawn uniformly from [low, high], of random lengths."""
    rng = np.random.default_rng(seed)
    cuts = rng.uniform(0.3, 1.0, segments).cumsum()
    times = np.concatenate([[0.0], duration * cuts / cuts[-1]])
    values = np.concatenate([[start], rng.uniform(low, high, segments)])
    return piecewise_linear(times.tolist(), values.tolist(), f"random walk {seed}")


def smooth_pull(
    speed: float, start: float = 0.0, *, sine: float = 0.0, frequency: float = 0.0
) -> Protocol:
    """Return λ = start + speed · t (1 − e^{−t}) (1 + sine · sin(2π frequency t)).

    The family of the paper: sine = 2, frequency = 1 for the trap; 0 for the linear protocol and the
    chain; sine = 0.2, frequency = 1/2 for the sinusoidal chain.
    """
    ω = 2 * np.pi * frequency

    def value(t: FloatArray) -> FloatArray:
        λ: FloatArray = start + speed * t * (1 - np.exp(-t)) * (1 + sine * np.sin(ω * t))
        return λ

    def rate(t: FloatArray) -> FloatArray:
        decay = np.exp(-t)
        envelope, slope = t * (1 - decay), 1 - decay + t * decay
        modulation = 1 + sine * np.sin(ω * t)
        λ_rate: FloatArray = speed * (slope * modulation + envelope * sine * ω * np.cos(ω * t))
        return λ_rate

    return Protocol(f"pull {speed:g} from {start:g}", value, rate)
