r"""Equilibrium of a periodic lattice of bistable bonds, sampled as spins with elastic interaction.

A bond with the state b ∈ {0, 1} is a spring of the stiffness κ = k K/(k + K) and the natural
elongation b z_h. The displacements that minimise the energy leave

.. math::
    E(b) = \tfrac\kappa2 |P (e - z_h b)|^2 + D \textstyle\sum b,

with the imposed elongation e of every bond and the projector P on the elongations that no periodic
displacement can make. Vibrations about the minimum do not depend on b, so the states are drawn from
exp(−E/k_BT): all that is left out are bonds on their way between the wells. No law and no training
knows of this sampling.

Cold bonds freeze, since the states that cost least are whole rows of open bonds:
`LatticeSpins.cooled` comes to them from hot cells.

References:
    Metropolis et al. (1953), J. Chem. Phys. 21, 1087.
    Kirkpatrick, Gelatt & Vecchi (1983), Science 220, 671.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .periodic_cell import PeriodicCell
from .two_state_bond import TwoStateBond

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpinStates:
    """Replicas of a cell, whose states are changed in place; all arrays are ``(n_cell, n_bond)``.

    Attributes:
        imposed: e of each bond.
        spins: b.
        force: κ P (z_h b − e), the force of the lattice on each bond; kept up to date.
    """

    imposed: FloatArray
    spins: FloatArray
    force: FloatArray


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

    @classmethod
    def of_bonds(
        cls, cell: PeriodicCell, bond: TwoStateBond, thermal_energy: float
    ) -> LatticeSpins:
        """Return the spins of a cell whose bonds are in series with a spring."""
        matrix = cell.projection_matrix().numpy()
        return cls(
            projector=np.eye(cell.bonds) - matrix @ cell.inverse_projection.numpy(),
            strain_basis=cell.lattice.strain_basis,
            stiffness=bond.stiffness_in_series,
            jump=bond.well_distance,
            offset=bond.offset,
            thermal_energy=thermal_energy,
            volume=cell.lattice.volume * cell.nodes,
        )

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
        cells = self._cells(strain, replicas)
        total = np.zeros((len(cells.spins), directions))
        for sweep in range(sweeps):
            self._sweep(cells, self.thermal_energy, rng)
            if 2 * sweep >= sweeps:
                total += cells.spins.reshape(len(total), directions, -1).mean(2)
        fractions = total / (sweeps - (sweeps + 1) // 2)
        nodes = bonds // directions
        tension = self.stiffness * (cells.imposed[:, ::nodes] - self.jump * fractions)
        stress = (tension @ self.strain_basis * nodes / self.volume).reshape(
            len(strain), replicas, -1
        )
        mean = fractions.reshape(len(strain), replicas, directions).mean(1)
        error: FloatArray = stress.std(1, ddof=1) / np.sqrt(replicas)
        return mean, stress.mean(1), error

    def cooled(
        self,
        strain: FloatArray,
        thermal_energies: Sequence[float],
        *,
        replicas: int,
        sweeps: int,
        seed: int,
    ) -> tuple[FloatArray, FloatArray]:
        """Return mean energies of the cell while it is cooled, and their standard errors.

        At every temperature the first half of the sweeps is dropped; the next temperature begins
        with the states of the last.

        Args:
            strain: ε, ``(n, n_ε)``.
            thermal_energies: k_BT in the order of the cooling, in place of that of the cell.
            replicas: Independent cells at each strain; half begin folded, half open.
            sweeps: Attempts to change each bond at each temperature.
            seed: Of the random numbers.

        Returns:
            E of the cell and its standard error over replicas, ``(n_temperature, n)`` each.
        """
        rng = np.random.default_rng(seed)
        cells = self._cells(strain, replicas)
        energies = np.zeros((len(thermal_energies), len(strain), replicas))
        for level, thermal_energy in enumerate(thermal_energies):
            for sweep in range(sweeps):
                self._sweep(cells, thermal_energy, rng)
                if 2 * sweep >= sweeps:
                    energies[level] += self._energy(cells).reshape(len(strain), replicas)
        energies /= sweeps - (sweeps + 1) // 2
        return energies.mean(2), energies.std(2, ddof=1) / np.sqrt(replicas)

    def _cells(self, strain: FloatArray, replicas: int) -> SpinStates:
        """Return cells at each strain, every other one open."""
        nodes = len(self.projector) // len(self.strain_basis)
        own = np.repeat(strain @ self.strain_basis.T, nodes, axis=1)
        imposed = np.repeat(own, replicas, axis=0)
        spins = np.zeros_like(imposed)
        spins[::2] = 1.0
        force = self.stiffness * (self.jump * spins - imposed) @ self.projector
        return SpinStates(imposed, spins, force)

    def _sweep(self, cells: SpinStates, thermal_energy: float, rng: np.random.Generator) -> None:
        """Try to change each bond once, in random order."""
        spins, force = cells.spins, cells.force
        bonds = len(self.projector)
        columns = self.stiffness * self.jump * self.projector
        own_energy = 0.5 * self.jump * np.diag(columns)
        thresholds = -thermal_energy * np.log(rng.random((bonds, len(spins))))
        for number, bond in enumerate(rng.permutation(bonds)):
            step = 1.0 - 2.0 * spins[:, bond]
            rise = step * (self.jump * force[:, bond] + self.offset) + own_energy[bond]
            taken = np.flatnonzero(rise < thresholds[number])
            spins[taken, bond] += step[taken]
            force[taken] += step[taken, None] * columns[bond]

    def _energy(self, cells: SpinStates) -> FloatArray:
        """Return E of each cell: P is a projector, and the force is κ P (z_h b − e)."""
        elastic = 0.5 / self.stiffness * np.square(cells.force).sum(1)
        energy: FloatArray = elastic + self.offset * cells.spins.sum(1)
        return energy
