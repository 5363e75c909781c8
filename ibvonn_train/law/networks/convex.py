"""The convex functions of a law with their derivatives written out: trained and exported alike.

The functions take weights as tensors, whoever owns them: the free parameters of a training or the
arrays of an exported law. They use only operations that trace into every graph, and no automatic
differentiation, which does not export and which training would have to differentiate again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus as _softplus


def softplus(y: Tensor) -> Tensor:
    """Return s(y) = ln(1 + e^y) to float64 round-off (torch's default is off by 2e-9 at 20)."""
    return _softplus(y, threshold=40.0)


class EnergyWeights(NamedTuple):
    """Weights of F(x) = l·x + ½ xᵀQx + v·h_L.

    The layers are h_1 = s(S_1 x + b_1) and h_l = s(H_l h_{l−1} + S_l x + b_l). F is jointly convex
    in x where Q is positive semidefinite and H_l, v ≥ 0.

    Attributes:
        linear: l, shape ``(d,)``.
        quadratic: Q, shape ``(d, d)``, symmetric.
        skip: S_1 … S_L, each of shape ``(width_l, d)``.
        bias: b_1 … b_L, each of shape ``(width_l,)``.
        hidden: H_2 … H_L, each of shape ``(width_l, width_{l−1})``.
        output: v, shape ``(width_L,)``.

    References:
        Amos, Xu & Kolter (2017), *Input Convex Neural Networks*, arXiv 1609.07152, section 3.
    """

    linear: Tensor
    quadratic: Tensor
    skip: Sequence[Tensor]
    bias: Sequence[Tensor]
    hidden: Sequence[Tensor]
    output: Tensor


def energy_arguments(x: Tensor, weights: EnergyWeights) -> list[Tensor]:
    """Return the arguments of the softplus of every layer: what the functions below share.

    Args:
        x: Shape ``(..., d)``.
        weights: Of F.
    """
    arguments: list[Tensor] = []
    for i, (skip, bias) in enumerate(zip(weights.skip, weights.bias, strict=True)):
        y = torch.matmul(x, skip.T) + bias
        if i:
            y = y + torch.matmul(softplus(arguments[-1]), weights.hidden[i - 1].T)
        arguments.append(y)
    return arguments


def energy_value(x: Tensor, weights: EnergyWeights, arguments: Sequence[Tensor]) -> Tensor:
    """Return F, shape ``(..., 1)``."""
    half = 0.5 * torch.matmul(x, weights.quadratic)
    value = torch.sum(x * (weights.linear + half), -1, keepdim=True)
    if not arguments:
        return value
    return value + torch.matmul(softplus(arguments[-1]), weights.output[:, None])


def energy_gradient(x: Tensor, weights: EnergyWeights, arguments: Sequence[Tensor]) -> Tensor:
    """Return ∂F/∂x, shape ``(..., d)``."""
    return _backward(x, weights, [torch.sigmoid(y) for y in arguments], 0)[0]


def energy_gradient_and_hessian(
    x: Tensor, weights: EnergyWeights, arguments: Sequence[Tensor], first: int = 0
) -> tuple[Tensor, Tensor]:
    """Return ∂F/∂x and ∂²F/∂x² from component ``first`` on.

    Shapes ``(..., d − first)`` and ``(..., d − first, d − first)``.
    """
    slopes = [torch.sigmoid(y) for y in arguments]
    gradient, adjoints = _backward(x, weights, slopes, first)
    size = weights.quadratic.shape[0] - first
    # Zeros of the batch's shape give the constant matrices its axes.
    zeros = torch.unsqueeze(torch.zeros_like(x[..., :1]), -1)
    hessian = zeros + weights.quadratic[first:, first:]
    jacobian = zeros
    for i, (skip, slope) in enumerate(zip(weights.skip, slopes, strict=True)):
        curvature = adjoints[i] * slope * (1.0 - slope)
        # Row k of `jacobian`: the derivative of the arguments of layer i with respect to x_k.
        direct = skip.T[first:, :]
        if not i:
            # The same at every state: its products with itself are made once.
            jacobian = direct
            pairs = torch.flatten(direct[:, None, :] * direct[None, :, :], 0, 1)
            hessian = hessian + torch.unflatten(torch.matmul(curvature, pairs.T), -1, (size, size))
            continue
        slope_rows = jacobian * torch.unsqueeze(slopes[i - 1], -2)
        jacobian = torch.matmul(slope_rows, weights.hidden[i - 1].T) + direct
        # The factor stands between transposition and product, so that runtimes do not fuse them.
        weighted = torch.transpose(jacobian, -1, -2) * torch.unsqueeze(curvature, -1)
        hessian = hessian + torch.matmul(jacobian, weighted)
    return gradient, hessian


def _backward(
    x: Tensor, weights: EnergyWeights, slopes: Sequence[Tensor], first: int
) -> tuple[Tensor, list[Tensor]]:
    """Return ∂F/∂x from component ``first`` on, and ∂F/∂h_l of every layer."""
    gradient = weights.linear[first:] + torch.matmul(x, weights.quadratic[:, first:])
    adjoint = weights.output
    adjoints: list[Tensor] = []
    for i in range(len(slopes) - 1, -1, -1):
        adjoints.insert(0, adjoint)
        delta = adjoint * slopes[i]
        gradient = gradient + torch.matmul(delta, weights.skip[i][:, first:])
        if i:
            adjoint = torch.matmul(delta, weights.hidden[i - 1])
    return gradient, adjoints


def tanh_layers(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Return y_M with y_1 = tanh(W_1 x + b_1), …, y_M = W_M y_{M−1} + b_M."""
    y = x
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = torch.matmul(y, weight.T) + bias
        if i + 1 < len(weights):
            y = torch.tanh(y)
    return y


class RidgeWeights(NamedTuple):
    """Weights of Φ(g) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + b_j) − s(b_j) − s'(b_j) u_j], u = W g.

    The matrix Λ and the amplitudes A > 0 depend on the state. Φ is convex with its minimum
    0 at g = 0, for any weights.

    Attributes:
        weight: W, shape ``(K, n)``.
        bias: b, shape ``(K,)``.
        ridges: K.
        size: n.
    """

    weight: Tensor
    bias: Tensor
    ridges: int
    size: int


def triangle_places(size: int) -> tuple[Tensor, Tensor]:
    """Return which entries of a lower triangle, row by row, are diagonal, and where they stand.

    Shapes ``(m,)`` and ``(m, size²)`` with m = size (size + 1)/2: entries times the second are the
    matrix row by row.
    """
    rows, columns = torch.tril_indices(size, size)
    places = torch.zeros(len(rows), size * size, dtype=torch.float64)
    places[torch.arange(len(rows)), rows * size + columns] = 1.0
    return rows == columns, places


def ridge_coefficients(
    output: Tensor, diagonal: Tensor, places: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Return the mobility Λ Λᵀ, ``(..., n, n)``, and the amplitudes A, ``(..., K)``.

    Args:
        output: Lower triangle of Λ row by row, its diagonal as logarithms, then ln A, shape
            ``(..., m + K)``.
        diagonal: From :func:`triangle_places`.
        places: Likewise.
        size: n.
    """
    count = size * (size + 1) // 2
    entries = output[..., :count]
    entries = torch.where(diagonal, torch.exp(entries), entries)
    # Λᵀ is built like Λ: some runtimes lack a product with a transposed matrix in float64.
    transposed = places.reshape(count, size, size).mT.reshape(count, size * size)
    lower, upper = (
        torch.unflatten(torch.matmul(entries, p), -1, (size, size)) for p in (places, transposed)
    )
    return torch.matmul(lower, upper), torch.exp(output[..., count:])


def ridge_value(g: Tensor, mobility: Tensor, amplitude: Tensor, weights: RidgeWeights) -> Tensor:
    """Return Φ, shape ``(..., 1)``, for g of shape ``(..., n)``."""
    value = 0.5 * torch.sum(g * _times(mobility, g), -1, keepdim=True)
    if not weights.ridges:
        return value
    u, bias = torch.matmul(g, weights.weight.T), weights.bias
    ridges = softplus(u + bias) - softplus(bias) - torch.sigmoid(bias) * u
    return value + torch.sum(amplitude * ridges, -1, keepdim=True)


def ridge_gradient(g: Tensor, mobility: Tensor, amplitude: Tensor, weights: RidgeWeights) -> Tensor:
    """Return ∂Φ/∂g, shape ``(..., n)``."""
    gradient = _times(mobility, g)
    if not weights.ridges:
        return gradient
    slope = torch.sigmoid(torch.matmul(g, weights.weight.T) + weights.bias)
    return gradient + torch.matmul(
        amplitude * (slope - torch.sigmoid(weights.bias)), weights.weight
    )


def ridge_hessian(g: Tensor, mobility: Tensor, amplitude: Tensor, weights: RidgeWeights) -> Tensor:
    """Return ∂²Φ/∂g², shape ``(..., n, n)``, positive definite."""
    if not weights.ridges:
        return mobility
    slope = torch.sigmoid(torch.matmul(g, weights.weight.T) + weights.bias)
    size = weights.size
    products = (weights.weight[:, :, None] * weights.weight[:, None, :]).reshape(-1, size * size)
    added = torch.matmul(amplitude * slope * (1.0 - slope), products)
    return mobility + torch.unflatten(added, -1, (size, size))


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return torch.squeeze(torch.matmul(matrix, torch.unsqueeze(vector, -1)), -1)
