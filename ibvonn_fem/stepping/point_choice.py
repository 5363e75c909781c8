"""Which quadrature points a history is kept of: by number, at random, or the largest in a quantity.

A point has the number (index of its cell in the mesh as it was given) × (points in a cell) + (its
place in the cell), which does not depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..kernels.base import FloatArray

Quantity = Literal["validity", "dissipation", "stress"]

DIGITS = 9
"""Values that agree to so many digits of the largest are equal: round-off chooses no point."""


@dataclass(frozen=True)
class LargestPoints:
    """The points at which a quantity is largest over all recorded instants.

    Attributes:
        quantity: "validity" (its largest value), "dissipation" (its sum) or "stress" (the largest
            Euclidean norm of the components).
        count: Number of points. Of equal points the one of the smallest number comes first.
    """

    quantity: Quantity
    count: int

    def __post_init__(self) -> None:
        if self.quantity not in get_args(Quantity):
            raise ValueError(
                f"LargestPoints: quantity must be one of {get_args(Quantity)}; found "
                f"{self.quantity!r}."
            )
        _require_count("LargestPoints", self.count)


@dataclass(frozen=True)
class RandomPoints:
    """Points drawn with equal probability and without repetition.

    Attributes:
        count: Number of points.
        seed: Of the draw, which does not depend on the number of ranks.
    """

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        _require_count("RandomPoints", self.count)


@dataclass(frozen=True)
class EveryPoint:
    """All points of the law: what ``ibvonn error-field`` estimates errors of."""


Choice = int | LargestPoints | RandomPoints | EveryPoint


def as_choices(points: object) -> tuple[Choice, ...]:
    """A choice, or several, as a tuple.

    Raises:
        TypeError: If an entry is neither a number nor a choice.
        ValueError: If there is none.
    """
    if isinstance(points, LargestPoints | RandomPoints | EveryPoint) or hasattr(
        points, "__index__"
    ):
        points = (points,)
    if isinstance(points, str) or not isinstance(points, Sequence | np.ndarray):
        raise TypeError(
            "Histories: points must be numbers of points, LargestPoints, RandomPoints or "
            "EveryPoint; found "
            f"{points!r}."
        )
    choices: list[Choice] = []
    for entry in points:
        if isinstance(entry, LargestPoints | RandomPoints | EveryPoint):
            choices.append(entry)
        elif hasattr(entry, "__index__") and not isinstance(entry, bool):
            choices.append(int(entry))
        else:
            raise TypeError(
                "Histories: points must be numbers of points, LargestPoints, RandomPoints or "
                f"EveryPoint; found {entry!r} among them."
            )
    if not choices:
        raise ValueError("Histories: points must name at least one point; found none.")
    return tuple(choices)


def candidates(choices: Sequence[Choice], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of all points that may be chosen in the end, increasing.

    Args:
        choices: What is chosen.
        numbers: Of all points of all ranks, increasing.

    Raises:
        ValueError: If there is no point of a number, or there are fewer than are asked for.
    """
    for choice in choices:
        if isinstance(choice, int):
            if choice not in numbers:
                raise ValueError(
                    f"Histories: points must be among the {len(numbers)} points of the law; "
                    f"found {choice}."
                )
        elif not isinstance(choice, EveryPoint) and choice.count > len(numbers):
            raise ValueError(
                f"Histories: the law has {len(numbers)} points; {choice} asks for more."
            )
    if any(isinstance(choice, LargestPoints) for choice in choices):
        return numbers
    return np.array(sorted(chosen(choices, numbers, {})), dtype=np.int64)


def chosen(
    choices: Sequence[Choice], numbers: NDArray[np.int64], scores: Mapping[str, FloatArray]
) -> dict[int, str]:
    """Number of every chosen point → why it was chosen.

    Args:
        choices: What is chosen.
        numbers: Of all points of all ranks, increasing.
        scores: The value of each quantity by which :class:`LargestPoints` orders the points.
    """
    reasons: dict[int, list[str]] = {}
    for choice in choices:
        if isinstance(choice, int):
            points, reason = [choice], "by number"
        elif isinstance(choice, EveryPoint):
            points, reason = numbers.tolist(), "every point"
        elif isinstance(choice, RandomPoints):
            drawn = np.random.default_rng(choice.seed).choice(
                len(numbers), choice.count, replace=False
            )
            points, reason = numbers[drawn].tolist(), "random"
        else:
            points = _largest(choice.count, numbers, scores[choice.quantity])
            reason = f"largest {choice.quantity}"
        for number in points:
            reasons.setdefault(number, []).append(reason)
    return {number: ", ".join(dict.fromkeys(words)) for number, words in reasons.items()}


def _largest(count: int, numbers: NDArray[np.int64], values: FloatArray) -> list[int]:
    top = np.abs(values).max(initial=0.0)
    rounded = np.round(values / top, DIGITS) if top > 0.0 else values
    order = np.lexsort((numbers, -rounded))[:count]
    points: list[int] = numbers[order].tolist()
    return points


def _require_count(place: str, count: int) -> None:
    if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
        raise ValueError(f"{place}: count must be a whole number of at least 1; found {count!r}.")
