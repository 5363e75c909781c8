"""Whether the two energies that a system may give are one: e(x, λ) and e(x, ε) of a microstate."""

from __future__ import annotations

import torch
from torch import Tensor

from .system import MicroscopicSystem

POINTS = 41
TOLERANCE = 1e-6


def require_one_energy(system: MicroscopicSystem, probe: Tensor, controls: Tensor) -> None:
    """Compare ``energy`` over the reference length with ``microscopic_energy``, up to a constant.

    That is possible for one degree of freedom under a controlled strain. Of more degrees of freedom
    the first is the energy of all sites, with what acts between them, and the second that of one.

    Args:
        system: Any system.
        probe: Positions that it may take, ``(1, n_degree, n)``.
        controls: Values of λ, ``(n_case, 1)``.

    Raises:
        ValueError: If they differ.
    """
    if (
        system.microscopic_energy is None
        or system.strain_kind != "controlled"
        or probe.shape[1] != 1
    ):
        return
    λ = controls.double().cpu()
    reach = float(torch.cat([probe.double().flatten(), λ.flatten()]).abs().max()) or 1.0
    x = (
        torch.linspace(-reach, reach, POINTS, dtype=torch.float64)
        .expand(len(λ), 1, -1)
        .to(λ.device)
    )
    energy = system.energy(x, λ) / float(system.parameters().get("reference_length", 1.0))
    microstate = system.microstate(x, λ)[:, 0]
    of_site = system.microscopic_energy(microstate, λ)
    if of_site.shape != energy.shape:
        raise ValueError(
            f"{system.name}: microscopic_energy of microstates {tuple(microstate.shape)} must have "
            f"the shape {tuple(energy.shape)}; found {tuple(of_site.shape)}."
        )
    finite = torch.isfinite(energy) & torch.isfinite(of_site)
    energy, difference = energy[finite], (of_site - energy)[finite]
    if not len(energy):
        return
    apart = float(difference.max() - difference.min())
    varies = float(energy.max() - energy.min())
    if apart > TOLERANCE * max(varies, float(of_site[finite].abs().max())):
        raise ValueError(
            f"{system.name}: microscopic_energy must be energy over the reference length, up to a "
            f"constant; they differ by {apart:.3g} where energy varies by {varies:.3g}. Write one "
            "of them, and let the other call it."
        )
