"""Samples binned on a lattice without ends: only the part that they occupy is kept.

A lattice has the nodes origin + i · spacing for whole numbers i, along each of n_x axes. Weights in
several dimensions are tensor products of those in one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A lattice without ends.

    Attributes:
        origin: Node with the numbers zero, ``(n_x,)``.
        spacing: Distance of the nodes along each axis, ``(n_x,)``.
    """

    origin: FloatArray
    spacing: FloatArray

    def cells(self, samples: npt.NDArray[np.floating[Any]]) -> tuple[IntArray, FloatArray]:
        """Return the node below each sample and the fraction of the way to the next one.

        Args:
            samples: Shape ``(…, n_x)``.

        Returns:
            Both of the shape of ``samples``.
        """
        place = (samples.astype(np.float64) - self.origin) / self.spacing
        cell = np.floor(place)
        return cell.astype(np.int64), place - cell

    def nodes(self, window: Window) -> FloatArray:
        """Return the nodes of a window, the last axis fastest: ``(n_node, n_x)``."""
        grids = np.meshgrid(*map(np.arange, window.low, window.high), indexing="ij")
        numbers = np.stack([grid.ravel() for grid in grids], 1)
        return self.origin + numbers * self.spacing


@dataclass(frozen=True)
class Window:
    """Part of a lattice: nodes low … high − 1 along each axis."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @classmethod
    def around(cls, cells: IntArray, below: int, above: int) -> Window:
        """Return the window of all cells ``(…, n_x)`` and of some nodes below and above them."""
        flat = cells.reshape(-1, cells.shape[-1])
        low, high = flat.min(0) - below, flat.max(0) + above + 1
        return cls(tuple(low.tolist()), tuple(high.tolist()))

    @classmethod
    def union(cls, windows: Sequence[Window]) -> Window:
        """Return the smallest window that holds all the given ones."""
        low = np.min([window.low for window in windows], 0)
        high = np.max([window.high for window in windows], 0)
        return cls(tuple(low.tolist()), tuple(high.tolist()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes along each axis."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    @property
    def size(self) -> int:
        """Number of nodes."""
        return int(np.prod(self.shape))

    def numbers(self, nodes: IntArray) -> IntArray:
        """Return the flat numbers in the window of nodes of the lattice, ``(…, n_x)`` → ``(…)``."""
        inside = np.moveaxis(nodes - np.array(self.low), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(inside), self.shape))

    def places_in(self, larger: Window) -> IntArray:
        """Return the flat numbers in a larger window of the nodes of this one, ``(n_node,)``."""
        grids = np.meshgrid(*map(np.arange, self.low, self.high), indexing="ij")
        return larger.numbers(np.stack([grid.ravel() for grid in grids], 1))


@dataclass(frozen=True, eq=False)
class BoundedLattice:
    """The part of a lattice on which all states of a training are binned.

    Attributes:
        lattice: The nodes.
        window: Those that are used.
    """

    lattice: Lattice
    window: Window

    @classmethod
    def over(cls, low: FloatArray, high: FloatArray, count: int) -> BoundedLattice:
        """Return a lattice with ``count`` nodes along each axis of the box [low, high].

        Two more cells on either side leave room for the weights of cubic interpolation.
        """
        lattice = Lattice(low, (high - low) * (1.0 + 1e-9) / (count - 1))
        axes = len(low)
        return cls(lattice, Window((-2,) * axes, (count + 2,) * axes))

    @property
    def nodes(self) -> FloatArray:
        """All nodes, ``(n_node, n_x)``."""
        return self.lattice.nodes(self.window)

    def weights(self, samples: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Return the weights ``(n_state, n_node)`` of samples ``(n_state, n_sample, n_x)``."""
        window, occupied = bin_samples(self.lattice, samples)
        weights = np.zeros((len(samples), self.window.size))
        weights[:, window.places_in(self.window)] = occupied
        return weights


def cubic(t: FloatArray) -> FloatArray:
    """Return the weights of four-point Lagrange interpolation, ``(4, …)``, at fractions t."""
    return np.stack(
        [
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        ]
    )


def hat(t: FloatArray) -> FloatArray:
    """Return the weights of linear interpolation, ``(2, …)``, at fractions t."""
    return np.stack([1.0 - t, t])


def bin_samples(
    lattice: Lattice, samples: npt.NDArray[np.floating[Any]]
) -> tuple[Window, FloatArray]:
    """Bin samples with the weights of cubic interpolation: moments up to the third are exact.

    Args:
        lattice: The nodes.
        samples: Shape ``(n_state, n_sample, n_x)``.

    Returns:
        The part of the lattice that they occupy, and weights ``(n_state, n_node)`` on it, summing
        to one.
    """
    cells, t = lattice.cells(samples)
    window = Window.around(cells, 1, 2)
    states, count, axes = samples.shape
    offsets, weights = np.arange(-1, 3), cubic(t)
    total = np.zeros(states * window.size)
    row = window.size * np.arange(states)[:, None]
    for corner in itertools.product(range(4), repeat=axes):
        node = window.numbers(cells + offsets[list(corner)])
        weight = np.prod([weights[c, ..., axis] for axis, c in enumerate(corner)], 0)
        total += np.bincount((row + node).ravel(), weight.ravel(), len(total))
    return window, total.reshape(states, window.size) / count


def hat_values(
    lattice: Lattice, samples: npt.NDArray[np.floating[Any]]
) -> tuple[IntArray, FloatArray]:
    """Return the nodes of the hat functions that are not zero at samples, and their values.

    Args:
        lattice: The nodes of the hats.
        samples: Shape ``(…, n_x)``.

    Returns:
        Nodes ``(…, 2^n_x, n_x)`` and values ``(…, 2^n_x)``, which sum to one.
    """
    cells, t = lattice.cells(samples)
    weights = hat(t)
    corners = list(itertools.product((0, 1), repeat=samples.shape[-1]))
    nodes = np.stack([cells + np.array(corner) for corner in corners], -2)
    values = np.stack(
        [np.prod([weights[c, ..., a] for a, c in enumerate(corner)], 0) for corner in corners], -1
    )
    return nodes, values
