"""Convex and tanh networks of the features of classes, equivariant by shared weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .convex import softplus, tanh_layers
from .icnn import inverse_softplus
from .mlp import uniform
from .tied import class_orbits, dense, repeated


class ConvexLayers(nn.Module):
    """Function v·h_L of layers h_1 = s(S_1 x + b_1), h_l = s(H_l h_{l−1} + S_l x + b_l), convex.

    x are the features of all classes, class by class; all weights commute with the permutations of
    the classes, and v·h_L is invariant. H_l, v ≥ 0 by softplus of free parameters.

    Args:
        orbits: Of pairs of classes, from :func:`~ibvonn_train.law.networks.tied.pair_orbits`.
        inputs: Features of one class.
        widths: Units of one class in each layer; empty for no layers.
        generator: Source of the initial weights.
        output_scale: About the sum of all initial v.
    """

    orbits: Tensor

    def __init__(
        self,
        orbits: Tensor,
        inputs: int,
        widths: Sequence[int],
        *,
        generator: torch.Generator,
        output_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("orbits", orbits, persistent=False)
        pairs, kinds = int(orbits.max()) + 1, int(class_orbits(orbits).max()) + 1
        classes = len(orbits)
        self.skip, self.bias, self.hidden_raw = (nn.ParameterList() for _ in range(3))
        below = 0
        for width in widths:
            gain = 1.5 / classes**0.5
            self.skip.append(nn.Parameter(uniform((pairs, width, inputs), gain, generator)))
            self.bias.append(nn.Parameter(uniform((kinds, width), 1.5, generator)))
            if below:
                size = (1.0 + uniform((pairs, width, below), 0.5, generator)) / (classes * below)
                self.hidden_raw.append(nn.Parameter(inverse_softplus(size)))
            below = width
        size = (
            output_scale * (1.0 + uniform((kinds, below), 0.5, generator)) / max(classes * below, 1)
        )
        self.output_raw = nn.Parameter(inverse_softplus(size))

    def weights(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        """Return S, b, H and v as dense matrices and vectors."""
        skip = [dense(w, self.orbits) for w in self.skip]
        bias = [repeated(b, self.orbits) for b in self.bias]
        hidden = [dense(softplus(h), self.orbits) for h in self.hidden_raw]
        return skip, bias, hidden, repeated(softplus(self.output_raw), self.orbits)


class TiedTanhNetwork(nn.Module):
    """Tanh network from the features of all classes to outputs of all classes, equivariant.

    Args:
        orbits: Of pairs of classes.
        inputs: Features of one class.
        widths: Units of one class in each hidden layer.
        outputs: Of one class.
        generator: Source of the initial weights.
        last_gain: Factor on the initial last layer; 0 starts from constants.
    """

    orbits: Tensor

    def __init__(
        self,
        orbits: Tensor,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        *,
        generator: torch.Generator,
        last_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("orbits", orbits, persistent=False)
        pairs, kinds = int(orbits.max()) + 1, int(class_orbits(orbits).max()) + 1
        self.shared, self.bias = nn.ParameterList(), nn.ParameterList()
        sizes = [inputs, *widths, outputs]
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            gain = last_gain if i == len(widths) else 1.0
            bound = gain / max(n_in * len(orbits), 1) ** 0.5
            self.shared.append(nn.Parameter(uniform((pairs, n_out, n_in), bound, generator)))
            self.bias.append(nn.Parameter(uniform((kinds, n_out), bound, generator)))

    def weights(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights and biases as dense matrices and vectors."""
        return (
            [dense(w, self.orbits) for w in self.shared],
            [repeated(b, self.orbits) for b in self.bias],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, ``(..., classes · outputs)``, of ``(..., classes · inputs)``."""
        return tanh_layers(x, *self.weights())
