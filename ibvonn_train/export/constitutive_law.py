"""A law to export, whatever its functions are: potentials as torch modules, sizes and ranges."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .graphs.interfaces import DissipationGraph, EnergyGraph, RatesGraph
from .graphs.potentials import ConvexEnergy, RidgeDissipation
from .graphs.update import ConstitutiveUpdate
from .parameters import FloatArray, LawParameters


@dataclass(frozen=True)
class ConstitutiveLaw:
    """Potentials of a law with what the update needs besides.

    Attributes:
        energy: f as a module with derivatives written out.
        dissipation: φ as a module with derivatives written out.
        strain_size: n_ε.
        internal_scale: Standard deviation of each internal variable in training, ``(n_α,)``.
        envelope: Range of each component of (ε, α) in training, ``(d, 2)``.
        residual_tolerance: A point has converged where its residual is at most this.
        parameters: The arrays of ``parameters.npz``; None for a law that only its graphs describe.
    """

    energy: EnergyGraph
    dissipation: DissipationGraph
    strain_size: int
    internal_scale: FloatArray
    envelope: FloatArray
    residual_tolerance: float = 1e-10
    parameters: LawParameters | None = None

    @classmethod
    def of(cls, parameters: LawParameters) -> ConstitutiveLaw:
        """The law with convex potentials that these parameters describe."""
        return cls(
            ConvexEnergy(parameters),
            RidgeDissipation(parameters),
            parameters.strain_size,
            parameters.internal_scale,
            parameters.envelope,
            parameters.residual_tolerance,
            parameters,
        )

    @property
    def internal_size(self) -> int:
        """n_α."""
        return len(self.internal_scale)

    @property
    def family(self) -> str:
        """Entry of the manifest: which kernels can run the law."""
        return "graph" if self.parameters is None else "convex_potentials"

    def update(self) -> ConstitutiveUpdate:
        """The implicit update of one step."""
        return ConstitutiveUpdate(
            self.energy,
            self.dissipation,
            strain_size=self.strain_size,
            internal_scale=self.internal_scale,
            envelope=self.envelope,
            residual_tolerance=self.residual_tolerance,
        )

    def rates(self) -> RatesGraph:
        """The law in continuous time."""
        return RatesGraph(self.energy, self.dissipation, self.strain_size)

    def equilibrium(self) -> tuple[FloatArray, float]:
        """Stress and energy at zero strain and zero internal variables."""
        zero = [torch.zeros(1, size, dtype=torch.float64) for size in self._sizes]
        with torch.no_grad():
            energy, stress, _, _ = self.rates()(*zero)
        return stress.numpy()[0], float(energy)

    @property
    def _sizes(self) -> tuple[int, int]:
        return self.strain_size, self.internal_size
