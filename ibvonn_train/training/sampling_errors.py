"""Standard errors of measured means, the unit in which residuals count."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure
from .hat_functions import hat_functions
from .ridge_fit import ridge_weights

HATS = 40
"""Hat functions of one-dimensional microstates in the regression of the stress."""
STATES = 20_000
"""States of the regression."""


def stress_error(
    strain: Tensor, stress: Tensor, measure: EmpiricalMeasure, replicas: int
) -> Tensor:
    """Return the standard error of σ where a record does not have its variance.

    The stress is the mean of some function h of the microstates of a point and of its strain. h is
    found by linear regression of σ on means of a few functions of the microstates, and its variance
    within each ensemble is that of one replica. What the regression leaves counts as error too.

    Args:
        strain: Shape ``(n_protocol, n_time, n_point, n_ε)``.
        stress: Same shape.
        measure: Of the sites, class by class.
        replicas: Their number.

    Returns:
        Shape of ``stress``.
    """
    points = strain.shape[:3].numel()
    classes = len(measure.weights) // points
    functions = _functions(measure)
    means = measure.mean(functions).reshape(points, -1)
    size = strain.shape[-1]
    design = torch.cat([means, strain.reshape(points, size), torch.ones(points, 1).to(strain)], 1)
    target = stress.reshape(points, size)
    step = max(1, points // STATES)
    rows, right = design[::step], target[::step]
    weights = ridge_weights(rows, right)
    left_over = (rows @ weights - right).square().mean(0)
    of_class = weights[: means.shape[1]].reshape(classes, -1, size)
    # Sites are ordered class by class within each point: the functions of a class meet its weights.
    sites = torch.arange(points * classes, device=strain.device).reshape(points, classes)
    variance = left_over.expand(points, size) * replicas
    for number in range(classes):
        own = measure.select(sites[:, number])
        values = functions if measure.shared else functions[sites[:, number]]
        h = values @ of_class[number]
        variance = variance + (own.mean(h.square()) - own.mean(h).square()).clamp(min=0.0)
    error: Tensor = (variance / replicas).sqrt().reshape(stress.shape)
    return error


def _functions(measure: EmpiricalMeasure) -> Tensor:
    """Return functions of the nodes: hats in one dimension, monomials up to squares in more."""
    nodes = measure.nodes
    if nodes.shape[-1] == 1 and measure.shared:
        return hat_functions(nodes, HATS)
    flat = nodes.reshape(-1, nodes.shape[-1])
    scaled = (nodes - flat.mean(0)) / flat.std(0)
    i, j = torch.triu_indices(nodes.shape[-1], nodes.shape[-1])
    return torch.cat([scaled, scaled[..., i] * scaled[..., j]], -1)
