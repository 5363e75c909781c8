"""Features of the shape of a distribution about its mean that populations and strain leave open."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure
from .hat_functions import hat_functions
from .ridge_fit import ridge_weights

HATS = 24
"""Hat functions on the centred microstates of one dimension."""
DEGREE = 3
"""Of the polynomials of α and ε that count as known."""
LARGEST = 5.0
"""Of a feature, in standard deviations: what it does where hardly a sample is says nothing."""
LEAST = 1e-4
"""Part of the largest variance that a combination of hats has to have."""
DIGITS = 4
"""Decimals that are kept of the features, which are a start: a training repeats to the bit."""


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
    hats = hat_functions(measure.nodes[:, 0], HATS)
    means = measure.mean(hats)
    centred = means - means.mean(0)
    linear, every = _polynomials(known, 1), _polynomials(known, DEGREE)
    explained = every @ ridge_weights(every, centred)
    straight = linear @ ridge_weights(linear, centred)
    left, curved = centred - explained, explained - straight
    noise = _within(measure, hats, means) / samples
    n = len(means)
    below = curved.T @ curved / n + noise
    size, axes = torch.linalg.eigh(below)
    # Left out is what no sample decides: hats that are not visited, and the constant, their sum.
    kept = size > LEAST * size.max()
    whitening = axes[:, kept] / size[kept].sqrt()
    values, vectors = torch.linalg.eigh(whitening.T @ (left.T @ left / n) @ whitening)
    order = torch.argsort(values, descending=True)[:count]
    features = hats @ (whitening @ vectors[:, order])
    weights = measure.weights.mean(0).clamp(min=0.0)[:, None]
    centre = (weights * features).sum(0) / weights.sum()
    spread = ((weights * (features - centre).square()).sum(0) / weights.sum()).sqrt()
    features = torch.clamp((features - centre) / spread, -LARGEST, LARGEST)
    # Eigenvectors have no sign, and the last digits of LAPACK depend on its work space.
    largest = torch.argmax(weights * features.abs(), 0, keepdim=True)
    features = features * torch.sign(torch.gather(features, 0, largest))
    return torch.round(features, decimals=DIGITS), values[order]


def _within(measure: EmpiricalMeasure, hats: Tensor, means: Tensor) -> Tensor:
    """Return the covariance of the hat functions within a state, averaged over the states."""
    mean_weights = measure.weights.mean(0)
    second = hats.T @ (mean_weights[:, None] * hats)
    return second - means.T @ means / len(means)


def _polynomials(variables: Tensor, degree: int) -> Tensor:
    """Return all monomials up to a degree of the variables, standardised: ``(n_state, n)``."""
    scaled = (variables - variables.mean(0)) / variables.std(0).clamp(min=1e-12)
    columns = [torch.ones_like(scaled[:, :1])]
    last = columns
    for _ in range(degree):
        last = [scaled[:, i : i + 1] * column for column in last for i in range(scaled.shape[1])]
        columns = [*columns, *last]
    return torch.cat(columns, 1)
