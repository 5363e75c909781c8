"""The empirical measures of a record's states, from its samples or from its histogram alike.

States are numbered as in the files, (p n_time + t) n_site + s. Microstates of one and of two
dimensions are binned onto nodes that all states of a training share; of more dimensions samples are
kept, some of them, or the histogram's own nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .binned_microstates import EmpiricalMeasure, bin_cubic
from .ensemble import TrajectoryEnsemble
from .lattice_bins import BoundedLattice

FloatArray = npt.NDArray[np.float64]
LEAST_WEIGHT = 1e-12
"""Nodes with less on them are empty, up to round-off."""


def span_of(data: TrajectoryEnsemble, rows: Sequence[int], *, centred: bool) -> FloatArray:
    """Return the range of x, or of x − ⟨x⟩ of each state: ``(2, n_x)``, smallest and largest.

    Args:
        data: The record.
        rows: Its protocols; they are read one at a time.
        centred: Whether the mean of each state is subtracted.
    """
    ranges = []
    for row in rows:
        if data.histogram is None:
            x = np.asarray(data.samples[row])
            x = x - x.mean(2, keepdims=True, dtype=np.float64) if centred else x
            ranges.append((x.min((0, 1, 2)), x.max((0, 1, 2))))
            continue
        weights, nodes = data.histogram.weights[row], data.histogram.nodes
        mean = weights @ nodes if centred else np.zeros((*weights.shape[:2], nodes.shape[1]))
        there = np.abs(weights) > LEAST_WEIGHT
        x = nodes - mean[..., None, :]
        smallest = np.where(there[..., None], x, np.inf).min((0, 1, 2))
        ranges.append((smallest, np.where(there[..., None], x, -np.inf).max((0, 1, 2))))
    low, high = np.min([r[0] for r in ranges], 0), np.max([r[1] for r in ranges], 0)
    return np.stack([low, high]).astype(np.float64)


def measure_of(
    data: TrajectoryEnsemble,
    rows: Sequence[int],
    *,
    centred: bool,
    nodes: Tensor | BoundedLattice | None = None,
    samples: int = 512,
    generator: np.random.Generator | None = None,
) -> EmpiricalMeasure:
    """Return the measures of all states of some protocols.

    Args:
        data: The record.
        rows: Its protocols; they are read one at a time.
        centred: Whether they are measures of x − ⟨x⟩.
        nodes: For one dimension: equidistant, ``(n_node,)``, two cells beyond :func:`span_of`. For
            samples in several dimensions: a lattice over that span; without it samples are kept.
        samples: For more dimensions: samples of each state that are kept.
        generator: Chooses them; the first ones by default.

    Returns:
        Measures of ``len(rows) · n_time · n_site`` states.

    Raises:
        ValueError: If microstates of one dimension come without nodes.
    """
    if data.microstate_size == 1 and nodes is None:
        raise ValueError("measure_of: microstates of one dimension need nodes; found none.")
    if isinstance(nodes, BoundedLattice) and data.histogram is None:
        by_node = [torch.from_numpy(nodes.weights(_flat(data, row, centred)).T) for row in rows]
        return EmpiricalMeasure(torch.from_numpy(nodes.nodes), torch.cat(by_node, 1).T)
    grid = nodes if isinstance(nodes, Tensor) else None
    parts = [_of_protocol(data, row, centred, grid, samples, generator) for row in rows]
    if data.microstate_size == 1 and grid is not None:
        joined = torch.cat([weights.T for _, weights in parts], 1)
        return EmpiricalMeasure(grid[:, None], joined.T)
    if data.histogram is not None and not centred:
        return EmpiricalMeasure(parts[0][0], torch.cat([weights for _, weights in parts]))
    return EmpiricalMeasure(
        torch.cat([each for each, _ in parts]), torch.cat([weights for _, weights in parts])
    )


def _of_protocol(
    data: TrajectoryEnsemble,
    row: int,
    centred: bool,
    nodes: Tensor | None,
    samples: int,
    generator: np.random.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return positions and weights of the states of one protocol."""
    if data.histogram is not None:
        weights = data.histogram.weights[row].reshape(-1, len(data.histogram.nodes))
        own = data.histogram.nodes
        if data.microstate_size == 1 and nodes is not None:
            mean = weights @ own if centred else np.zeros((len(weights), 1))
            places = own[:, 0] - mean
            filled = np.abs(weights) > LEAST_WEIGHT
            # An empty node is put where there is one, so that it widens nothing.
            inside = np.where(
                filled, places, places[np.arange(len(places)), filled.argmax(1)][:, None]
            )
            kept = np.where(filled, weights, 0.0)
            kept /= kept.sum(1, keepdims=True)
            return nodes, bin_cubic(inside, nodes, kept)
        shifted = torch.from_numpy(own)
        if centred:
            shifted = shifted - torch.from_numpy(weights @ own)[:, None]
        return shifted, torch.from_numpy(weights)
    flat = _flat(data, row, centred)
    count, size = flat.shape[1:]
    if size == 1 and nodes is not None:
        return nodes, bin_cubic(flat[..., 0], nodes)
    keep = np.arange(count) if generator is None else generator.permutation(count)
    chosen = torch.as_tensor(flat[:, keep[:samples]].astype(np.float64))
    return chosen, chosen.new_full(chosen.shape[:2], 1.0 / chosen.shape[1])


def _flat(data: TrajectoryEnsemble, row: int, centred: bool) -> npt.NDArray[np.floating[Any]]:
    """Return the samples of one protocol, ``(n_time · n_site, n_sample, n_x)``."""
    x = np.asarray(data.samples[row])
    if centred:
        x = x - x.mean(2, keepdims=True, dtype=np.float64)
    return x.reshape(-1, *x.shape[2:])
