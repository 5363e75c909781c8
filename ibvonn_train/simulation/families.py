"""Sets of protocols: the paper's split, and families for laws that finite elements will use.

A law is valid on what it was trained on. Finite-element users load, hold, unload and reverse at
several rates, so the protocols for training have all of these; the protocols for testing have the
same range and other shapes, and a trained law is evaluated on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .protocols import (
    Protocol,
    piecewise_linear,
    ramp,
    ramp_and_hold,
    random_walk,
    smooth_pull,
    step_and_hold,
    triangle,
)


@dataclass(frozen=True)
class Split:
    """Protocols of a study by their role.

    Attributes:
        train: Seen by the training (a part of them for validation).
        test: Opened once, by the final evaluation.
        extrapolation: Of another shape than the training protocols.
    """

    train: tuple[Protocol, ...]
    test: tuple[Protocol, ...]
    extrapolation: tuple[Protocol, ...]


def trap_of_paper() -> Split:
    """Return example 1: 21 oscillating pulls, even ones train, odd ones test; one linear pull."""
    pulls = [
        smooth_pull(float(speed), sine=2.0, frequency=1.0) for speed in np.linspace(0.5, 1, 21)
    ]
    return Split(tuple(pulls[::2]), tuple(pulls[1::2]), (smooth_pull(1.2),))


def chain_of_paper(springs: int = 10) -> Split:
    """Return example 2: lengths 0.12 … 0.28 train, 0.13 … 0.27 test; one sinusoidal pull.

    For another number of springs the same mean strains: lengths and pulls grow with the chain.
    """
    size = springs / 10
    pulls = [smooth_pull(0.05 * size, float(length) * size) for length in np.linspace(0.1, 0.3, 21)]
    return Split(
        tuple(pulls[2:19:2]),
        tuple(pulls[3:18:2]),
        (smooth_pull(0.05 * size, 0.2 * size, sine=0.2, frequency=0.5),),
    )


def protocols_for_training(
    low: float, high: float, duration: float, *, start: float, walks: int = 8, seed: int
) -> tuple[Protocol, ...]:
    """Return protocols of one duration that load, hold and unload in both directions.

    For each end of the range that differs from the start: a ramp that arrives at the end of the
    record, a ramp in a quarter of it and a hold, loading and unloading, and loading, holding and
    unloading half way; then random walks over the whole range, every second one with a hold. Rates
    follow from the duration: two decades of them take durations a factor of 10 apart.

    Args:
        low: Smallest control.
        high: Largest control.
        duration: Of the record [time].
        start: Control at time zero, within the range.
        walks: Number of random walks.
        seed: Of the random walks.

    Raises:
        ValueError: If the start is not within the range.
    """
    targets = _targets("training_set", low, high, start)
    protocols: list[Protocol] = []
    for target in targets:
        half = 0.5 * (start + target)
        protocols += [
            ramp((target - start) / duration, start),
            ramp_and_hold(target, 0.25 * duration, start),
            triangle(target, 0.5 * duration, 0.5 * duration, start),
            piecewise_linear(
                [0.0, 0.3 * duration, 0.5 * duration, 0.7 * duration],
                [start, target, target, half],
                f"load to {target:g}, hold, unload to {half:g}",
            ),
        ]
    seeds = np.random.SeedSequence(seed).generate_state(walks)
    for index, word in enumerate(seeds):
        moving = duration if index % 2 == 0 else 0.7 * duration
        protocols.append(random_walk(moving, 3 + index % 4, low, high, seed=int(word), start=start))
    return tuple(protocols)


def protocols_for_testing(
    low: float, high: float, duration: float, *, start: float, rise: float = 0.01
) -> tuple[Protocol, ...]:
    """Return protocols of other shapes over the same range, for the evaluation of a law.

    For each end of the range that differs from the start: a sudden step and a hold, and loading
    with reversal through the start; then raised cosines of a short and of a long period.

    Arguments as in :func:`protocols_for_training`, and ``rise``, the part of the duration that the
    step takes: a chain needs time, or its drag tears the end spring.
    """
    targets = _targets("test_set", low, high, start)
    protocols: list[Protocol] = []
    for target in targets:
        beyond = min(max(start - 0.5 * (target - start), low), high)
        protocols += [
            step_and_hold(start + 0.8 * (target - start), 0.1 * duration, rise * duration, start),
            piecewise_linear(
                [0.0, 0.35 * duration, 0.75 * duration, duration],
                [start, start + 0.9 * (target - start), beyond, start],
                f"reversal from {target:g}",
            ),
        ]
    protocols += [
        _raised_cosine(start, targets[-1], 0.4 * duration),
        _raised_cosine(start, targets[0], 1.3 * duration),
    ]
    return tuple(protocols)


def _raised_cosine(start: float, target: float, period: float) -> Protocol:
    """Return a sinusoid that touches the start and 90 % of the way to the target."""
    reach, ω = 0.45 * (target - start), 2 * np.pi / period
    return Protocol(
        f"raised cosine, period {period:g}",
        lambda t: start + reach * (1 - np.cos(ω * t)),
        lambda t: reach * ω * np.sin(ω * t),
    )


def _targets(place: str, low: float, high: float, start: float) -> list[float]:
    if not (low <= start <= high and low < high):
        raise ValueError(
            f"{place}: the start must lie within the range; found start {start:g} and range "
            f"[{low:g}, {high:g}]."
        )
    return [end for end in (low, high) if abs(end - start) > 1e-9 * (high - low)]
