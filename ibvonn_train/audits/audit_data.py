"""What the audits of a law are made on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray, Law
from ..evaluation.law_rollouts import Trajectories
from ..rollouts.drives import drive_of


@dataclass(frozen=True)
class Evidence:
    """Unseen data and what the encoder makes of them.

    Attributes:
        data: An ensemble that the training has not seen.
        measured: Its states.
        slow: Slow protocols that start in equilibrium, for Jarzynski's equality.
        count: Number of states for audits that take some of them.
    """

    data: TrajectoryEnsemble
    measured: Trajectories
    slow: TrajectoryEnsemble | None = None
    count: int = 1500

    @property
    def strain_given(self) -> bool:
        """Whether the strain is imposed; else it follows, as in a chain moved at its end."""
        return drive_of(self.data).strain_given

    def all_states(self, law: Law) -> tuple[FloatArray, FloatArray]:
        """Return every state as rows, ε ``(n, n_ε)`` and α ``(n, n_α)``."""
        return (
            self.measured.strain.reshape(-1, law.strain_size),
            self.measured.internal.reshape(-1, law.internal_size),
        )

    def some_states(self, law: Law) -> tuple[FloatArray, FloatArray]:
        """Return a random choice of the states as rows."""
        strain, internal = self.all_states(law)
        chosen = self.choice(np.ones(len(strain), dtype=bool))
        return strain[chosen], internal[chosen]

    def choice(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the rows of a random choice among the states of a mask."""
        order = np.random.default_rng(3).permutation(len(mask))
        chosen: npt.NDArray[np.int64] = order[mask[order]][: self.count]
        return chosen


def knows_energy(law: Law) -> bool:
    """Return whether e(x) of the microscopic system is known."""
    return law.physics is not None and law.physics.energy is not None


def lacks_flow_energy(law: Law, evidence: Evidence) -> str | None:
    """Return why the free energy of the decoder cannot be asked for, None where it can."""
    if len(evidence.data.classes) > 1:
        return OF_ONE_ELEMENT
    if not (knows_energy(law) and law.has_decoder):
        return NEEDS_DECODER
    return more_than_one(evidence)


def more_than_one(evidence: Evidence) -> str | None:
    """Return why quadrature over microstates is not possible, None where it is."""
    size = evidence.data.microstate_size
    return None if size == 1 else f"needs microstates of one component; these have {size}"


def several_strains(evidence: Evidence) -> str | None:
    """Return why a search along one strain is not possible, None where it is."""
    size = evidence.data.strain.shape[-1]
    return None if size == 1 else f"needs one component of strain; these data have {size}"


def lacks_noise(evidence: Evidence) -> str | None:
    """Return why there is no noise to compare with, None where there is."""
    if evidence.data.parameters["thermal_energy"] > 0:
        return None
    return "needs thermal noise; k_BT of these data is 0"


def lacks_time_step(evidence: Evidence) -> str | None:
    """Return why noise cannot be counted step by step, None where it can."""
    if "time_step" not in evidence.data.not_recorded:
        return None
    return "needs the integrator's time step, which these data do not record"


def lacks_samples(evidence: Evidence) -> str | None:
    """Return why single elements cannot be looked at, None where they can."""
    if evidence.data.microstate is not None:
        return None
    return 'needs single elements: simulate the set with record = "samples"'


NEEDS_ENERGY = "needs a known microscopic energy"
OF_ONE_ELEMENT = (
    "the decoder gives one element of a cell, which shares its vibrations with its neighbours: the "
    "free energy of the cell is not the sum"
)
NEEDS_DECODER = "needs a decoder and a known microscopic energy"
NEEDS_POTENTIALS = "the model gives rates only, not f and φ themselves"
