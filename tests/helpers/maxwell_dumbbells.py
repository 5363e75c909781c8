"""Hookean dumbbells in a medium that deforms affinely, at finite strain in the plane: exact.

With Q = F Q̃, A = ⟨Q̃⊗Q̃⟩, C = 1 + 2E and the relaxation time λ = ζ/4H,

    dQ = L Q dt − (2H/ζ) Q dt + √(4 k_BT/ζ) dW   gives   Ȧ = (k_BT/H C⁻¹ − A)/λ,
    f = H/2 tr(C A) − k_BT/2 ln det A − k_BT/2 ln det C + constant,   S = ∂f/∂E = H A − k_BT C⁻¹,

so τ = F S Fᵀ = H⟨Q⊗Q⟩ − k_BT is that of the upper-convected Maxwell fluid with the modulus k_BT.
The dual potential is φ = (4/ζ) tr(G A G C⁻¹) with G = −∂f/∂A.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from solid_laws import manifest_of

from ibvonn_fem import ExportedModel
from ibvonn_fem.kernels import LocalUpdate

ROOT2 = np.sqrt(2.0)
SHEAR = np.array([1.0, 1.0, ROOT2])
"""Factors of Mandel order on the components 11, 22, 12."""


def tensor(mandel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Components 11, 22, √2 12 as tensors."""
    a, b, c = np.moveaxis(mandel, -1, 0)
    return np.stack([a, c / ROOT2, c / ROOT2, b], -1).reshape(*mandel.shape[:-1], 2, 2)


def mandel(tensors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The inverse."""
    return np.stack([tensors[..., 0, 0], tensors[..., 1, 1], ROOT2 * tensors[..., 0, 1]], -1)


class MaxwellDumbbells:
    """The law behind the kernel protocol: strain E of Green and Lagrange, α = A − k_BT/H.

    Args:
        stiffness: H.
        thermal_energy: k_BT per volume of one dumbbell.
        relaxation: λ.
    """

    codename = "closed form"
    strain_size = 3
    internal_size = 3

    def __init__(
        self, stiffness: float = 2.0, thermal_energy: float = 0.5, relaxation: float = 0.7
    ) -> None:
        self.stiffness, self.thermal_energy = stiffness, thermal_energy
        self.relaxation = relaxation
        self.friction = 4.0 * stiffness * relaxation

    def model(self) -> ExportedModel:
        """This kernel with its description."""
        return ExportedModel(manifest_of(self, "Maxwell dumbbells"), self)

    def energy(self, metric: np.ndarray[Any, Any], moments: np.ndarray[Any, Any]) -> Any:
        """f, zero at rest."""
        size = self.thermal_energy
        stretched = 0.5 * self.stiffness * np.einsum("nij,nji->n", metric, moments)
        logarithms = np.log(np.linalg.det(moments) * np.linalg.det(metric))
        rest = size - size * np.log(size / self.stiffness)
        return stretched - 0.5 * size * logarithms - rest

    def update(self, strain, strain_old, statev, dt, *, guess=None, out=None):
        """Backward Euler, which is linear in A: (1 + Δt/λ) A⁺ = A + Δt/λ k_BT/H C⁻¹."""
        out = LocalUpdate.empty(len(strain), 3, 3) if out is None else out
        size, stiffness = self.thermal_energy, self.stiffness
        ratio = np.asarray(dt, dtype=float) / self.relaxation
        metric = np.eye(2) + 2.0 * tensor(strain)
        inverse = np.linalg.inv(metric)
        rest = size / stiffness * np.eye(2)
        old = tensor(statev) + rest
        new = (old + ratio * size / stiffness * inverse) / (1.0 + ratio)
        # dC⁻¹ = −2 C⁻¹ dE C⁻¹, in Mandel order column by column.
        units = tensor(np.eye(3))
        slope = mandel(-2.0 * np.einsum("nij,ajk,nkl->nail", inverse, units, inverse))
        factor = size * ratio / (1.0 + ratio) - size
        force = 0.5 * size * np.linalg.inv(new) - 0.5 * stiffness * metric
        out.statev_new[...] = mandel(new - rest)
        out.stress[...] = mandel(stiffness * new - size * inverse)
        out.tangent[...] = factor * slope.transpose(0, 2, 1)
        out.energy[...] = self.energy(metric, new)
        out.dissipation[...] = np.einsum("nij,nji->n", force, new - old)
        out.residual[...] = np.where(np.isfinite(strain).all(1), 0.0, np.nan)
        out.validity[...] = 0.0
        return out
