"""Energy balance of a step: where the work went, and what the time scheme added.

For a converged step with end-of-step forces, work W, stored energy Ψ and dissipation D
(of the law, and of drag where there is one),

    W − ΔΨ − D = Σ Bregman distance of f between the two states ≥ 0   (f jointly convex),

of second order in Δt per step: the numerical dissipation of backward Euler. With the mean of the
forces at both ends (trapezoidal work) the remainder is one order smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class EnergyBalance:
    """Energies of one step, or sums over several, in the energy unit of the model.

    Attributes:
        external_work: Work of loads and reactions, end-of-step forces times increments.
        external_work_trapezoidal: The same with the mean of old and new forces.
        internal_work: ∫ σ⁺ · Δε dx; equals ``external_work − dragged`` up to the solver's residual.
        stored: Change of ∫ f dx.
        dissipated: ∫ g⁺·(α⁺ − α_n) dx, never negative.
        dragged: Energy taken by drag on the surroundings, ∫ c |Δu|²/Δt dx, never negative.
    """

    external_work: float = 0.0
    external_work_trapezoidal: float = 0.0
    internal_work: float = 0.0
    stored: float = 0.0
    dissipated: float = 0.0
    dragged: float = 0.0

    @property
    def numerical(self) -> float:
        """W − ΔΨ − D with end-of-step work: the Bregman audit, ≥ 0 for convex energies."""
        return self.external_work - self.stored - self.dissipated - self.dragged

    @property
    def numerical_trapezoidal(self) -> float:
        """W − ΔΨ − D with trapezoidal work: of either sign, one order smaller."""
        spent = self.stored + self.dissipated + self.dragged
        return self.external_work_trapezoidal - spent

    def __add__(self, other: EnergyBalance) -> EnergyBalance:
        return EnergyBalance(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def total(balances: Iterable[EnergyBalance]) -> EnergyBalance:
    """Sum of the balances of several steps."""
    result = EnergyBalance()
    for balance in balances:
        result = result + balance
    return result
