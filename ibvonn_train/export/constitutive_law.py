"""A law to export, whatever its functions are: potentials as torch modules, sizes and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .graphs.activated_potentials import ActivatedDissipation, MixedEnergy, PopulationRates
from .graphs.interfaces import DissipationGraph, EnergyGraph, RatesGraph
from .graphs.network_potentials import NetworkEnergy, RidgeDissipation
from .graphs.population_kinetics import LogRates, PopulationKinetics, RateNetwork
from .graphs.population_update import PopulationUpdate
from .graphs.populations import Populations
from .graphs.tabulated_rates import TabulatedRates
from .graphs.update import ConstitutiveUpdate, ImplicitUpdate
from .parameters import LawParameters
from .population_parameters import PopulationParameters, family_of
from .potential_parameters import FloatArray, PotentialParameters


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
        kinetics: Rates of a law with populations, in which the logarithms of f cancel; None for a
            law of means.
    """

    energy: EnergyGraph
    dissipation: DissipationGraph
    strain_size: int
    internal_scale: FloatArray
    envelope: FloatArray
    residual_tolerance: float = 1e-10
    parameters: PotentialParameters | None = None
    kinetics: PopulationKinetics | None = None

    @classmethod
    def of(cls, parameters: PotentialParameters) -> ConstitutiveLaw:
        """The law that these parameters describe."""
        common: dict[str, Any] = {
            "strain_size": parameters.strain_size,
            "internal_scale": parameters.internal_scale,
            "envelope": parameters.envelope,
            "residual_tolerance": parameters.residual_tolerance,
            "parameters": parameters,
        }
        ridges = RidgeDissipation(parameters) if parameters.mean_size else None
        if isinstance(parameters, PopulationParameters):
            populations = Populations(
                parameters.groups.tolist(), parameters.rest, parameters.thermal_energy
            )
            smooth = NetworkEnergy(parameters)
            return cls.with_populations(
                populations, smooth, _log_rates(parameters), ridges, **common
            )
        assert ridges is not None  # noqa: S101 (every internal variable is a mean)
        return cls(NetworkEnergy(parameters), ridges, **common)

    @classmethod
    def with_populations(
        cls,
        populations: Populations,
        smooth: EnergyGraph,
        rates: LogRates,
        ridges: RidgeDissipation | None = None,
        **others: Any,
    ) -> ConstitutiveLaw:
        """The law of populations with a given smooth energy F and ln k'.

        Args:
            populations: Which components of α are populations, and θ.
            smooth: F.
            rates: ln k'.
            ridges: φ of the means; None where there are none.
            **others: Sizes, ranges and parameters: further attributes of this class.
        """
        kinetics = PopulationKinetics(populations, smooth, rates, ridges)
        energy, dissipation = MixedEnergy(smooth, populations), ActivatedDissipation(kinetics)
        return cls(energy, dissipation, kinetics=kinetics, **others)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ConstitutiveLaw:
        """The law that the arrays of a ``parameters.npz`` describe, of either family.

        Raises:
            ValueError: If an array is missing, or is not as required.
        """
        with_populations = family_of(arrays) == PopulationParameters.family
        kind = PopulationParameters if with_populations else LawParameters
        return cls.of(kind.of(arrays))

    @property
    def internal_size(self) -> int:
        """n_α."""
        return len(self.internal_scale)

    @property
    def family(self) -> str:
        """Entry of the manifest: which kernels can run the law."""
        return "graph" if self.parameters is None else self.parameters.family

    def update(self) -> ImplicitUpdate:
        """The implicit update of one step."""
        ranges: dict[str, Any] = {
            "strain_size": self.strain_size,
            "internal_scale": self.internal_scale,
            "envelope": self.envelope,
        }
        if self.kinetics is not None:
            return PopulationUpdate(self.kinetics, **ranges)
        return ConstitutiveUpdate(
            self.energy, self.dissipation, residual_tolerance=self.residual_tolerance, **ranges
        )

    def rates(self) -> RatesGraph:
        """The law in continuous time: (ε, α) → f, σ, g, α̇."""
        if self.kinetics is not None and isinstance(self.energy, MixedEnergy):
            return PopulationRates(self.energy, self.kinetics, self.strain_size)
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


def _log_rates(parameters: PopulationParameters) -> LogRates:
    """Return ln k' of these parameters: a network, or a table beside it."""
    if not len(parameters.rate_table):
        return RateNetwork(parameters)
    network = RateNetwork(
        replace(parameters, rate_barrier=np.zeros(0), rate_table=np.zeros((0, 5)))
    )
    return TabulatedRates(parameters.rate_table, parameters.rate_barrier, network)
