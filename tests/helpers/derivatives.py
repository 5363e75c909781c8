"""Central differences that know their own error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EPS = np.finfo(float).eps


def central_difference(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, h: float = 1e-4
) -> tuple[np.ndarray, float]:
    """Derivative of ``function`` at ``x`` by one Richardson step, and a bound of its error.

    Args:
        function: From an array of shape (size,) to an array of any shape.
        x: Where.
        h: Step.

    Returns:
        The derivative, with one more axis at the end, and the difference to the plain central
        difference (the size of the term that was removed, which bounds the one that is left for
        any ``h`` that resolves the function) plus round-off.
    """
    columns = []
    largest = 0.0
    for j in range(len(x)):
        e = np.zeros_like(x)
        e[j] = h
        near = np.asarray((function(x + e) - function(x - e)) / (2.0 * h))
        far = np.asarray((function(x + 2.0 * e) - function(x - 2.0 * e)) / (4.0 * h))
        columns.append((near + (near - far) / 3.0, np.abs(near - far).max()))
        largest = max(largest, np.abs(function(x + e)).max())
    derivative = np.stack([column for column, _ in columns], axis=-1)
    error = max(term for _, term in columns) / 30.0
    return derivative, error + 20.0 * EPS * largest / h + 1e-13


def assert_is_derivative(
    derivative: np.ndarray,
    function: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    h: float = 1e-4,
    slack: float = 0.0,
) -> None:
    """Fail unless ``derivative`` is the derivative of ``function`` at ``x``.

    Args:
        derivative: The derivative to check.
        function: See :func:`central_difference`.
        x: Where.
        h: Step.
        slack: Known error of ``derivative``, added to the bound of the differences.
    """
    expected, bound = central_difference(function, x, h)
    bound += slack
    error = np.abs(derivative - expected).max()
    assert error <= bound, f"off by {error:.2e}, the differences know it to {bound:.2e}"
