"""Paths in the space of strains: protocols whose control has n_ε components."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .families import protocols_for_testing, protocols_for_training
from .protocols import FloatArray, Protocol, piecewise_linear

Vector = Sequence[float]

PARTS = 100
"""Of the duration of a walk, at which it may turn."""


def along(
    protocol: Protocol, direction: Vector, origin: Vector | None = None, name: str = ""
) -> Protocol:
    """Return the proportional path ε(t) = origin + λ(t) · direction.

    Args:
        protocol: λ(t), a number.
        direction: Strain for λ = 1, ``(n_ε,)``.
        origin: Strain for λ = 0; by default zero.
        name: By default that of the protocol with the direction.

    Raises:
        ValueError: If direction and origin differ in size, or the direction is zero.
    """
    towards = np.asarray(direction, float)
    start = np.zeros_like(towards) if origin is None else np.asarray(origin, float)
    if towards.ndim != 1 or start.shape != towards.shape or not towards.any():
        raise ValueError(
            "along: direction must be a list of numbers, one for each component of strain and not "
            f"all zero, and origin of the same size; found {list(direction)} and "
            f"{None if origin is None else list(origin)}."
        )
    words = ", ".join(f"{component:g}" for component in towards)
    return Protocol(
        name or f"{protocol.name} along ({words})",
        lambda t: start + np.multiply.outer(protocol.value(t), towards),
        lambda t: np.multiply.outer(protocol.rate(t), towards),
    )


def strain_path(
    times: Sequence[float], strains: Sequence[Vector], name: str = "strain path"
) -> Protocol:
    """Return straight lines between strains; constant outside them.

    Args:
        times: When, increasing, at least two.
        strains: Strains at these times, each of n_ε numbers.
        name: Short text for figures and tables.

    Raises:
        ValueError: If the times do not increase, or sizes differ.
    """
    try:
        knots = np.asarray(strains, float)
    except ValueError:
        knots = np.empty(0)
    if knots.ndim != 2 or len(knots) != len(times):
        raise ValueError(
            "strain_path: strains must be one list of n_ε numbers for each of the "
            f"{len(times)} times; found {list(strains)}."
        )
    lines = [piecewise_linear(times, column) for column in knots.T.tolist()]
    return Protocol(
        name,
        lambda t: np.stack([line.value(t) for line in lines], -1),
        lambda t: np.stack([line.rate(t) for line in lines], -1),
    )


def strain_walk(
    duration: float,
    segments: int,
    low: Vector,
    high: Vector,
    seed: int,
    start: Vector | None = None,
    hold: float = 0.0,
    back: bool = False,
) -> Protocol:
    """Return straight lines between strains drawn from a box, of random lengths.

    Every component has the arcsine density over its range, that of Chebyshev nodes: a law that is
    fitted to uniform draws is worst near the ends, and in corners, which these hardly reach.

    The path turns at whole hundredths of its duration: a record that holds these instants holds
    all its corners, and straight lines between its strains are the path.

    Args:
        duration: Of the walk [time]; the last strain is held after it.
        segments: Number of lines.
        low: Smallest strain of each component, ``(n_ε,)``.
        high: Largest.
        seed: Of the draws.
        start: Strain at time zero; by default zero.
        hold: Part of each segment that its end is held, below 1.
        back: Whether the last line leads back to the start.

    Raises:
        ValueError: If the sizes differ, or an argument is out of range.
    """
    box = _box("strain_walk", low, high, start)
    if not 1 <= segments <= PARTS // 4 or not 0.0 <= hold < 1.0:
        raise ValueError(
            f"strain_walk: segments must be 1 to {PARTS // 4} and hold in [0, 1); found "
            f"{segments} and {hold}."
        )
    rng = np.random.default_rng(seed)
    cuts = rng.uniform(0.3, 1.0, segments).cumsum()
    ends = _snapped(np.concatenate([[0.0], cuts / cuts[-1]]))
    angles = rng.uniform(0.0, math.pi, (segments, len(box[0])))
    strains = 0.5 * (box[0] + box[1]) - 0.5 * (box[1] - box[0]) * np.cos(angles)
    if back:
        strains[-1] = box[2]
    times, knots = [0.0], [box[2]]
    for number, strain in enumerate(strains):
        length = ends[number + 1] - ends[number]
        arrival = ends[number + 1] - min(round(hold * length), length - 1)
        times.append(float(arrival) * duration / PARTS)
        knots.append(strain)
        if arrival < ends[number + 1]:
            times.append(float(ends[number + 1]) * duration / PARTS)
            knots.append(strain)
    return strain_path(times, [knot.tolist() for knot in knots], f"strain walk {seed}")


def load_hold_unload(duration: float, targets: Sequence[Vector]) -> tuple[Protocol, ...]:
    """Return, for each target, loading to it from rest, a hold, unloading and rest.

    Loading takes 35 %, the hold 20 %, unloading 30 % and rest 15 % of the duration.

    Args:
        duration: Of the record [time].
        targets: Strains that are held, each of n_ε numbers.
    """
    times = [part * duration for part in (0.0, 0.35, 0.55, 0.85)]
    paths = []
    for target in targets:
        zero, words = [0.0] * len(target), ", ".join(f"{v:g}" for v in target)
        name = f"load, hold, unload ({words})"
        paths.append(strain_path(times, [zero, target, target, zero], name))
    return tuple(paths)


def strain_loops(duration: float, corners: Sequence[Sequence[Vector]]) -> tuple[Protocol, ...]:
    """Return closed polygons from zero strain through corners and back, all sides of one duration.

    Args:
        duration: Of the record [time].
        corners: Of each loop its strains in order, each of n_ε numbers.
    """
    paths = []
    for number, strains in enumerate(corners, 1):
        zero = [0.0] * len(strains[0]) if strains else []
        knots = [zero, *strains, zero]
        times = np.linspace(0.0, duration, len(knots)).tolist()
        paths.append(strain_path(times, knots, f"loop {number} through {len(strains)} strains"))
    return tuple(paths)


def strain_from_file(file: str, name: str = "") -> Protocol:
    """Return straight lines through the rows of a file of numbers, such as a strain history of FE.

    Args:
        file: Text with one row for each instant: time and the n_ε strains, separated by commas;
            lines that begin with # are comments.
        name: By default that of the file.

    Raises:
        ValueError: If the file cannot be read, or holds no such table.
    """
    try:
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"strain_from_file: {file} must hold rows 'time, strain, …' of numbers; {error}."
        ) from error
    if table.shape[1] < 2 or len(table) < 2:
        raise ValueError(
            f"strain_from_file: {file} must have at least two rows of a time and n_ε strains; "
            f"found {len(table)} rows of {table.shape[1]} numbers."
        )
    return strain_path(table[:, 0].tolist(), table[:, 1:].tolist(), name or str(file))


def strain_training_set(
    low: Vector,
    high: Vector,
    duration: float,
    *,
    seed: int,
    start: Vector | None = None,
    walks: int = 8,
    directions: int = 6,
) -> tuple[Protocol, ...]:
    """Return paths of one duration that load, hold, unload and turn in the space of strains.

    Along random directions of the box: the protocols of :func:`protocols_for_training` in turn,
    each from the start to where the direction leaves the box; then walks, every second one with
    holds and every third one back to the start.

    Args:
        low: Smallest strain of each component, ``(n_ε,)``.
        high: Largest.
        duration: Of the record [time].
        seed: Of directions and walks.
        start: Strain at time zero; by default zero.
        walks: Number of random walks.
        directions: Number of random directions.
    """
    box = _box("strain_training_set", low, high, start)
    words = np.random.SeedSequence(seed).generate_state(walks + 1)
    shapes = protocols_for_training(0.0, 1.0, duration, start=0.0, walks=0, seed=0)
    proportional = _proportional(shapes, box, directions, int(words[0]))
    walking = (
        strain_walk(
            duration,
            3 + number % 4,
            low,
            high,
            seed=int(word),
            start=start,
            hold=0.0 if number % 2 == 0 else 0.4,
            back=number % 3 == 2,
        )
        for number, word in enumerate(words[1:])
    )
    return (*proportional, *walking)


def strain_test_set(
    low: Vector,
    high: Vector,
    duration: float,
    *,
    seed: int,
    start: Vector | None = None,
    directions: int = 4,
) -> tuple[Protocol, ...]:
    """Return paths of other shapes over the same box, for the evaluation of a law.

    Along random directions: the protocols of :func:`protocols_for_testing` in turn. Arguments as of
    :func:`strain_training_set`.
    """
    box = _box("strain_test_set", low, high, start)
    shapes = protocols_for_testing(0.0, 1.0, duration, start=0.0)
    return tuple(_proportional(shapes, box, directions, seed))


def _snapped(fractions: FloatArray) -> list[int]:
    """Return increasing whole numbers near ``PARTS`` times fractions from 0 to 1."""
    ends = [0]
    for number, fraction in enumerate(fractions[1:], 1):
        left = len(fractions) - 1 - number
        ends.append(int(min(max(round(PARTS * fraction), ends[-1] + 1), PARTS - left)))
    return ends


def _proportional(
    shapes: Sequence[Protocol], box: tuple[FloatArray, ...], directions: int, seed: int
) -> list[Protocol]:
    """Return every shape, in turn, along random directions to the faces of a box."""
    low, high, start = box
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(max(directions, 0)):
        towards = rng.normal(size=len(low)) * (high - low)
        # A component that starts at a face can only move away from it.
        towards = np.where(np.where(towards > 0, high, low) == start, -towards, towards)
        room = np.where(towards > 0, high - start, low - start)
        moving = towards != 0
        reach = (room[moving] / towards[moving]).min()
        shape = shapes[number % len(shapes)]
        paths.append(along(shape, (reach * towards).tolist(), start.tolist()))
    return paths


def _box(
    place: str, low: Vector, high: Vector, start: Vector | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    below, above = np.asarray(low, float), np.asarray(high, float)
    rest = np.zeros_like(below) if start is None else np.asarray(start, float)
    alike = below.ndim == 1 and below.shape == above.shape == rest.shape
    if not alike or not ((below <= rest) & (rest <= above)).all() or not (below < above).any():
        raise ValueError(
            f"{place}: low, high and start must be lists of one number for each component of "
            f"strain, with the start between the others; found {list(low)}, {list(high)} and "
            f"{rest.tolist()}."
        )
    return below, above, rest
