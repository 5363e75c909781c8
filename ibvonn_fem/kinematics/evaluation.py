"""A law behind a kinematics at a block of quadrature points: one flat kernel call per pass.

    E → ε_k + ε₀ → (σ_k, C_k, f_k, …) of the law → S = Σ w_k σ_k ∂ε_k/∂E, C = dS/dE.

Components of E that the kinematics condenses are found here, point by point, from S_c = 0, and the
tangent is condensed with them: C* = C_ff − C_fc C_cc⁻¹ C_cf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.base import FloatArray, LocalUpdate
from ..model.exported_model import ExportedModel
from ..model.point_reports import watch_time
from .condensation import Condensation
from .interface import Kinematics

BLOCK = 4096
"""Integration directions per kernel call: work arrays stay in cache, whatever the mesh is."""

_POINTS = 2048
"""Quadrature points per call: with tangents of 9 × 9 numbers temporary arrays stay below the size
at which each is mapped and cleared anew (at 4096 points 1.6 times the time, measured)."""


def block_size(direction_count: int) -> int:
    """Quadrature points of one call for a kinematics with so many integration directions."""
    return max(1, min(BLOCK // direction_count, _POINTS))


def strains_of_law(model: ExportedModel, kinematics: Kinematics, measure: FloatArray) -> FloatArray:
    """Strains ε_k + ε₀ in all directions of ``n`` points, shape ``(n * direction_count, n_ε)``.

    Args:
        model: The law.
        kinematics: The map between the measure and the strains of the law.
        measure: E, shape ``(n, size)``.
    """
    strain = np.empty((len(measure) * kinematics.direction_count, model.strain_size))
    kinematics.strains(measure, strain)
    strain += model.manifest.initial_state.strain
    return strain


@dataclass(frozen=True)
class Response:
    """Response at ``n`` quadrature points; the next evaluation overwrites the arrays.

    Attributes:
        strain: Strain of every integration direction, shape ``(n * direction_count, n_ε)``.
        strain_old: The same at the start of the step.
        law: The law's update in every integration direction.
        stress: S, shape ``(n, size)``.
        tangent: dS/dE, shape ``(n, size²)``.
        energy: Free energy per unit reference volume, shape ``(n,)``.
        dissipation: Dissipation of the step, shape ``(n,)`` [as energy].
        validity: Largest excursion of a direction, shape ``(n,)``.
    """

    strain: FloatArray
    strain_old: FloatArray
    law: LocalUpdate
    stress: FloatArray
    tangent: FloatArray
    energy: FloatArray
    dissipation: FloatArray
    validity: FloatArray


class Evaluation:
    """Evaluates a law behind a kinematics; owns the work arrays of one block.

    Args:
        model: The law.
        kinematics: The map between the measure and the strains of the law.
        measure_size: Components of the measure.
        largest: Largest number of quadrature points of a call (default: a block that fits the
            cache).

    Attributes:
        block: Largest number of quadrature points of a call.
    """

    def __init__(
        self,
        model: ExportedModel,
        kinematics: Kinematics,
        measure_size: int,
        largest: int | None = None,
    ) -> None:
        self.model = model
        self.kinematics = kinematics
        direction_count = kinematics.direction_count
        self.block = max(1, block_size(direction_count) if largest is None else largest)
        n, strain_size = self.block * direction_count, model.strain_size
        self._work = LocalUpdate.empty(n, strain_size, model.internal_size)
        self._strain = np.empty((n, strain_size))
        self._strain_old = np.empty((n, strain_size))
        self._stress = np.empty((self.block, measure_size))
        self._tangent = np.empty((self.block, measure_size**2))
        self._averages = np.empty((3, self.block))
        self._condensation = Condensation(kinematics.condensed, measure_size)

    def __call__(
        self,
        measure: FloatArray,
        measure_old: FloatArray,
        statev: FloatArray,
        dt: float,
        *,
        guess: FloatArray | None = None,
        out: tuple[FloatArray | None, FloatArray | None] = (None, None),
    ) -> Response:
        """Take one step at ``n`` quadrature points, at most :attr:`block`.

        Args:
            measure: E⁺, shape ``(n, size)``; its condensed components are the first iterate and
                are overwritten with the solution.
            measure_old: E_n, shape ``(n, size)``.
            statev: α_n, shape ``(n * direction_count, n_α)``.
            dt: Δt ≥ 0 [time of the model].
            guess: First iterate for α⁺, shape of ``statev``.
            out: Where stress ``(n, size)`` and tangent ``(n, size²)`` go in place of own arrays.

        Returns:
            The response. A point whose law or whose condensed components did not converge has a
            residual above the tolerance; nothing is raised.
        """
        count, kinematics = len(measure), self.kinematics
        n = count * kinematics.direction_count
        initial = self.model.manifest.initial_state
        strain, strain_old = self._strain[:n], self._strain_old[:n]
        law = self._work.first(n)
        stress = self._stress[:count] if out[0] is None else out[0]
        tangent = self._tangent[:count] if out[1] is None else out[1]
        shifted = initial.strain.any()
        kinematics.strains(measure_old, strain_old)
        if shifted:
            strain_old += initial.strain
        start = guess

        def respond() -> tuple[FloatArray, FloatArray]:
            nonlocal start
            kinematics.strains(measure, strain)
            if shifted:
                np.add(strain, initial.strain, out=strain)
            self.model.kernel.update(strain, strain_old, statev, dt, guess=start, out=law)
            if self._condensation.size:  # the next pass is close by
                start = np.where(np.isfinite(law.statev_new), law.statev_new, statev)
            if kinematics.stress_free and initial.stress.any():
                law.energy[...] -= (strain - initial.strain) @ initial.stress
                law.stress[...] -= initial.stress
            kinematics.gather(measure, law, stress, tangent)
            return stress, tangent

        if self._condensation.size:
            failed = self._condensation.solve(respond, measure)
            law.residual.reshape(count, -1)[failed] = np.inf
        else:
            respond()
        watch_time(law, strain, strain_old, dt, self.model.manifest)
        energy, dissipation, validity = self._averages[:, :count]
        kinematics.energy(measure, law, energy)
        kinematics.average(law.dissipation, dissipation)
        np.max(law.validity.reshape(count, -1), axis=1, out=validity)
        return Response(strain, strain_old, law, stress, tangent, energy, dissipation, validity)
