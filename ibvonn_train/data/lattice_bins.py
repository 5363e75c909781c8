"""Samples binned on a lattice without ends: only the part that they occupy is kept.

A lattice has the nodes origin + i · spacing for whole numbers i, along each of n_x axes. Weights in
several dimensions are tensor products of those in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import bins_by_numpy, compiled_bins
from .bin_lattice import FloatArray, Lattice, Window

LINEAR, CUBIC = 2, 4
"""Nodes along each axis for which a sample has weights."""


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
    window = lattice.window(samples, CUBIC)
    return window, totals(lattice, window, samples, CUBIC) / samples.shape[1]


def totals(
    lattice: Lattice, window: Window, samples: npt.NDArray[np.floating[Any]], order: int
) -> FloatArray:
    """Return the sums over samples of the weights of interpolation, ``(n_row, n_node)``.

    Args:
        lattice: The nodes.
        window: Part of it in which all samples lie, see :meth:`Lattice.window`.
        samples: Shape ``(n_row, n_sample, n_x)``.
        order: ``LINEAR`` or ``CUBIC``.
    """
    engine = compiled_bins.totals if compiled_bins.available() else bins_by_numpy.totals
    return engine(lattice, window, _wide(samples), order)


def pair_totals(
    lattice: Lattice,
    window: Window,
    before: npt.NDArray[np.floating[Any]],
    after: npt.NDArray[np.floating[Any]],
) -> FloatArray:
    """Return the sums of products b_i(x) b_j(x') of hat functions over pairs, ``(n, n)``.

    Args:
        lattice: Nodes of the hat functions.
        window: Part of it in which all samples lie.
        before: x, shape ``(n_sample, n_x)``.
        after: x', same shape.
    """
    engine = compiled_bins.pair_totals if compiled_bins.available() else bins_by_numpy.pair_totals
    return engine(lattice, window, _wide(before), _wide(after))


def _wide(samples: npt.NDArray[np.floating[Any]]) -> FloatArray:
    return np.ascontiguousarray(samples, dtype=np.float64)
