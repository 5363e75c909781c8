r"""Exact increments of linear relaxation, Δt φ₁(Δt J) α̇ with φ₁(y) = (eʸ − 1)/y.

The eigenvalues of J are those of a relaxation: near the negative real axis. There

.. math:: \mathrm e^{y} \approx r_\infty + 2\,\mathrm{Re} \sum_k \frac{c_k}{y - y_k}, \qquad
    \varphi_1(y) \approx 2\,\mathrm{Re} \sum_k \frac{c_k / y_k}{y - y_k},

the best rational approximation of degree 8, with errors below 6e-9 and 8e-7: for three variables
and more, four linear systems in place of a matrix exponential, which costs four to seven times as
much. States that would grow by more than e³ in a step grow less than they should. Fewer variables
are exact; compiled code takes two of them as it takes more.

References:
    Cody, Meinardus & Varga (1969), J. Approx. Theory 2, 50; Trefethen, Weideman & Schmelzer (2006),
    BIT 46, 653 (how the poles are computed); Schmelzer & Trefethen (2007), ETNA 29, 1 (of φ₁).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SERIES = 1e-6
"""Below it φ₁ of one variable is its series to first order."""

POLES = (
    (3.2209452450547 + 1.1936196054195j, -1.463655631777 - 2.4149929540775j),
    (2.2922491478213 + 3.6007714960774j, 1.0410372431279 - 0.013864806352964j),
    (0.26949098736764 + 6.0820325927005j, -0.077445802969246 + 0.10057774247331j),
    (-3.4085395014618 + 8.7730345644088j, 6.4203340910957e-05 - 0.0032313330783446j),
)
"""y_k and residues c_k/y_k, of positive imaginary part."""


def relaxed_increment(rate: Tensor, slope: Tensor) -> Tensor:
    """Return φ₁(J) r; one variable that would grow is taken without its growth.

    Args:
        rate: r = Δt α̇, shape ``(..., n)``.
        slope: J = Δt ∂α̇/∂α, shape ``(..., n, n)``.

    Returns:
        The increment of α, shape ``(..., n)``.

    Raises:
        torch.linalg.LinAlgError: If a system is singular, which that of a relaxation is not.
    """
    size = rate.shape[-1]
    if size == 1:
        decay = slope[..., 0].clamp(max=0.0)
        small = decay > -SERIES
        safe = torch.where(small, -torch.ones_like(decay), decay)
        return torch.where(small, 1.0 + 0.5 * decay, torch.expm1(safe) / safe) * rate
    if size == 2:  # the last column of exp[(J, r), (0, 0)]
        square = nn.functional.pad(torch.cat([slope, rate.unsqueeze(-1)], -1), (0, 0, 0, 1))
        moved: Tensor = torch.linalg.matrix_exp(square)[..., :size, size]
        return moved
    axes = (-1, *(1,) * rate.ndim)
    poles, residues = torch.tensor(POLES, dtype=torch.complex128, device=rate.device).unbind(1)
    identity = torch.eye(size, dtype=torch.complex128, device=rate.device)
    shifted = slope - poles.reshape(*axes, 1) * identity
    parts: Tensor = torch.linalg.solve(shifted, residues.reshape(axes) * rate)
    return 2.0 * parts.sum(0).real
