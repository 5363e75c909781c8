"""Empirical measures: ensembles of replicas as weights on nodes.

An ensemble mean ⟨ψ(x)⟩ of a smooth ψ costs one product `weights @ ψ(nodes)` once the replicas have
been binned, whatever their number. Microstates of one dimension are binned with the weights of
cubic interpolation: the mean of any cubic polynomial is exact, so the moments up to the third are,
and ⟨ψ⟩ changes by 3/128 h⁴ max|∂⁴ψ| at most, h the node distance. Microstates of more dimensions
keep their replicas as nodes of equal weight.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        weights: Summing to one, shape ``(n_state, n_node)``; small negative ones occur where the
            nodes hold binned replicas.
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
            # Weights stored node by node and multiplied from this side are twice as fast.
            return (values.T @ self.weights.T).T
        return (self.weights.unsqueeze(-1) * values).sum(-2)

    def select(self, index: Tensor) -> EmpiricalMeasure:
        """Return the measures of the states ``index``."""
        if not self.shared:
            return EmpiricalMeasure(self.nodes[index], self.weights[index])
        return EmpiricalMeasure(self.nodes, self.weights.T[:, index].T)

    @classmethod
    def joined(cls, parts: Sequence[EmpiricalMeasure]) -> EmpiricalMeasure:
        """Return the measures of all states of several ones, which share their nodes or do not."""
        if parts[0].shared:
            by_node = torch.cat([part.weights.T for part in parts], 1)
            return cls(parts[0].nodes, by_node.T)
        nodes = torch.cat([part.nodes for part in parts])
        return cls(nodes, torch.cat([part.weights for part in parts]))

    def positions(self) -> Tensor:
        """Return the nodes of every state, shape ``(n_state, n_node, n_x)``."""
        return self.nodes.expand(len(self.weights), *self.nodes.shape[-2:])


@dataclass(frozen=True)
class Measures:
    """The same ensembles seen from the origin and from their own mean.

    Attributes:
        absolute: Measures of x.
        centred: Measures of x − ⟨x⟩.
    """

    absolute: EmpiricalMeasure
    centred: EmpiricalMeasure

    def select(self, index: Tensor) -> Measures:
        """Return the measures of the states ``index``."""
        return Measures(self.absolute.select(index), self.centred.select(index))


def uniform_nodes(low: float, high: float, count: int) -> Tensor:
    """Return ``count`` equidistant nodes that exceed [low, high] by two cells on either side."""
    pad = 2.0 * (high - low + 1e-12) / (count - 5)
    return torch.linspace(low - pad, high + pad, count, dtype=torch.float64)


def bin_cubic(
    samples: npt.NDArray[np.floating],
    nodes: Tensor,
    sample_weights: npt.NDArray[np.float64] | None = None,
) -> Tensor:
    """Bin samples onto equidistant nodes with the weights of four-point Lagrange interpolation.

    Args:
        samples: Positions of the replicas, shape ``(n_state, n_replica)``, at least one cell inside
            the nodes' range.
        nodes: Equidistant, shape ``(n_node,)``.
        sample_weights: Of the samples, summing to one in each state, same shape; equal by default.

    Returns:
        Weights of shape ``(n_state, n_node)``: Σ_j w_j p(x_j) is the mean of p over the samples for
        every cubic polynomial p.

    Raises:
        ValueError: If a sample is not finite or lies outside the nodes.
    """
    step = float(nodes[1] - nodes[0])
    first, last, count = float(nodes[0]) + step, float(nodes[-1]) - step, len(nodes)
    low, high = float(samples.min()), float(samples.max())
    if not (low >= first and high <= last):  # written so that NaN fails
        raise ValueError(
            f"bin_cubic: samples must lie within [{first:.6g}, {last:.6g}]; they span "
            f"[{low:.6g}, {high:.6g}]. Widen the nodes, or look for NaN in the data."
        )
    n_state, n_replica = samples.shape
    weights = np.empty((n_state, count))
    chunk = max(1, 2_000_000 // n_replica)
    for start in range(0, n_state, chunk):
        block = samples[start : start + chunk].astype(np.float64)
        place = (block - first) / step
        cell = np.minimum(place.astype(np.int64), count - 4)  # counted from the second node
        t = place - cell
        flat = (cell + count * np.arange(len(block))[:, None]).ravel()
        lagrange = (
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        )
        total = np.zeros(count * len(block))
        for offset, weight in enumerate(lagrange):
            if sample_weights is not None:
                weight = weight * sample_weights[start : start + chunk]
            total += np.bincount(flat + offset, weight.ravel(), len(total))
        whole = total.reshape(len(block), count)
        weights[start : start + chunk] = whole if sample_weights is not None else whole / n_replica
    return torch.from_numpy(weights)
