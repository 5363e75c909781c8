"""Lattices without ends, on whose nodes samples are binned, and windows of them.

A lattice has the nodes origin + i · spacing for whole numbers i, along each of n_x axes.
"""

from __future__ import annotations

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

    def window(self, samples: npt.NDArray[np.floating[Any]], order: int) -> Window:
        """Return the part whose nodes have weights for samples ``(…, n_x)``.

        Args:
            samples: Positions.
            order: Nodes along each axis that a sample has weights for.
        """
        below = order // 2 - 1
        low, high = [], []
        for axis in range(samples.shape[-1]):
            own = samples[..., axis]
            ends = np.array([own.min(), own.max()], dtype=np.float64)
            cells = np.floor((ends - self.origin[axis]) / self.spacing[axis]).astype(int)
            low.append(int(cells[0]) - below)
            high.append(int(cells[1]) - below + order)
        return Window(tuple(low), tuple(high))

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

    @property
    def strides(self) -> tuple[int, ...]:
        """Difference of the flat numbers of neighbours along each axis; that of the last is 1."""
        return tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape)))

    def numbers(self, nodes: IntArray) -> IntArray:
        """Return the flat numbers of nodes inside the window, ``(…, n_x)`` → ``(…)``."""
        numbers = np.zeros(nodes.shape[:-1], dtype=np.int64)
        for axis, stride in enumerate(self.strides):
            numbers += stride * (nodes[..., axis] - self.low[axis])
        return numbers

    def places_in(self, larger: Window) -> IntArray:
        """Return the flat numbers in a larger window of the nodes of this one, ``(n_node,)``."""
        grids = np.meshgrid(*map(np.arange, self.low, self.high), indexing="ij")
        return larger.numbers(np.stack([grid.ravel() for grid in grids], 1))
