r"""Equilibrium of a periodic lattice of bistable bonds, sampled as spins with elastic interaction.

A bond with the state b ∈ {0, 1} is a spring of the stiffness κ = k K/(k + K) and the natural
elongation b z_h. The displacements that minimise the energy leave

.. math::
    E(b) = \tfrac\kappa2 |P (e - z_h b)|^2 + D \textstyle\sum b,

with the imposed elongation e of every bond and the projector P on the elongations that no periodic
displacement can make. Vibrations about the minimum do not depend on b, so the states are drawn from
exp(−E/k_BT): all that is left out are bonds on their way between the wells. No law and no training
knows of this sampling.

References:
    Metropolis et al. (1953), J. Chem. Phys. 21, 1087.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LatticeSpins:
    """The bonds of a periodic cell, those of one direction after the other.

    Attributes:
        projector: P, ``(n_bond, n_bond)``.
        strain_basis: A of the mean elongations e = A ε, ``(n_direction, n_ε)``.
        stiffness: κ.
        jump: z_h.
        offset: D.
        thermal_energy: k_BT.
        volume: Reference volume of the cell.
    """

    projector: FloatArray
    strain_basis: FloatArray
    stiffness: float
    jump: float
    offset: float
    thermal_energy: float
    volume: float

    def relaxed(
        self, strain: FloatArray, *, replicas: int, sweeps: int, seed: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean open fractions, mean stresses and their standard errors.

        A first half of the sweeps is dropped. All replicas visit the bonds in one random order,
        which changes from sweep to sweep, and decide independently.

        Args:
            strain: ε, ``(n, n_ε)``.
            replicas: Independent cells at each strain; half begin folded, half open.
            sweeps: Attempts to change each bond.
            seed: Of the random numbers.

        Returns:
            p ``(n, n_direction)``, σ ``(n, n_ε)`` and its standard error over replicas.
        """
        rng = np.random.default_rng(seed)
        directions, bonds = len(self.strain_basis), len(self.projector)
        own = np.repeat(strain @ self.strain_basis.T, bonds // directions, axis=1)
        imposed = np.repeat(own, replicas, axis=0)
        spins = np.zeros_like(imposed)
        spins[::2] = 1.0
        # Force of the lattice on each bond, κ P (z_h b − e); kept up to date in place.
        force = self.stiffness * (self.jump * spins - imposed) @ self.projector
        columns = self.stiffness * self.jump * self.projector
        own_energy = 0.5 * self.stiffness * self.jump**2 * np.diag(self.projector)
        total = np.zeros((len(imposed), directions))
        for sweep in range(sweeps):
            thresholds = -self.thermal_energy * np.log(rng.random((bonds, len(imposed))))
            for number, bond in enumerate(rng.permutation(bonds)):
                step = 1.0 - 2.0 * spins[:, bond]
                rise = step * (self.jump * force[:, bond] + self.offset) + own_energy[bond]
                taken = np.flatnonzero(rise < thresholds[number])
                spins[taken, bond] += step[taken]
                force[taken] += step[taken, None] * columns[bond]
            if 2 * sweep >= sweeps:
                total += spins.reshape(len(imposed), directions, -1).mean(2)
        fractions = total / (sweeps - (sweeps + 1) // 2)
        tension = self.stiffness * (imposed[:, :: bonds // directions] - self.jump * fractions)
        nodes = bonds // directions
        stress = (tension @ self.strain_basis * nodes / self.volume).reshape(
            len(strain), replicas, -1
        )
        mean = fractions.reshape(len(strain), replicas, directions).mean(1)
        error: FloatArray = stress.std(1, ddof=1) / np.sqrt(replicas)
        return mean, stress.mean(1), error
