"""Equilibrium of one microscopic degree of freedom, and of chains of them, by quadrature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import logsumexp

from ..law.free_energy import MicroscopicEnergy
from .microscopic_energy import Physics

FloatArray = npt.NDArray[np.float64]

NODES = 20_001
REPLICAS = 4000
"""Microstates that represent the equilibrium at one strain."""


class Boltzmann:
    """The canonical ensemble of one-dimensional microstates.

    Args:
        physics: k_BT per unit reference length.
        energy: e(x, ε) per unit reference length.
        low: Lower end of the range of microstates.
        high: Upper end.
        count: Number of nodes.
    """

    def __init__(
        self,
        physics: Physics,
        energy: MicroscopicEnergy,
        low: float,
        high: float,
        count: int = NODES,
    ) -> None:
        self.thermal, self.energy = physics.thermal_energy, energy
        self.nodes = np.linspace(low, high, count)

    def controlled_weights(self, strain: FloatArray) -> FloatArray:
        """Return the weights of the nodes at given strains ``(n,)``, shape ``(n, n_node)``."""
        x = torch.from_numpy(self.nodes)[None, :, None].expand(len(strain), -1, -1)
        energy = self.energy(x, torch.from_numpy(strain)[:, None])
        return torch.softmax(-energy / self.thermal, -1).numpy()

    def averaged_weights(self, strain: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return weights and force of one spring under the force at which its mean is ``strain``.

        Args:
            strain: Mean microstate, ``(n,)``.

        Returns:
            Weights ``(n, n_node)`` and forces ``(n,)``.
        """
        energy = self._own_energy()
        force = np.array([self._force_of_mean(energy, value) for value in strain])
        log_weight = -(energy - force[:, None] * self.nodes) / self.thermal
        weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
        return weight, force

    def replicas(self, strain: FloatArray, *, averaged: bool) -> FloatArray:
        """Return microstates at equal steps of probability, ``(n, REPLICAS)``, of given strains."""
        weights = self.averaged_weights(strain)[0] if averaged else self.controlled_weights(strain)
        places = (np.arange(REPLICAS) + 0.5) / REPLICAS
        rows = [np.interp(places, np.cumsum(row), self.nodes) for row in weights]
        return np.stack(rows)

    def _own_energy(self) -> FloatArray:
        """Return e on the nodes of a spring, into which an averaged strain does not enter."""
        with torch.no_grad():
            nothing = torch.zeros(1, 1, dtype=torch.float64)
            energy = self.energy(torch.from_numpy(self.nodes)[None, :, None], nothing)
        return energy[0].numpy()

    def controlled_stress(self, strain: FloatArray) -> FloatArray:
        """Return ⟨∂e/∂ε⟩ at given strains ``(n,)``."""
        x = torch.from_numpy(self.nodes)[None, :, None]
        stresses = []
        for value in strain:
            eps = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
            energy = self.energy(x, eps)
            weight = torch.softmax(-energy.detach() / self.thermal, -1)
            (stress,) = torch.autograd.grad((weight * energy).sum(), eps)
            stresses.append(float(stress))
        return np.array(stresses)

    def chain_force(self, strain: FloatArray, springs: int | None) -> FloatArray:
        """Return the equilibrium force of springs whose mean microstate is given.

        Args:
            strain: Mean microstate (elongation over the reference length), ``(n,)``.
            springs: Number of springs of a chain with held ends; None for one spring under the
                constant force at which its mean is ``strain`` (the limit of many springs).
        """
        x, energy = self.nodes, self._own_energy()
        if springs is None:
            return np.array([self._force_of_mean(energy, value) for value in strain])
        # ln of the density of the sum of the microstates of N springs: N convolutions. A tilt
        # moves its middle to each strain, where the transform is exact to round-off.
        forces = []
        for value in strain:
            tilt = self._force_of_mean(energy, value)
            log_weight = -(energy - tilt * x) / self.thermal
            weight = np.exp(log_weight - log_weight.max())
            size = springs * (len(x) - 1) + 1
            length = 1 << (size - 1).bit_length()
            total = np.fft.irfft(np.fft.rfft(weight, length) ** springs, length)[:size]
            sums = springs * x[0] + (x[1] - x[0]) * np.arange(size)
            middle = int(np.searchsorted(sums, springs * value))
            near = slice(middle - 40, middle + 41, 10)
            slope = CubicSpline(sums[near], np.log(total[near]))(springs * value, 1)
            forces.append(tilt - self.thermal * float(slope))
        return np.array(forces)

    def _force_of_mean(self, energy: FloatArray, mean: float) -> float:
        x = self.nodes

        def excess(force: float) -> float:
            log_weight = -(energy - force * x) / self.thermal
            return float(np.sum(x * np.exp(log_weight - logsumexp(log_weight)))) - mean

        scale = self.thermal / (x[-1] - x[0])
        low, high = -scale, scale
        while excess(low) > 0:
            low *= 2
        while excess(high) < 0:
            high *= 2
        return float(brentq(excess, low, high, xtol=1e-14 * scale, rtol=1e-13))
