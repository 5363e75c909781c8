"""Energy balance of a step: work, stored energy, dissipation and error of the time scheme.

For a converged step with end-of-step forces, work W, stored energy Ψ and dissipation D
(of the law, and of drag where there is one),

    W − ΔΨ − D = Σ Bregman distance of f between the two states ≥ 0   (f jointly convex),

of second order in Δt per step: the numerical dissipation of backward Euler. With the mean of the
forces at both ends (trapezoidal work) the remainder is one order smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from mpi4py import MPI

import numpy as np

from ..kernels.base import FloatArray
from .law import InternalVariableLaw


@dataclass(frozen=True)
class EnergyBalance:
    """Energies of one step, or sums over several, in the energy unit of the model.

    Attributes:
        external_work: Work of loads, reactions and a medium that moves, end-of-step forces times
            increments.
        external_work_trapezoidal: The same with the mean of old and new forces.
        internal_work: ∫ σ⁺ · Δε dx; equals ``external_work − dragged`` up to the solver's residual.
        stored: Change of ∫ f dx.
        dissipated: ∫ g⁺·(α⁺ − α_n) dx, never negative.
        dragged: Energy dissipated by drag on the surroundings, ∫ c |s|²/Δt dx of the slip s, never
            negative.
    """

    external_work: float = 0.0
    external_work_trapezoidal: float = 0.0
    internal_work: float = 0.0
    stored: float = 0.0
    dissipated: float = 0.0
    dragged: float = 0.0

    @property
    def numerical(self) -> float:
        """W − ΔΨ − D with end-of-step work: the Bregman audit, ≥ 0 for jointly convex energies.

        Those of populations are convex in α alone: there it may be negative by what f loses along
        the step in ε.
        """
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


@dataclass(frozen=True)
class StepForces:
    """Forces and displacements of one step on the dofs that a rank owns.

    Attributes:
        increment: Δu, shape ``(owned,)``.
        internal: Internal force at the end of the step.
        external: Loads at the end of the step; the reaction where u is prescribed.
        external_old: The same at the start of the step.
        dragged: Energy that drag dissipated, on this rank.
        carried: Work of the motion of the medium, on this rank.
    """

    increment: FloatArray
    internal: FloatArray
    external: FloatArray
    external_old: FloatArray
    dragged: float
    carried: float


def balance_of_step(
    comm: MPI.Intracomm, forces: StepForces, laws: Sequence[InternalVariableLaw], stored: float
) -> EnergyBalance:
    """Energy balance of one step. Collective; all ranks get the same bits.

    Args:
        comm: Communicator of the ranks.
        forces: Forces of this rank.
        laws: The laws, at the end of the step.
        stored: Change of the stored energy of all ranks.
    """
    increment, external, external_old = forces.increment, forces.external, forces.external_old
    works = np.array(
        [
            external @ increment + forces.carried,
            0.5 * (external + external_old) @ increment + forces.carried,
            forces.internal @ increment,
            forces.dragged,
        ]
    )
    comm.Allreduce(MPI.IN_PLACE, works, op=MPI.SUM)
    # An eigenstrain acts on the body as loads do.
    eigen = np.sum([law.eigenstrain_work() for law in laws], axis=0)
    works[:3] += eigen[[0, 1, 0]]
    balance = EnergyBalance(
        external_work=float(works[0]),
        external_work_trapezoidal=float(works[1]),
        internal_work=float(works[2]),
        stored=stored,
        dissipated=sum(law.step_dissipation() for law in laws),
        dragged=float(works[3]),
    )
    agreed: EnergyBalance = comm.bcast(balance)  # a reduction does not promise equal bits
    return agreed
