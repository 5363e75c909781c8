"""The sums of `lattice_bins` by NumPy, where nothing can be compiled."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from .bin_lattice import Lattice, Window

FloatArray = npt.NDArray[np.float64]


def interpolation(t: FloatArray, order: int) -> FloatArray:
    """Return the weights of two- or four-point Lagrange interpolation, ``(order, …)``, at t."""
    if order == 2:
        return np.stack([1.0 - t, t])
    return np.stack(
        [
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        ]
    )


def totals(lattice: Lattice, window: Window, samples: FloatArray, order: int) -> FloatArray:
    """See :func:`ibvonn_train.data.lattice_bins.totals`."""
    total = np.zeros(len(samples) * window.size)
    row = window.size * np.arange(len(samples))[:, None]
    for number, weight in _nodes(lattice, window, samples, order):
        total += np.bincount((row + number).ravel(), weight.ravel(), len(total))
    return total.reshape(len(samples), window.size)


def pair_totals(
    lattice: Lattice, window: Window, before: FloatArray, after: FloatArray
) -> FloatArray:
    """See :func:`ibvonn_train.data.lattice_bins.pair_totals`."""
    size = window.size
    both = np.zeros(size * size)
    now = list(_nodes(lattice, window, after, 2))
    for number, weight in _nodes(lattice, window, before, 2):
        for other, other_weight in now:
            both += np.bincount(size * number + other, weight * other_weight, size * size)
    return both.reshape(size, size)


def _nodes(
    lattice: Lattice, window: Window, samples: FloatArray, order: int
) -> list[tuple[npt.NDArray[np.int64], FloatArray]]:
    """Return numbers and weights, ``(…)``, of every node that samples ``(…, n_x)`` have."""
    cells, t = lattice.cells(samples)
    first = window.numbers(cells - (order // 2 - 1))
    weights = interpolation(t, order)
    nodes = []
    for corner in itertools.product(range(order), repeat=samples.shape[-1]):
        weight = weights[corner[0], ..., 0]
        for axis, place in enumerate(corner[1:], 1):
            weight = weight * weights[place, ..., axis]
        step = sum(c * stride for c, stride in zip(corner, window.strides, strict=True))
        nodes.append((first + step, weight))
    return nodes
