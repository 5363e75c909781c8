"""Least squares of the weights of a network, by the method of Levenberg and Marquardt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

FIRST_DAMPING, LARGEST = 1e-3, 1e9
SMALLEST = 1e-12
"""Of the diagonal of the normal matrix, over its largest entry: weights that nothing depends on."""


def minimise(
    function: nn.Module,
    inputs: tuple[Tensor, ...],
    values: Callable[[Any], Tensor],
    errors: Callable[[Tensor], Tensor],
    measured: Tensor,
    iterations: int,
    enough: float = 0.0,
) -> float:
    """Minimise |errors(values(function(inputs)) − measured)|² over the weights of a function.

    A network of a few hundred weights that is to be right to 1e-4 lies at the end of narrow
    valleys. Methods of one gradient hardly move there in thousands of iterations; the Jacobian of
    all states leads through in a hundred.

    Args:
        function: Its weights are changed in place.
        inputs: Its arguments, ``(n_state, …)`` each.
        values: What it returns ↦ the numbers that are fitted, ``(n_state, n_value)``.
        errors: Differences ``(n_state, n_value)`` ↦ errors ``(n_error,)``: linear, and to be
            applied to differences with further axes behind.
        measured: Shape ``(n_state, n_value)``.
        iterations: At most.
        enough: Sum of squares at which the search ends.

    Returns:
        The sum of squares.

    Notes:
        MINPACK's routine, which SciPy has, needs as many iterations, but its results depend on
        where arrays lie in memory.

    References:
        Marquardt (1963), *An algorithm for least-squares estimation of nonlinear parameters*, J.
        SIAM 11, 431.
    """
    parameters = dict(function.named_parameters())
    sizes = [parameter.numel() for parameter in parameters.values()]

    def named(weights: Tensor) -> dict[str, Tensor]:
        pieces = zip(parameters.items(), torch.split(weights, sizes), strict=True)
        return {name: piece.reshape(own.shape) for (name, own), piece in pieces}

    def fitted(weights: Tensor, *arguments: Tensor) -> Tensor:
        return values(functional_call(function, named(weights), arguments))

    def of_one_state(weights: Tensor, *arguments: Tensor) -> Tensor:
        return fitted(weights, *(argument[None] for argument in arguments))[0]

    slopes = vmap(jacrev(of_one_state), (None, *(0 for _ in inputs)))
    weights = torch.cat([parameter.detach().flatten() for parameter in parameters.values()])
    rest = errors(fitted(weights, *inputs) - measured).detach()
    damping = FIRST_DAMPING
    for _ in range(iterations):
        jacobian = errors(slopes(weights, *inputs)).detach()
        normal, slope = jacobian.T @ jacobian, jacobian.T @ rest
        scale = normal.diagonal().clamp(min=SMALLEST * float(normal.diagonal().max()))
        while damping < LARGEST:
            step, _ = torch.linalg.solve_ex(normal + damping * torch.diag(scale), slope)
            trial = errors(fitted(weights - step, *inputs) - measured).detach()
            if trial.square().sum() < rest.square().sum():
                break
            damping *= 10.0
        else:
            break
        weights, rest, damping = weights - step, trial, damping / 10.0
        if rest.square().sum() < enough:
            break
    with torch.no_grad():
        for name, value in named(weights).items():
            parameters[name].copy_(value)
    return float(rest.square().sum())
