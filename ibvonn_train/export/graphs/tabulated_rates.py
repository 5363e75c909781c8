r"""Rates of populations from a table: a closed form whose logarithm is a spline of the drive.

With T a cubic spline of |y|, y = (G_i − G_j)/2θ, and a smooth function h that follows it,

.. math::
    \ln k' = \mathrm{net}(\varepsilon, \alpha, 2y) + T(|y|) - h(y) + h(y^+), \qquad
    h(y) = b - \sqrt{y^2 + b^2},

all but h(y⁺) being taken at the start of a step. T has kinks, which the stress would inherit; h has
none, and its slope stays between −1 and 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..potential_parameters import FloatArray
from .population_kinetics import LogRates


class TabulatedRates(nn.Module):
    """ln k' of all pairs, by one table.

    Args:
        table: A row [left end, coefficients of 1, t, t², t³] for each interval of |y|, t being the
            distance from the left end, ``(n, 5)``; the first begins at 0, the last has no end.
        barrier: b of every pair, ``(n_pair,)``.
        network: net, as rates without an implicit part.
    """

    left: Tensor
    coefficients: Tensor
    barrier: Tensor

    def __init__(self, table: FloatArray, barrier: FloatArray, network: LogRates) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("left", torch.tensor(table[None, :, 0]))
        self.register_buffer("coefficients", torch.tensor(table[:, 1:].T.copy()))
        self.register_buffer("barrier", torch.tensor(barrier))

    def frozen(self, strain: Tensor, internal: Tensor, drive: Tensor) -> Tensor:
        """Return ln k' less :meth:`implicit`, at the start of a step."""
        y = 0.5 * drive
        own = self.network.frozen(strain, internal, drive)
        return own + self.tabulated(torch.abs(y)) - self.implicit(y)[0]

    def implicit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and its derivative."""
        root = torch.sqrt(torch.square(y) + torch.square(self.barrier))
        return self.barrier - root, -y / root

    def tabulated(self, size: Tensor) -> Tensor:
        """Evaluate T at |y|, shape ``(n, n_pair)``."""
        reached = torch.where(size.unsqueeze(2) >= self.left, torch.ones_like(self.left), 0.0)
        ended = torch.cat([reached[:, :, 1:], torch.zeros_like(reached[:, :, :1])], 2)
        chosen = reached - ended
        t = size - torch.sum(chosen * self.left, 2)
        c0, c1, c2, c3 = (torch.sum(chosen * self.coefficients[i], 2) for i in range(4))
        return c0 + t * (c1 + t * (c2 + t * c3))
