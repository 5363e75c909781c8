"""The adjoint of one step at the quadrature points of a law.

Everything is per unit reference volume. μ is the multiplier of equilibrium, M = δE(μ), ε_k the
strains of the directions, G_k = ∂ε_k/∂E, w_k their weights; a and h are the derivatives of the
scalar through later steps, by the internal variables and by the measure at the end of the step:

    stationary in u:    K^T μ + ∫ H · δE(v) + …,  H = h + Σ_k G_k^T (∂α_k/∂ε_k)^T a_k,
    at the step before: a_k' = (∂σ_k/∂α_n)^T w_k G_k M + (∂α_k/∂α_n)^T a_k,
                        h' = Σ_k G_k^T [(∂σ_k/∂ε_n)^T w_k G_k M + (∂α_k/∂ε_n)^T a_k].

Condensed components E_c are unknowns of a point with the equation S_c = 0, whose multiplier is
M_c = −C_cc^−T (C_fc^T M_f + H_c); H is condensed with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..body.law import InternalVariableLaw
from ..kernels.base import FloatArray, LocalUpdate, UpdateDerivatives
from ..model.exported_model import require_derivatives
from .parameters import parameter_value

LINEAR = 1e-12
"""Relative error of G E up to which a kinematics is linear."""


class PointAdjoint:
    """Adjoint of the steps of one law, from the last one to the first.

    Args:
        law: The law.
        names: Parameters at which the gradient is taken.

    Attributes:
        gradient: Derivative of the scalar by each parameter, of the points of this rank.

    Raises:
        KernelUnavailableError: If the law's kernel has no derivatives.
        ValueError: If the law has no such parameter.
    """

    def __init__(self, law: InternalVariableLaw, names: Sequence[str]) -> None:
        self._law = law
        self._kernel = require_derivatives(law.model)
        self._names = {name: parameter_value(law, name) for name in names}
        kinematics = law.kinematics
        self._size = law.measure.shape[1]
        self._weights = np.empty(kinematics.direction_count)
        for k, unit in enumerate(np.eye(kinematics.direction_count)):
            kinematics.average(unit, self._weights[k : k + 1])
        self._maps = _StrainMaps(law, self._weights)
        c = list(kinematics.condensed)
        self._condensed, self._free = c, [i for i in range(self._size) if i not in c]
        points, directions, internal = law.internal.shape
        self._by_state = np.zeros((points, directions, internal))
        self._by_measure = np.zeros((points, self._size))
        self.gradient = dict.fromkeys(self._names, 0.0)

    def linearise(
        self,
        measure: FloatArray,
        measure_old: FloatArray,
        statev: FloatArray,
        statev_old: FloatArray,
        dt: float,
    ) -> None:
        """Take a step; writes H into ``law.stress`` and dS/dE into ``law.tangent``."""
        law, kinematics, kernel = self._law, self._law.kinematics, self._kernel
        offset = law.model.manifest.initial_state
        n, k = len(measure), kinematics.direction_count
        bare, bare_old = np.empty((2, n * k, law.model.strain_size))
        kinematics.strains(measure, bare)
        kinematics.strains(measure_old, bare_old)
        strain, strain_old = bare + offset.strain, bare_old + offset.strain
        update = kernel.update(strain, strain_old, statev_old, dt, guess=statev)
        if kinematics.stress_free:
            update.stress[...] -= offset.stress
        shape = n, k, law.model.strain_size  # a rank may have no points
        self._strains = bare.reshape(shape), bare_old.reshape(shape)
        self._dt, self._update = dt, update
        self._map, self._map_old = self._maps(measure), self._maps(measure_old)
        self._derivatives = kernel.derivatives(strain, strain_old, statev_old, statev, dt)
        self._stress, tangent = np.empty((n, self._size)), np.empty((n, self._size**2))
        kinematics.gather(measure, update, self._stress, tangent)
        self._tangent = tangent.reshape(n, self._size, self._size)
        self._in_steps = self._shaped(self._derivatives, n, k)
        by_strain = self._derivatives.by_strain
        along = np.einsum("pkaq,pka->pkq", self._in_steps[1][..., by_strain], self._by_state)
        self._pull = self._by_measure + np.einsum("pkqi,pkq->pi", self._map, along)
        pull, tangent = self._pull.copy(), self._tangent.copy()
        if self._condensed:
            c, f = self._condensed, self._free
            block = tangent[:, c][:, :, c]
            inner = np.linalg.solve(block.transpose(0, 2, 1), pull[:, c, np.newaxis])
            pull[:, f] -= (tangent[:, c][:, :, f].transpose(0, 2, 1) @ inner)[:, :, 0]
            pull[:, c] = 0.0
            tangent = tangent - tangent[:, :, c] @ np.linalg.solve(block, tangent[:, c])
        law.points.rows(law.stress).set(pull)
        law.points.rows(law.tangent).set(tangent.reshape(n, self._size**2))

    def go_back(self, multiplier: FloatArray) -> None:
        """Go to the step before, and add to the gradient.

        Args:
            multiplier: M_f = δE(μ), shape ``(points, size)``.
        """
        m = multiplier.copy()
        if self._condensed:
            c, f = self._condensed, self._free
            tangent = self._tangent
            block = tangent[:, c][:, :, c].transpose(0, 2, 1)
            right = tangent[:, f][:, :, c].transpose(0, 2, 1) @ m[:, f, np.newaxis]
            m[:, c] = -np.linalg.solve(block, right + self._pull[:, c, np.newaxis])[:, :, 0]
        weighted = np.einsum("k,pkqi,pi->pkq", self._weights, self._map, m)
        by_state = self._by_state
        stress, state = self._in_steps

        def back(columns: slice) -> FloatArray:
            """Derivative of the scalar by these arguments of the step, in every direction."""
            return np.asarray(
                np.einsum("pksq,pks->pkq", stress[..., columns], weighted)
                + np.einsum("pkaq,pka->pkq", state[..., columns], by_state)
            )

        parts = self._derivatives
        by_strain, by_old = back(parts.by_strain), back(parts.by_strain_old)
        by_dt = back(slice(parts.by_dt, parts.by_dt + 1))[:, :, 0]
        self._add(m, weighted, by_strain, by_old, by_dt)
        self._by_measure = np.einsum("pkqi,pkq->pi", self._map_old, by_old)
        self._by_state = back(parts.by_statev)

    def _add(
        self,
        m: FloatArray,
        weighted: FloatArray,
        by_strain: FloatArray,
        by_old: FloatArray,
        by_dt: FloatArray,
    ) -> None:
        strain, strain_old = self._strains
        own = self._update.stress.reshape(weighted.shape)
        of_law = np.einsum("pkq,pkq->p", weighted, own)
        volumes = self._law.volumes
        for name, value in self._names.items():
            if name in ("stress_scale", "density"):
                density = of_law / value
            elif name == "time_scale":
                density = -(self._dt / value) * by_dt.sum(1)
            elif name == "strain_scale":
                density = (
                    -(
                        np.einsum("pkq,pkq->p", by_strain, strain)
                        + np.einsum("pkq,pkq->p", by_old, strain_old)
                    )
                    / value
                )
            else:  # bulk
                density = (np.einsum("pi,pi->p", m, self._stress) - of_law) / value
            self.gradient[name] += float(density @ volumes)

    def _shaped(
        self, derivatives: UpdateDerivatives, points: int, directions: int
    ) -> tuple[FloatArray, FloatArray]:
        return (
            derivatives.stress.reshape(points, directions, *derivatives.stress.shape[1:]),
            derivatives.statev_new.reshape(points, directions, *derivatives.statev_new.shape[1:]),
        )


class _StrainMaps:
    """G = ∂ε/∂E in every direction: the same everywhere where strains are linear in E.

    Where they are not, σ_k → S of the kinematics has w_k G_k as its coefficients.
    """

    def __init__(self, law: InternalVariableLaw, weights: FloatArray) -> None:
        self._kinematics, self._weights = law.kinematics, weights
        self._sizes = law.kinematics.direction_count, law.model.strain_size, law.measure.shape[1]
        directions, strains, size = self._sizes
        columns = self._strains(np.eye(size)).reshape(size, directions, strains)
        columns = np.ascontiguousarray(columns.transpose(1, 2, 0))
        trial = 0.1 * np.cos(np.arange(1.0, size + 1.0))[np.newaxis]
        values = self._strains(trial).reshape(directions, strains)
        error = np.abs(np.einsum("kqi,i->kq", columns, trial[0]) - values).max()
        linear = error <= LINEAR * max(np.abs(columns).max(), 1.0)
        self._everywhere = columns if linear else None

    def __call__(self, measure: FloatArray) -> FloatArray:
        """G at the measures of ``n`` points, shape ``(n, directions, n_ε, size)``."""
        n = len(measure)
        if self._everywhere is not None:
            return np.broadcast_to(self._everywhere, (n, *self._everywhere.shape))
        directions, strains, size = self._sizes
        update = LocalUpdate.empty(n * directions, strains, 0)
        update.stress[...] = 0.0
        update.tangent[...] = 0.0
        unit = update.stress.reshape(n, directions, strains)
        tangent, none = np.empty((n, size**2)), np.empty((n, size))
        self._kinematics.gather(measure, update, none, tangent)  # a volumetric part
        maps = np.empty((n, directions, strains, size))
        for k in range(directions):
            for q in range(strains):
                unit[:, k, q] = 1.0
                stress = np.empty((n, size))
                self._kinematics.gather(measure, update, stress, tangent)
                maps[:, k, q] = (stress - none) / self._weights[k]
                unit[:, k, q] = 0.0
        return maps

    def _strains(self, measure: FloatArray) -> FloatArray:
        directions, strains, _ = self._sizes
        out = np.empty((len(measure) * directions, strains))
        self._kinematics.strains(measure, out)
        return out
