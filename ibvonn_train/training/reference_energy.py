"""Free energies of the measured distributions, with which f is made consistent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block

ROWS = 1024
"""States at a time."""
NEARLY_NORMAL = 0.02
"""Largest mean loss of entropy by third and fourth moments that counts as nearly normal: two sharp
peaks of equal weight lose 0.08 by these moments, a sampling of 500 loses 0.004."""


def measured_free_energy(block: Block, physics: Physics) -> Tensor | None:
    r"""Return F = ⟨e⟩ + k_BT ⟨ln q⟩ of every state of a block.

    Of microstates of one class with a known energy. In one dimension q is the histogram. In several
    no histogram is fine enough; where q is nearly normal, its entropy is that of its covariance,
    :math:`\tfrac12\ln\det(2\pi\mathrm e\,\Sigma)`, less what its third and fourth moments say.
    Else None: f then follows from stress and kinetics.

    Args:
        block: Data.
        physics: What is known of the system.

    Returns:
        Shape ``(n_state,)``, per unit reference volume, or None.
    """
    measure = block.measures.absolute
    if physics.energy is None or block.classes > 1 or not physics.thermal_energy > 0:
        return None
    if measure.nodes.shape[-1] > 1:
        return _nearly_normal(measure, block.flat(block.strain), physics)
    if not measure.shared:
        return None
    spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
    weights = measure.weights.clamp(min=0.0)  # those of cubic binning may be a little negative
    strain = block.flat(block.strain)
    parts = []
    for rows, eps in zip(torch.split(weights, ROWS), torch.split(strain, ROWS), strict=True):
        energy = physics.energy(measure.nodes.expand(len(eps), *measure.nodes.shape), eps)
        entropy = torch.special.xlogy(rows, rows / spacing)
        parts.append((rows * energy + physics.thermal_energy * entropy).sum(-1))
    return torch.cat(parts)


def _nearly_normal(measure: EmpiricalMeasure, strain: Tensor, physics: Physics) -> Tensor | None:
    """Return F with the entropy of a normal distribution, None where these are none."""
    assert physics.energy is not None  # noqa: S101 (the caller has asked)
    parts, losses = [], []
    for rows in torch.split(torch.arange(len(strain), device=strain.device), ROWS):
        part, eps = measure.select(rows), strain[rows]
        x = part.positions()
        mean = part.mean(part.nodes)
        away = x - mean.unsqueeze(1)
        weighted = part.weights.unsqueeze(-1) * away
        factor, failed = torch.linalg.cholesky_ex(weighted.mT @ away)
        if bool(failed.any()):
            return None
        energy = (part.weights * physics.energy(x, eps)).sum(-1)
        logs = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        entropy = logs + 0.5 * x.shape[-1] * math.log(2.0 * math.pi * math.e)
        standard = torch.linalg.solve_triangular(factor, away.mT, upper=False)
        moments = [(part.weights.unsqueeze(1) * standard**n).sum(-1) for n in (3, 4)]
        # Of an Edgeworth series (Comon 1994, Signal Processing 36, 287), axis by axis.
        loss = (moments[0].square() / 12.0 + (moments[1] - 3.0).square() / 48.0).sum(-1)
        parts.append(energy - physics.thermal_energy * (entropy - loss))
        losses.append(loss)
    if float(torch.cat(losses).mean()) > NEARLY_NORMAL:
        return None
    return torch.cat(parts)
