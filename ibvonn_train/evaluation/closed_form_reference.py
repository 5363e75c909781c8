"""The closed-form reference model of a chain as a baseline: what is known without learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ..closed_form.gaussian_mixture import mixture_log_density, mixture_quantile
from ..closed_form.kramers import kramers_law
from ..data.ensemble import TrajectoryEnsemble
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..simulation import ChainCell, SpringChain, system_of
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from .errors import relative_error
from .interface import FloatArray, Law
from .law_rollouts import Trajectories, encoded, roll_out

EMPTY = 1e-12
"""Share of the springs in a well that counts as none, where the decoder needs its logarithm."""


class ClosedFormReference:
    """Exact stress, Kramers kinetics; α is the open fraction, counted from a half.

    Its decoder is one Gaussian in each well, of which its free energy is the exact one.

    Args:
        data: An ensemble of a chain of two-well springs, for its parameters.
        friction: γ, the drag on one spring's elongation, in units of that of a bead; 1/2 needs no
            fit.

    Raises:
        ValueError: If the data are of another system.
    """

    averaged, has_decoder, strain_size, internal_size = True, True, 1, 1
    training_normalisation: Normalisation[FloatArray] | None = None

    def __init__(self, data: TrajectoryEnsemble, friction: float = 0.5) -> None:
        system = system_of(data)
        if not isinstance(system, SpringChain | ChainCell):
            raise ValueError(
                f"ClosedFormReference: needs a chain of two-well springs; found {data.system!r}."
            )
        self.friction = friction
        self.name = f"closed form, friction {friction:.3g} η"
        self.system: str | None = data.system
        self.physics: Physics | None = physics_of(data.system, data.parameters)
        self._crossing = system.spring.crossing / system.reference_length
        self._distance = system.spring.well_distance / system.reference_length
        thermal = data.parameters.get("effective_thermal_energy", system.thermal_energy)
        stiffness = system.spring.stiffness * system.reference_length**2
        self._width = math.sqrt(thermal / stiffness)
        self._law = kramers_law(
            system.spring,
            reference_length=system.reference_length,
            thermal_energy=thermal,
            friction=friction * system.friction,
            reference_strain=self._crossing,
            strain_range=(-2.0 * self._crossing, 3.0 * self._crossing),
        )
        self._rates = self._law.rates()

    @property
    def strain_reference(self) -> FloatArray:
        """The crossing of the wells."""
        return np.array([self._crossing])

    @property
    def internal_scale(self) -> FloatArray:
        """One."""
        return self._law.internal_scale

    @property
    def envelope(self) -> FloatArray:
        """Declared range."""
        return self._law.envelope

    @property
    def bounds(self) -> FloatArray:
        """The open fraction lies between 0 and 1."""
        return np.array([[-0.5, 0.5]])

    @property
    def has_potentials(self) -> bool:
        """Both are closed forms."""
        return True

    def encode(self, microstate: npt.NDArray[np.floating[Any]]) -> tuple[FloatArray, FloatArray]:
        """Return the mean strain, counted from the crossing, and the open fraction minus 1/2."""
        strain = microstate.mean(-2, dtype=np.float64) - self._crossing
        return strain, np.mean(microstate > self._crossing, axis=-2) - 0.5

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ, g and α̇."""
        with torch.no_grad():
            values = [v.numpy() for v in self._rates(_tensor(strain), _tensor(internal))]
        return Rates(values[0][:, 0], *values[1:])

    def dual_dissipation(
        self, force: npt.ArrayLike, strain: npt.ArrayLike, internal: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ and ∂²φ/∂g²."""
        dissipation: Any = self._law.dissipation
        with torch.no_grad():
            state = dissipation.prepare(_tensor(strain), _tensor(internal))
            value, _, curvature = dissipation.derivatives(_tensor(force), *state)
        return value.numpy()[:, 0], curvature.numpy()

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)²."""
        energy: Any = self._law.energy
        with torch.no_grad():
            hessian: FloatArray = energy.derivatives(_tensor(strain), _tensor(internal))[2].numpy()
        return hessian

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q of one Gaussian in each well, ``(n_state, n_sample)``."""
        wells = self._mixture(strain, internal)
        log_density: FloatArray = mixture_log_density(_tensor(microstate), *wells).numpy()
        return log_density

    def sample(self, noise: FloatArray, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return microstates of the shape of ``noise``."""
        microstate: FloatArray = mixture_quantile(
            _tensor(noise), *self._mixture(strain, internal)
        ).numpy()
        return microstate

    def wells(self, strain: FloatArray, internal: FloatArray) -> tuple[FloatArray, float]:
        """Return the mean microstates in both wells, ``(n, 2)``, and their standard deviation.

        Both wells bear the mean force, so the folded ones sit at ε − h p, with the thermal
        variance of one spring; sharp wells, as in the free energy of the reference model.
        """
        folded = strain + self._crossing - self._distance * (internal + 0.5)
        return np.concatenate([folded, folded + self._distance], -1), self._width

    def _mixture(self, strain: FloatArray, internal: FloatArray) -> tuple[Tensor, Tensor, Tensor]:
        """Return ln w, m and s of the wells: p of the springs are one well distance longer."""
        wells, width = self.wells(strain, np.clip(internal, EMPTY - 0.5, 0.5 - EMPTY))
        p = torch.clamp(_tensor(internal) + 0.5, EMPTY, 1.0 - EMPTY)
        weight = torch.cat([torch.log1p(-p), torch.log(p)], -1)
        return weight, _tensor(wells), torch.full((1, 2), width, dtype=torch.float64)


def fitted_reference(training: TrajectoryEnsemble) -> ClosedFormReference:
    """Return the reference model with the friction that fits the strains of the data best.

    Args:
        training: Training ensemble of a chain; its end is moved in the fit.
    """
    measured: Trajectories = encoded(ClosedFormReference(training), training)

    def error(log_friction: float) -> float:
        reference: Law = ClosedFormReference(training, float(np.exp(log_friction)))
        run = roll_out(reference, training, measured, modes=("end",))["end"]
        return relative_error(run.strain, measured.strain)

    minimum = minimize_scalar(error, bounds=(np.log(0.05), np.log(1.0)), options={"xatol": 0.01})
    return ClosedFormReference(training, float(np.exp(minimum.x)))


def _tensor(value: npt.ArrayLike) -> torch.Tensor:
    return torch.tensor(np.asarray(value, dtype=np.float64))
