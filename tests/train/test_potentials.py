"""Free energy and dissipation in the units of the data: derivatives of one another."""

from __future__ import annotations

import torch
from torch import Tensor

from ibvonn_train.law.dissipation import DualDissipation
from ibvonn_train.law.free_energy import FreeEnergy

STRAINS, INTERNALS = 2, 3


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slope(value: Tensor, x: Tensor) -> Tensor:
    """The gradient of each row by automatic differentiation."""
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return gradient


def hessian(value: Tensor, x: Tensor) -> Tensor:
    return torch.stack([slope(part, x) for part in slope(value, x).unbind(-1)], -2)


def free_energy() -> FreeEnergy:
    """All scales other than one."""
    law = FreeEnergy(STRAINS, INTERNALS, widths=(6, 5), generator=torch.Generator().manual_seed(0))
    law.strain_centre.copy_(torch.tensor([0.3, -2.0]))
    law.strain_scale.copy_(torch.tensor([0.25, 4.0]))
    law.energy_scale.fill_(7.0)
    law.offset.fill_(0.5)
    return law.requires_grad_(False)


def test_stress_force_and_hessian_are_derivatives_of_the_free_energy() -> None:
    law = free_energy()
    x = random(8, STRAINS + INTERNALS, seed=1).requires_grad_()
    strain, internal = x[:, :STRAINS], x[:, STRAINS:]
    result = law(strain, internal)
    gradient = slope(result.energy, x)
    torch.testing.assert_close(result.stress, gradient[:, :STRAINS], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.driving_force, -gradient[:, STRAINS:], rtol=1e-12, atol=1e-12)
    expected = hessian(result.energy, x)
    torch.testing.assert_close(law.hessian(strain, internal), expected, rtol=1e-12, atol=1e-12)


def test_rate_and_mobility_are_derivatives_of_the_dual_dissipation() -> None:
    law = DualDissipation(
        STRAINS,
        INTERNALS,
        ridges=4,
        context_widths=(6,),
        generator=torch.Generator().manual_seed(2),
    ).requires_grad_(False)
    law.energy_scale.fill_(7.0)
    law.time_scale.fill_(0.2)
    state = random(8, STRAINS + INTERNALS, seed=3)
    force = (3.0 * random(8, INTERNALS, seed=4)).requires_grad_()
    value = law(force, state)
    torch.testing.assert_close(law.rate(force, state), slope(value, force), rtol=1e-12, atol=1e-12)
    expected = hessian(value, force)
    torch.testing.assert_close(law.hessian(force, state), expected, rtol=1e-12, atol=1e-12)
