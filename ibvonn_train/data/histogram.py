"""Histograms of microstates in place of samples, with what audits need of single replicas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .drive_records import Instants, Rows
from .hdf5 import require_finite

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Weights of microstates on nodes, one set of weights for each state of a record.

    A state is a protocol, instant and site. The weights are those of cubic interpolation, a tensor
    product in several dimensions: moments up to the third are those of the samples.

    Attributes:
        nodes: Of the weights, ``(n_node, n_x)``.
        weights: Summing to one, ``(n_protocol, n_time, n_site, n_node)``.
        replicas: Number of independent replicas (cells) of each protocol.
        samples_per_replica: Like elements of each replica, all of which are samples of a site.
        coarse_nodes: Nodes of hat functions b_i, tensor products in several dimensions,
            ``(n_coarse, n_x)``; or None.
        coarse_variance: Variance between replicas of the mean of b_i over a replica,
            ``(n_protocol, n_time, n_site, n_coarse)``; or None.
        lags: In stored steps, ``(n_lag,)``; or None.
        joint_counts: Mean over pairs of states τ = ``lags`` apart of the covariances within each
            ensemble, ⟨b_i(x_t) b_j(x_{t+τ})⟩ − ⟨b_i⟩_t ⟨b_j⟩_{t+τ}, ``(n_protocol, n_lag, n_coarse,
            n_coarse)``; or None. Each protocol has its own, so that protocols can be selected.
    """

    nodes: FloatArray
    weights: FloatArray
    replicas: int
    samples_per_replica: int = 1
    coarse_nodes: FloatArray | None = None
    coarse_variance: FloatArray | None = None
    lags: npt.NDArray[np.int64] | None = None
    joint_counts: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_protocol, n_time, n_site)."""
        protocols, instants, sites = self.weights.shape[:3]
        return protocols, instants, sites

    def mean(self) -> FloatArray:
        """Return ⟨x⟩ of each state, ``(n_protocol, n_time, n_site, n_x)``."""
        mean: FloatArray = self.weights @ self.nodes
        return mean

    def select(self, protocols: Rows, instants: Instants = slice(None)) -> Histogram:
        """Return the histogram of some protocols; of some instants, it loses its joint counts."""
        kept: dict[str, Any] = {"weights": self.weights[protocols][:, instants]}
        if self.coarse_variance is not None:
            kept["coarse_variance"] = self.coarse_variance[protocols][:, instants]
        if self.joint_counts is not None:
            whole = isinstance(instants, slice) and instants == slice(None)
            kept["joint_counts"] = self.joint_counts[protocols] if whole else None
            kept["lags"] = self.lags if whole else None
        return replace(self, **kept)

    def datasets(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that a file holds."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if isinstance(getattr(self, item.name), np.ndarray)
        }

    def __post_init__(self) -> None:
        for name, array in self.datasets().items():
            kind = np.int64 if name == "lags" else np.float64
            object.__setattr__(self, name, np.ascontiguousarray(array, kind))
        for message in _faults(self):
            raise ValueError(message)
        for name, array in self.datasets().items():
            require_finite(name, array)


DATASETS = ("nodes", "weights", "coarse_nodes", "coarse_variance", "lags", "joint_counts")


def _faults(histogram: Histogram) -> Iterator[str]:
    """Say what is wrong with the shapes and sums of a histogram."""
    nodes, weights = histogram.nodes, histogram.weights
    if nodes.ndim != 2 or 0 in nodes.shape:
        yield f"nodes must have the axes (node, x), none of them empty; found shape {nodes.shape}."
    if weights.ndim != 4 or 0 in weights.shape or weights.shape[-1] != len(nodes):
        yield (
            f"weights must have the axes (protocol, time, site, node) with {len(nodes)} nodes; "
            f"found shape {weights.shape}."
        )
    if (np.abs(weights.sum(-1) - 1.0) > 1e-6).any():
        yield "weights must sum to one in each state; they do not."
    if histogram.replicas < 2 or histogram.samples_per_replica < 1:
        yield (
            "replicas must be at least 2, whose distribution is learned, and samples_per_replica "
            f"at least 1; found {histogram.replicas} and {histogram.samples_per_replica}."
        )
    if histogram.coarse_nodes is None:
        rest = (histogram.coarse_variance, histogram.lags, histogram.joint_counts)
        if any(part is not None for part in rest):
            yield "coarse_nodes must be there with coarse_variance, lags or joint_counts."
        return
    count = len(histogram.coarse_nodes)
    shapes: dict[str, tuple[int, ...]] = {"coarse_nodes": (count, nodes.shape[1])}
    shapes["coarse_variance"] = (*histogram.shape, count)
    if (histogram.lags is None) != (histogram.joint_counts is None):
        yield "lags and joint_counts must be there both or not at all."
    if histogram.lags is not None:
        shapes["joint_counts"] = (len(weights), histogram.lags.size, count, count)
    for name, shape in shapes.items():
        array = getattr(histogram, name)
        if array is not None and array.shape != shape:
            yield f"{name} must have shape {shape}; found {array.shape}."
