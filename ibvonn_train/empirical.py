"""Empirical measures: ensembles of replicas as weights on nodes.

An ensemble mean ⟨ψ(x)⟩ of a smooth ψ costs one product `weights @ ψ(nodes)` once the replicas have
been binned, whatever their number. Microstates of one dimension are binned with cloud-in-cell
weights, which keep the mean of x exactly and change ⟨ψ⟩ by h²/8 ⟨ψ''⟩ at most, h the node distance.
Microstates of more dimensions keep their replicas as nodes of equal weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class EmpiricalMeasure:
    """Weighted nodes, one measure for each state.

    Attributes:
        nodes: Positions, shape ``(n_node, n_x)`` shared by all states, or
            ``(n_state, n_node, n_x)``.
        weights: Nonnegative, summing to one, shape ``(n_state, n_node)``.
    """

    nodes: Tensor
    weights: Tensor

    @property
    def shared(self) -> bool:
        """True where all states have the same nodes."""
        return self.nodes.ndim == 2

    def mean(self, values: Tensor) -> Tensor:
        """Return Σ_j w_j v_j, shape ``(n_state, n)``, of values ``(…, n_node, n)`` on the nodes."""
        if self.shared:
            return self.weights @ values
        return (self.weights.unsqueeze(-1) * values).sum(-2)

    def select(self, index: Tensor) -> EmpiricalMeasure:
        """Return the measures of the states ``index``."""
        nodes = self.nodes if self.shared else self.nodes[index]
        return EmpiricalMeasure(nodes, self.weights[index])

    def positions(self) -> Tensor:
        """Return the nodes of every state, shape ``(n_state, n_node, n_x)``."""
        return self.nodes.expand(len(self.weights), *self.nodes.shape[-2:])


def uniform_nodes(low: float, high: float, count: int, margin: float = 0.02) -> Tensor:
    """Return ``count`` equidistant nodes that cover [low, high] with a relative margin."""
    pad = margin * (high - low) + 1e-12
    return torch.linspace(low - pad, high + pad, count, dtype=torch.float64)


def cloud_in_cell(samples: npt.NDArray[np.floating], nodes: Tensor) -> Tensor:
    """Bin samples linearly onto equidistant nodes.

    Args:
        samples: Positions of the replicas, shape ``(n_state, n_replica)``, inside the nodes' range.
        nodes: Equidistant, shape ``(n_node,)``.

    Returns:
        Weights of shape ``(n_state, n_node)`` with Σ_j w_j = 1 and Σ_j w_j x_j = mean of the samples.

    Raises:
        ValueError: If a sample is not finite or lies outside the nodes.
    """
    first, last, count = float(nodes[0]), float(nodes[-1]), len(nodes)
    low, high = float(samples.min()), float(samples.max())
    if not (low >= first and high <= last):  # written so that NaN fails
        raise ValueError(
            f"cloud_in_cell: samples must lie within the nodes [{first:.6g}, {last:.6g}]; they span "
            f"[{low:.6g}, {high:.6g}]. Widen the nodes, or look for NaN in the data."
        )
    n_state, n_replica = samples.shape
    weights = np.empty((n_state, count))
    step = (last - first) / (count - 1)
    chunk = max(1, 2_000_000 // n_replica)
    for start in range(0, n_state, chunk):
        block = samples[start : start + chunk].astype(np.float64)
        place = (block - first) / step
        cell = np.minimum(place.astype(np.int64), count - 2)
        fraction = place - cell
        flat = (cell + count * np.arange(len(block))[:, None]).ravel()
        size = count * len(block)
        total = np.bincount(flat, (1.0 - fraction).ravel(), size)
        total += np.bincount(flat + 1, fraction.ravel(), size)
        weights[start : start + chunk] = total.reshape(len(block), count) / n_replica
    return torch.from_numpy(weights)
