"""Features of the shape of a distribution about its mean that populations and strain leave open."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure

HATS = 24
"""Hat functions on the centred microstates of one dimension."""
DEGREE = 3
"""Of the polynomials of α and ε that count as known."""
RIDGE = 1e-6


def shape_features(
    measure: EmpiricalMeasure, known: Tensor, samples: int, count: int
) -> tuple[Tensor, Tensor]:
    """Return centred features whose means vary most beyond what is a function of known variables.

    Of the means of hat functions over the states, the part that polynomials of the known variables
    explain is taken off. A feature is good where what is left varies much against its sampling
    error and against the explained part, less what is linear: a variable that is a curved function
    of others would bend the free energy. Both are quadratic forms of the feature's coefficients, so
    the best features solve a generalised eigenproblem.

    Args:
        measure: Centred measures of some states, on shared nodes of one dimension.
        known: Known variables of these states, ``(n_state, n)``.
        samples: Number of samples of each state.
        count: Number of features.

    Returns:
        The features on the nodes, ``(n_node, count)``, of unit variance, and their eigenvalues,
        ``(count,)``.
    """
    hats = _hats(measure.nodes[:, 0])
    means = measure.mean(hats)
    centred = means - means.mean(0)
    linear, every = _polynomials(known, 1), _polynomials(known, DEGREE)
    explained = every @ torch.linalg.lstsq(every, centred).solution
    straight = linear @ torch.linalg.lstsq(linear, centred).solution
    left, curved = centred - explained, explained - straight
    noise = _within(measure, hats, means) / samples
    n = len(means)
    below = curved.T @ curved / n + noise
    # Weights of cubic binning may be a little negative, and so may what should be a covariance.
    size, axes = torch.linalg.eigh(below)
    inverse = (axes / size.clamp(min=RIDGE * float(size.mean())).sqrt()).T
    values, vectors = torch.linalg.eigh(inverse @ (left.T @ left / n) @ inverse.T)
    order = torch.argsort(values, descending=True)[:count]
    coefficients = inverse.T @ vectors[:, order]
    features = hats @ coefficients
    weights = measure.weights.mean(0).clamp(min=0.0)[:, None]
    centre = (weights * features).sum(0) / weights.sum()
    spread = ((weights * (features - centre).square()).sum(0) / weights.sum()).sqrt()
    return (features - centre) / spread, values[order]


def _within(measure: EmpiricalMeasure, hats: Tensor, means: Tensor) -> Tensor:
    """Return the covariance of the hat functions within a state, averaged over the states."""
    mean_weights = measure.weights.mean(0)
    second = hats.T @ (mean_weights[:, None] * hats)
    return second - means.T @ means / len(means)


def _hats(nodes: Tensor) -> Tensor:
    place = torch.linspace(0.0, HATS - 1.0, len(nodes), dtype=nodes.dtype, device=nodes.device)
    below = place.floor().clamp(max=HATS - 2).long()
    rows = torch.arange(len(nodes), device=nodes.device)
    hats = nodes.new_zeros(len(nodes), HATS)
    hats[rows, below] = 1.0 - (place - below)
    hats[rows, below + 1] = place - below
    return hats


def _polynomials(variables: Tensor, degree: int) -> Tensor:
    """Return all monomials up to a degree of the variables, standardised: ``(n_state, n)``."""
    scaled = (variables - variables.mean(0)) / variables.std(0).clamp(min=1e-12)
    columns = [torch.ones_like(scaled[:, :1])]
    last = columns
    for _ in range(degree):
        last = [scaled[:, i : i + 1] * column for column in last for i in range(scaled.shape[1])]
        columns = [*columns, *last]
    return torch.cat(columns, 1)
