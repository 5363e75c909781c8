r"""Regression of errors that are known with noise, along paths, by a Gaussian process.

The covariance of the errors of two windows x of the paths p, in each component alike, is

.. math::
    K = (a^2 + b^2 \delta_{pp'}) \, \rho(x, x') + (c^2 + s^2) \, \delta_{xx'},

with ρ of :mod:`ibvonn_train.files.error_estimate` and the standard error s of the window's re-run.
The part b belongs to a path as a whole: without it the windows of a path, which follow each other
closely, would pass for independent witnesses of the error at a state. Lengths and amplitudes are
those of the largest posterior density; the prior of their logarithms is broad.

Written out here: scikit-learn has neither the part of a path nor one kernel for several components.

References:
    Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, algorithm 2.1,
    sections 5.4.1 and 5.4.2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PRIOR = 2.0
"""Standard deviation of the logarithms of lengths and amplitudes."""
LEAST = 1e-3
"""Of c over the spread of the errors: K stays invertible."""
STEPS = 80
INTERVAL = 0.9
"""Of the errors of paths that were left out shall lie in their intervals."""
HALF_WIDTH = 1.6448536269514722
"""Of an interval of 90 %, in standard deviations."""


class Fitted(NamedTuple):
    """What a fit has found.

    Attributes:
        lengths: ℓ of each group of inputs, over their scales.
        amplitudes: a, b, c.
        weights: K⁻¹ y, ``(n_row, n_component)``.
        precision: K⁻¹ of each component, ``(n_component, n_row, n_row)``.
        calibration: Factor on the standard deviation (without noise) with which ``INTERVAL`` of the
            errors of paths that were left out lie in their intervals.
        left_out: What was found and expected of rows when their path was left out, and the
            uncalibrated standard deviation, ``(3, n_row, n_component)``.
    """

    lengths: FloatArray
    amplitudes: FloatArray
    weights: FloatArray
    precision: FloatArray
    calibration: float
    left_out: FloatArray


def fit(
    inputs: FloatArray, groups: IntArray, paths: IntArray, errors: FloatArray, noise: FloatArray
) -> Fitted:
    """Fit a Gaussian process.

    Args:
        inputs: States of windows over their scales, ``(n_row, d)``.
        groups: Which length belongs to each of the d, from 0.
        paths: Which path each row belongs to, ``(n_row,)``; at least two.
        errors: Of each component, ``(n_row, n_component)``.
        noise: Standard error of ``errors``, same shape.

    Raises:
        ValueError: If there are fewer than two paths, or the errors are all zero.
    """
    if len(np.unique(paths)) < 2:
        raise ValueError("error estimate: needs re-runs of at least 2 points; found 1.")
    spread = float(np.sqrt((errors**2).mean()))
    if not spread > 0.0:
        raise ValueError("error estimate: the errors are all zero; there is nothing to estimate.")
    count = int(groups.max()) + 1
    apart = np.stack([_apart(inputs[:, groups == g]) for g in range(count)])
    same = (paths[:, None] == paths).astype(float)
    y, s = errors / spread, noise / spread
    start = np.concatenate([np.zeros(count), np.log([0.5, 0.5, 0.2])])
    optimum = minimize(
        _negative_log_posterior, start, (apart, same, y, s, start), "L-BFGS-B", jac=True,
        bounds=[(-4.0, 6.0)] * count + [(-8.0, 4.0)] * 2 + [(np.log(LEAST), 4.0)],
        options={"maxiter": STEPS},
    )  # fmt: skip
    lengths, amplitudes = np.exp(optimum.x[:count]), spread * np.exp(optimum.x[count:])
    rho = np.exp(-0.5 * np.einsum("g,gnm->nm", lengths**-2, apart))
    a, b, c = amplitudes
    structure = (a**2 + b**2 * same) * rho
    identity = np.eye(len(inputs))
    precision = np.stack(
        [
            cho_solve(cho_factor(structure + np.diag(c**2 + column**2)), identity)
            for column in noise.T
        ]
    )
    weights = np.einsum("crs,sc->rc", precision, errors)
    left_out = _left_out(precision, weights, paths, errors, noise)
    calibration = calibrated(left_out[0] - left_out[1], left_out[2], noise)
    return Fitted(lengths, amplitudes, weights, precision, calibration, left_out)


def calibrated(away: FloatArray, deviation: FloatArray, noise: FloatArray) -> float:
    """Return q so that 90 % of the errors lie within 1.645 standard deviations of the estimate.

    The variance of an error that is found is that of the estimate, q² of it, plus the noise.

    Args:
        away: Found minus expected.
        deviation: Standard deviation of the estimate without noise.
        noise: Standard error of what was found.
    """
    needed = np.maximum((away / HALF_WIDTH) ** 2 - noise**2, 0.0) / deviation**2
    return float(np.sqrt(np.quantile(needed, INTERVAL)))


def _apart(rows: FloatArray) -> FloatArray:
    squares = ((rows[:, None] - rows) ** 2).sum(-1)
    return np.asarray(squares)


def _negative_log_posterior(
    logarithms: FloatArray,
    apart: FloatArray,
    same: FloatArray,
    errors: FloatArray,
    noise: FloatArray,
    centre: FloatArray,
) -> tuple[float, FloatArray]:
    """Return −ln p(θ | y) up to a constant and its slope in the logarithms θ."""
    count = len(apart)
    inverse_squares = np.exp(-2.0 * logarithms[:count])
    aa, bb, cc = np.exp(2.0 * logarithms[count:])
    rho = np.exp(-0.5 * np.einsum("g,gnm->nm", inverse_squares, apart))
    structure = (aa + bb * same) * rho
    slopes = [structure * apart[g] * inverse_squares[g] for g in range(count)]
    slopes += [2.0 * aa * rho, 2.0 * bb * same * rho, 2.0 * cc * np.eye(len(rho))]
    away = (logarithms - centre) / PRIOR
    value, slope = 0.5 * float(away @ away), away / PRIOR
    for y, s in zip(errors.T, noise.T, strict=True):
        factor = cho_factor(structure + np.diag(cc + s**2), lower=True)
        inverse = cho_solve(factor, np.eye(len(y)))
        weights = inverse @ y
        value += 0.5 * float(y @ weights) + float(np.log(np.diag(factor[0])).sum())
        sensitivity = np.outer(weights, weights) - inverse
        slope -= 0.5 * np.array([float((sensitivity * each).sum()) for each in slopes])
    return value, slope


def _left_out(
    precision: FloatArray,
    weights: FloatArray,
    paths: IntArray,
    errors: FloatArray,
    noise: FloatArray,
) -> FloatArray:
    """Return errors, expectations and deviations of each path when it is left out of the fit.

    Of the rows B of a path, y_B − m_B = (K⁻¹_BB)⁻¹ (K⁻¹ y)_B, with the covariance (K⁻¹_BB)⁻¹.
    """
    away, variance = np.empty_like(errors), np.empty_like(errors)
    for path in np.unique(paths):
        rows = np.flatnonzero(paths == path)
        for c in range(errors.shape[1]):
            covariance = np.linalg.inv(precision[c][np.ix_(rows, rows)])
            away[rows, c] = covariance @ weights[rows, c]
            variance[rows, c] = np.diag(covariance)
    model = np.maximum(variance - noise**2, np.finfo(float).tiny)
    return np.stack([errors, errors - away, np.sqrt(model)])
