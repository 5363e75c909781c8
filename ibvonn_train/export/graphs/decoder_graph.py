"""The conditional flow as two graphs without branches: log-density and sampling."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...law.flow import SCALE_FLOOR
from ...law.networks import spline
from ...law.networks.convex import softplus


class MaskedNetwork(nn.Module):
    """A masked autoregressive network of nflows with its masks multiplied into the weights.

    Args:
        made: nflows' ``MADE`` with feed-forward blocks and tanh.
        size: n_x, the number of features.

    Raises:
        ValueError: If the network has residual blocks, batch normalisation or another activation.
    """

    initial_bias: Tensor

    def __init__(self, network: Any, size: int) -> None:
        super().__init__()
        if network.use_residual_blocks or network.activation is not torch.tanh:
            raise ValueError(
                "export: decoder: the masked networks must have feed-forward blocks and tanh; "
                "build them with use_residual_blocks=False, activation=torch.tanh."
            )
        self.size, self.blocks = size, len(network.blocks)
        initial = network.initial_layer
        self._store("initial", (initial.weight * initial.mask).T, initial.bias)
        self._store("context", network.context_layer.weight.T, network.context_layer.bias)
        for i, block in enumerate(network.blocks):
            if block.batch_norm is not None:
                raise ValueError("export: decoder: batch normalisation is not known; leave it out.")
            self._store(f"block{i}", (block.linear.weight * block.linear.mask).T, block.linear.bias)
        final = network.final_layer
        weights = (final.weight * final.mask).reshape(size, -1, final.weight.shape[1])
        for i, (weight, bias) in enumerate(zip(weights, final.bias.reshape(size, -1), strict=True)):
            self._store(f"final{i}", weight.T, bias)

    def _store(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_t", weight.detach().to(torch.float64).contiguous())
        self.register_buffer(f"{name}_bias", bias.detach().to(torch.float64).clone())

    def _layer(self, name: str, x: Tensor) -> Tensor:
        weight: Tensor = getattr(self, f"{name}_t")
        bias: Tensor = getattr(self, f"{name}_bias")
        return torch.matmul(x, weight) + bias

    def forward(self, x: Tensor, context: Tensor, feature: int) -> Tensor:
        """Raw parameters of one feature, ``(n_state, n_point or 1, …)``.

        Args:
            x: Points, ``(n_state, n_point, n_x)``; the first feature does not depend on them.
            context: ``(n_state, 1, n_α)``.
            feature: Index of the feature.
        """
        hidden = torch.tanh(self._layer("context", context))
        # With one feature all weights of x are masked: one evaluation per state, not per point.
        hidden = hidden + (self._layer("initial", x) if self.size > 1 else self._bias_only())
        hidden = torch.tanh(hidden)
        for i in range(self.blocks):
            hidden = torch.tanh(self._layer(f"block{i}", hidden))
        return self._layer(f"final{feature}", hidden)

    def _bias_only(self) -> Tensor:
        return self.initial_bias


class FlowGraph(nn.Module):
    """What both graphs share: networks, scaling, and the origin of the decoder's coordinate.

    Args: as :class:`FlowLogDensity`.
    """

    centre: Tensor
    scale: Tensor
    strain_shift: Tensor
    internal_shift: Tensor
    feature_matrix: Tensor
    feature_shift: Tensor

    def __init__(
        self,
        flow: Any,
        *,
        averaged: bool,
        strain_shift: Tensor | float = 0.0,
        internal_shift: Tensor | float = 0.0,
        classes: int = 1,
        features: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.bins, self.bound = flow.size, flow.bins, float(flow.bound)
        self.averaged, self.classes = averaged, classes
        self.affine = MaskedNetwork(flow.affine.autoregressive_net, self.size)
        self.spline = MaskedNetwork(flow.spline.autoregressive_net, self.size)
        for name, value in (
            ("centre", flow.centre),
            ("scale", flow.scale),
            ("strain_shift", strain_shift),
            ("internal_shift", internal_shift),
        ):
            tensor = torch.as_tensor(value, dtype=torch.float64).detach().clone()
            self.register_buffer(name, tensor)
        self.internal_size = self.internal_shift.numel() // classes
        self.sees_strain = features is not None
        if features is not None:
            matrix, shift = features
            self.register_buffer("feature_matrix", matrix.detach().flatten(0, 1).T.contiguous())
            self.register_buffer("feature_shift", shift.detach().flatten())
            self.feature_size = shift.shape[1]

    def context(self, strain: Tensor, statev: Tensor) -> Tensor:
        """Return what the decoder is given, ``(n_state, 1, n_c)``: strain features and α."""
        context = self._of_classes(statev + self.internal_shift, self.internal_size)
        if self.sees_strain:
            trained = torch.matmul(strain + self.strain_shift, self.feature_matrix)
            features = self._of_classes(trained + self.feature_shift, self.feature_size)
            context = torch.cat([features, context], -1)
        return torch.unsqueeze(context, -2)

    def _of_classes(self, values: Tensor, size: int) -> Tensor:
        """Return values ``(n_state, n_class · size)`` as ``(n_state, n_class, size)``."""
        if self.classes == 1:
            return values
        return torch.reshape(values, (-1, self.classes, size))

    def scaled(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """Return (x − origin − centre)/scale."""
        return (microstate - self._origin(strain) - self.centre) / self.scale

    def absolute(self, scaled: Tensor, strain: Tensor) -> Tensor:
        """Return the microstate of what :meth:`scaled` gives."""
        return scaled * self.scale + self.centre + self._origin(strain)

    def scaled_log_density(self, y: Tensor, context: Tensor) -> Tensor:
        """Return the logarithm of the density of scaled points, ``(n_state, n_point, 1)``."""
        middle: list[Tensor] = []
        terms: list[Tensor] = []
        for i in range(self.size):
            scale, shift = self._affine(y, context, i)
            middle.append(scale * y[..., i : i + 1] + shift)
            terms.append(torch.log(scale))
        z = torch.cat(middle, -1)
        for i in range(self.size):
            value, log_slope = self._forward(z, context, i)
            terms.append(log_slope - 0.5 * value * value)
        total: Tensor = terms[0] - 0.5 * self.size * math.log(2.0 * math.pi)
        for term in terms[1:]:
            total = total + term
        return total

    def scaled_sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return scaled points of the shape of ``noise``: the inverse of the flow."""
        middle: list[Tensor] = []
        for i in range(self.size):
            known = _known(middle, noise)
            middle.append(self._inverse(noise[..., i : i + 1], known, context, i))
        result: list[Tensor] = []
        for i in range(self.size):
            scale, shift = self._affine(_known(result, noise), context, i)
            result.append((middle[i] - shift) / scale)
        return torch.cat(result, -1)

    def _origin(self, strain: Tensor) -> Tensor | float:
        return torch.unsqueeze(strain + self.strain_shift, 1) if self.averaged else 0.0

    def _affine(self, x: Tensor, context: Tensor, i: int) -> tuple[Tensor, Tensor]:
        raw = self.affine(x, context, i)
        return softplus(raw[..., 0:1]) + SCALE_FLOOR, raw[..., 1:2]

    def _forward(self, x: Tensor, context: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Image of feature i and the logarithm of its slope, ``(n_state, n_point, 1)``."""
        points, ends = self._row(x[..., i : i + 1], self.spline(x, context, i))
        image, log_slope = spline.forward(points, ends, self.bound)
        return self._column(image), self._column(log_slope)

    def _inverse(self, z: Tensor, known: Tensor, context: Tensor, i: int) -> Tensor:
        """Feature i whose image is z, ``(n_state, n_point, 1)``; ``known`` holds those before."""
        points, ends = self._row(z, self.spline(known, context, i))
        return self._column(spline.inverse(points, ends, self.bound))

    # With one feature the knots depend on the state alone, and its points make one row.
    def _row(self, points: Tensor, raw: Tensor) -> tuple[Tensor, spline.Knots]:
        if self.size == 1:
            points, raw = torch.squeeze(points, -1), torch.squeeze(raw, -2)
        return points, spline.knots(raw, self.bins, self.bound)

    def _column(self, points: Tensor) -> Tensor:
        return torch.unsqueeze(points, -1) if self.size == 1 else points


def _known(features: list[Tensor], like: Tensor) -> Tensor:
    """Features found so far, zeros in place of the others, which the masks hide."""
    missing = torch.zeros_like(like[..., len(features) :])
    return torch.cat([*features, missing], -1)


class FlowLogDensity(FlowGraph):
    """ln q(x | ε, α) of a :class:`ibvonn_train.law.flow.ConditionalFlow`.

    The flow describes y = x for controlled and y = x − ε for averaged strain. Exported variables
    may have another zero than those of training: ε_training = ε + ``strain_shift`` and
    α_training = α + ``internal_shift``.

    With several classes of elements a class axis stands before that of the samples; the flow is
    that of all classes, and what it is given of ε and α is the part of the class.

    Args:
        flow: The trained flow.
        averaged: Whether the strain is averaged.
        strain_shift: Shift of the strain.
        internal_shift: Shift of the internal variables.
        classes: Number of classes.
        features: S ``(classes, q, n_ε)`` and s ``(classes, q)`` of the strain features S ε + s that
            the flow is given before α; None where it is given α alone.
    """

    def forward(self, microstate: Tensor, strain: Tensor, statev: Tensor) -> Tensor:
        """Return ``(n_state, n_sample)`` for microstates ``(n_state, n_sample, n_x)``."""
        y = self.scaled(microstate, strain)
        log_density = self.scaled_log_density(y, self.context(strain, statev))
        return torch.sum(log_density - torch.sum(torch.log(self.scale)), -1)


class FlowSample(FlowGraph):
    """Microstates from standard normal noise by the inverse of the same flow.

    Args: as :class:`FlowLogDensity`.
    """

    def forward(self, noise: Tensor, strain: Tensor, statev: Tensor) -> Tensor:
        """Return microstates of the shape of ``noise``, ``(n_state, n_sample, n_x)``."""
        return self.absolute(self.scaled_sample(noise, self.context(strain, statev)), strain)
