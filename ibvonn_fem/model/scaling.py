"""A dimensionless law as a material in physical units.

With scales for strain, stress and time,

    ε = ε_s ε̂,   σ = σ_s σ̂,   t = t_s t̂,   f = ε_s σ_s f̂,   C = (σ_s/ε_s) Ĉ,

so that σ = ∂f/∂ε holds in the new units as it did in the old. Internal variables keep theirs; their
driving force carries the unit of f.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..kernels.base import (
    DifferentiableKernel,
    FloatArray,
    Kernel,
    LocalUpdate,
    Rates,
    UpdateDerivatives,
)
from .exported_model import ExportedModel
from .fingerprint import digest
from .manifest import Envelope, InitialState, Manifest

logger = logging.getLogger(__name__)


class Scaled(ExportedModel):
    """A law in physical units, used in place of the dimensionless model.

    Args:
        model: The dimensionless law.
        stress_scale: σ_s, physical stress of stress 1 of the law [stress].
        time_scale: t_s, physical time of time 1 of the law [time].
        strain_scale: ε_s, strain that corresponds to strain 1 of the law.
        energy_scale: Physical energy of energy 1 of the law, if it is known from elsewhere
            (temperature and number of springs, say) [energy per volume]; must be
            ``stress_scale * strain_scale``.
        units: Names for the manifest, some of ``length``, ``force``, ``time``, ``energy`` and
            ``stress``.
        name: New name (default: the law's).

    Attributes:
        original: The dimensionless law.

    Raises:
        ValueError: If a scale is not positive and finite, or the energy scale does not fit.

    Example:
        ``Scaled(model, stress_scale=2e6, time_scale=10.0, units={"stress": "Pa", "time": "s"})``
    """

    def __init__(
        self,
        model: ExportedModel,
        *,
        stress_scale: float,
        time_scale: float,
        strain_scale: float = 1.0,
        energy_scale: float | None = None,
        units: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        scales = {
            "stress_scale": stress_scale,
            "time_scale": time_scale,
            "strain_scale": strain_scale,
        }
        for argument, value in scales.items():
            if not (value > 0.0 and math.isfinite(value)):
                raise ValueError(f"Scaled: {argument} must be positive and finite; found {value}.")
        product = stress_scale * strain_scale
        if energy_scale is not None and not math.isclose(energy_scale, product, rel_tol=1e-6):
            raise ValueError(
                f"Scaled: energy_scale must be stress_scale * strain_scale = {product:.6g}, or "
                f"stress is not the derivative of energy; found {energy_scale:.6g}. "
                f"Use stress_scale = {energy_scale / strain_scale:.6g}, or leave energy_scale out."
            )
        self.original = model
        self.stress_scale = float(stress_scale)
        self.time_scale = float(time_scale)
        self.strain_scale = float(strain_scale)
        self.energy_scale = product
        manifest = replace(
            _scaled_manifest(model.manifest, strain_scale, stress_scale, time_scale),
            units={**model.manifest.units, **_checked(units or {}, model.manifest)},
            name=model.manifest.name if name is None else name,
        )
        differentiable = isinstance(model.kernel, DifferentiableKernel)
        kind = DifferentiableScaledKernel if differentiable else ScaledKernel
        kernel = kind(model.kernel, strain_scale, stress_scale, time_scale)
        super().__init__(manifest, kernel, strict_range=model.strict_range)
        logger.info("%s", self.statement())

    def fingerprint(self) -> str:
        """Checksum of what the law computes, its scales included."""
        scales = (self.strain_scale, self.stress_scale, self.time_scale)
        return digest(self.original.fingerprint(), scales)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the original and the scales."""
        manifest = self.manifest
        scales = (self.stress_scale, self.time_scale, self.strain_scale)
        return _scale_again, (self.original, *scales, manifest.units, manifest.name)

    def statement(self) -> str:
        """One sentence with the scales, for the output of a simulation."""
        units = self.manifest.units
        return (
            f"{self.manifest.name}: the law {self.original.manifest.name} with stress "
            f"× {self.stress_scale:.6g} {units['stress']}, time × {self.time_scale:.6g} "
            f"{units['time']}, strain × {self.strain_scale:.6g}, energy per volume "
            f"× {self.energy_scale:.6g} {units['stress']}."
        )


def _scale_again(
    original: ExportedModel,
    stress: float,
    time: float,
    strain: float,
    units: dict[str, str],
    name: str,
) -> Scaled:
    return Scaled(
        original, stress_scale=stress, time_scale=time, strain_scale=strain, units=units, name=name
    )


class ScaledKernel:
    """A kernel in physical units that evaluates a dimensionless one.

    Args:
        kernel: The dimensionless kernel.
        strain: ε_s.
        stress: σ_s.
        time: t_s.
    """

    def __init__(self, kernel: Kernel, strain: float, stress: float, time: float) -> None:
        self._kernel = kernel
        self._strain, self._stress, self._time = strain, stress, time
        self.codename = kernel.codename
        self.strain_size = kernel.strain_size
        self.internal_size = kernel.internal_size

    def update(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        dt: float | FloatArray,
        *,
        guess: FloatArray | None = None,
        out: LocalUpdate | None = None,
    ) -> LocalUpdate:
        """Take one step; see :meth:`ibvonn_fem.kernels.base.Kernel.update`."""
        result = self._kernel.update(
            strain / self._strain,
            strain_old / self._strain,
            statev,
            dt / self._time,
            guess=guess,
            out=out,
        )
        energy = self._strain * self._stress
        result.stress[...] *= self._stress
        result.tangent[...] *= self._stress / self._strain
        result.energy[...] *= energy
        result.dissipation[...] *= energy
        return result

    def rates(self, strain: FloatArray, statev: FloatArray) -> Rates:
        """Evaluate the law in continuous time."""
        rates = self._kernel.rates(strain / self._strain, statev)
        energy = self._strain * self._stress
        return Rates(
            energy=rates.energy * energy,
            stress=rates.stress * self._stress,
            driving_force=rates.driving_force * energy,
            rate=rates.rate / self._time,
        )


class DifferentiableScaledKernel(ScaledKernel):
    """A kernel in physical units whose dimensionless one has derivatives."""

    _kernel: DifferentiableKernel

    def derivatives(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        statev_new: FloatArray,
        dt: float | FloatArray,
    ) -> UpdateDerivatives:
        """Derivatives of a step; see :meth:`.base.DifferentiableKernel.derivatives`."""
        result = self._kernel.derivatives(
            strain / self._strain, strain_old / self._strain, statev, statev_new, dt / self._time
        )
        for values in (result.stress, result.statev_new):
            values[:, :, result.by_strain] /= self._strain
            values[:, :, result.by_strain_old] /= self._strain
            values[:, :, result.by_dt] /= self._time
        result.stress[...] *= self._stress
        return result


def _scaled_manifest(manifest: Manifest, strain: float, stress: float, time: float) -> Manifest:
    initial, envelope = manifest.initial_state, manifest.envelope
    return replace(
        manifest,
        initial_state=InitialState(
            strain=initial.strain * strain,
            statev=initial.statev,
            stress=initial.stress * stress,
            energy=initial.energy * strain * stress,
        ),
        envelope=Envelope(
            strain=envelope.strain * strain,
            statev=envelope.statev,
            strain_rate=envelope.strain_rate * strain / time,
            time_step=envelope.time_step * time,
        ),
    )


def _checked(units: Mapping[str, str], manifest: Manifest) -> dict[str, str]:
    unknown = sorted(set(units) - set(manifest.units))
    if unknown:
        raise ValueError(
            f"Scaled: units must be named by {', '.join(sorted(manifest.units))}; "
            f"found {', '.join(unknown)}."
        )
    return dict(units)


def unscaled(model: ExportedModel) -> tuple[ExportedModel, dict[str, float]]:
    """Return the exported law behind a scaled one, and the factors from its numbers to those here.

    The factors are called ``strain``, ``stress`` and ``time``.
    """
    scales = {"strain": 1.0, "stress": 1.0, "time": 1.0}
    while isinstance(model, Scaled):
        scales["strain"] *= model.strain_scale
        scales["stress"] *= model.stress_scale
        scales["time"] *= model.time_scale
        model = model.original
    return model, scales
