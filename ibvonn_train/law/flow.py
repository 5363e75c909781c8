"""Conditional normalizing flow q(y | c); the only module that knows nflows."""

from __future__ import annotations

import math
from typing import Any

import torch
from nflows.transforms import (
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
)
from torch import Tensor, nn

from .decoder import Decoder
from .networks import spline
from .networks.mlp import uniform

SCALE_FLOOR = 1e-3
"""Added to the softplus of nflows' affine transform."""


class SplineTransform(MaskedPiecewiseRationalQuadraticAutoregressiveTransform):  # type: ignore[misc]
    """The spline transform of nflows with this project's spline, which also traces into graphs."""

    def _elementwise(
        self, inputs: Tensor, autoregressive_params: Tensor, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs, ``(n, n_x)``, and the sum of the logarithms of their slopes."""
        raw = autoregressive_params.reshape(*inputs.shape, -1)
        ends = spline.knots(raw, self.num_bins, self.tail_bound)
        points = inputs.unsqueeze(-1)
        if inverse:
            points = spline.inverse(points, ends, self.tail_bound)
        image, log_slope = spline.forward(points, ends, self.tail_bound)
        outputs, sign = (points, -1.0) if inverse else (image, 1.0)
        return outputs.squeeze(-1), sign * log_slope.sum((-2, -1))


class ConditionalFlow(Decoder):
    """Density q(y | c) as the image of a standard normal z.

    y → (y − centre)/scale → affine with scale and shift of (c, previous components) →
    rational-quadratic spline on [−bound, bound], the identity outside → z. In one dimension the
    networks see c only, and the spline's knots are computed once per state, not once per point.
    In several, the masks of nflows would leave the first component without c: they are replaced.
    The default sizes are those of every shipped law, whose densities have one or two peaks.

    Args:
        features: n_x.
        context: Components of c; 0 gives an unconditional flow.
        hidden: Width of the masked networks.
        blocks: Their number of hidden layers after the first.
        bins: Number of bins of the spline.
        bound: Half width of the spline's interval, in standard deviations of the base.
        generator: Source of the initial weights.

    References:
        Durkan et al. (2019), arXiv 1906.04032; Papamakarios et al. (2017), arXiv 1705.07057.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        features: int,
        context: int,
        *,
        hidden: int = 16,
        blocks: int = 1,
        bins: int = 8,
        bound: float = 4.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.size = features
        self.context = context
        self.bins = bins
        self.bound = bound
        common = {
            "features": features,
            "hidden_features": hidden,
            "context_features": context or None,
            "num_blocks": blocks,
            "use_residual_blocks": False,
            "activation": torch.tanh,
        }
        self.affine = MaskedAffineAutoregressiveTransform(**common).double()
        self.spline = SplineTransform(
            num_bins=bins, tails="linear", tail_bound=bound, **common
        ).double()
        for transform in (self.affine, self.spline):
            _let_context_reach_all(transform.autoregressive_net, features)
        _initialise(self, generator)
        self.register_buffer("centre", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(features, dtype=torch.float64))

    def log_density(self, y: Tensor, context: Tensor) -> Tensor:
        """Return ln q(y | c), shape ``(n_state, n_point)``.

        Args:
            y: Points, shape ``(n_state, n_point, n_x)``.
            context: c, shape ``(n_state, n_c)``.
        """
        z = (y - self.centre) / self.scale
        log_volume = -torch.log(self.scale).sum()
        if self.size == 1:
            z, log_slope = self._forward_line(z[..., 0], context)
            return -0.5 * z * z - 0.5 * math.log(2.0 * math.pi) + log_slope + log_volume
        n_state, n_point, _ = y.shape
        repeated = self._repeat(context, n_point)
        flat, log_affine = self.affine(z.reshape(-1, self.size), repeated)
        flat, log_spline = self.spline(flat, repeated)
        base = -0.5 * flat.square().sum(-1) - 0.5 * self.size * math.log(2.0 * math.pi)
        total: Tensor = base + log_affine + log_spline + log_volume
        return total.reshape(n_state, n_point)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return y, shape ``(n_state, n_sample, n_x)``, of standard normal noise of that shape."""
        n_state, n_sample, _ = noise.shape
        repeated = self._repeat(context, n_sample)
        flat, _ = self.spline.inverse(noise.reshape(-1, self.size), repeated)
        flat, _ = self.affine.inverse(flat, repeated)
        y: Tensor = flat.reshape(n_state, n_sample, self.size) * self.scale + self.centre
        return y

    def line_parameters(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scale, shift ``(n_state, 1)`` and raw spline parameters of a 1-D flow."""
        blank = context.new_zeros(len(context), 1)
        condition = context if self.context else None
        affine: Tensor = self.affine.autoregressive_net(blank, condition)
        spline: Tensor = self.spline.autoregressive_net(blank, condition)
        return nn.functional.softplus(affine[:, :1]) + SCALE_FLOOR, affine[:, 1:], spline

    def _forward_line(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift, raw = self.line_parameters(context)
        ends = spline.knots(raw, self.bins, self.bound)
        z, log_slope = spline.forward(scale * y + shift, ends, self.bound)
        return z, log_slope + torch.log(scale)

    def _repeat(self, context: Tensor, count: int) -> Tensor | None:
        return context.repeat_interleave(count, 0) if self.context else None


def _let_context_reach_all(network: Any, features: int) -> None:
    """Let some hidden units see the context alone, and all parameters those of earlier components.

    A unit of degree m sees the first m components, and the parameters of a component what has a
    lower degree than its own, 1 … n_x. The degrees of nflows begin at 1, so that the parameters of
    the first component, which the context has to enter through hidden units, are constants.
    """
    hidden = [network.initial_layer, *(block.linear for block in network.blocks)]
    inputs = torch.arange(1, features + 1)
    for layer in hidden:
        degrees = torch.arange(len(layer.degrees)) % features
        layer.mask.copy_(degrees[:, None] >= inputs)
        layer.degrees.copy_(degrees)
        inputs = degrees
    final = network.final_layer
    final.mask.copy_(final.degrees[:, None] > inputs)


def _initialise(module: ConditionalFlow, generator: torch.Generator) -> None:
    """Draw nflows' weights from the generator: its own come from the global state of torch."""
    for name, parameter in module.named_parameters():
        fan_in = parameter.shape[-1]
        gain = 0.1 if "final_layer" in name else 1.0
        bound = gain / max(fan_in, 1) ** 0.5
        parameter.data.copy_(uniform(tuple(parameter.shape), bound, generator))
    # softplus(b) = 1 − floor: start from the identity.
    final = module.affine.autoregressive_net.final_layer
    final.bias.data[0::2] += math.log(math.expm1(1.0 - SCALE_FLOOR))
