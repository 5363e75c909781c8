"""What every runtime of a constitutive law offers: one batched update and the rates.

A kernel does arithmetic and nothing else. It neither raises on a point that fails nor warns: it
returns a residual, which :mod:`ibvonn_fem.model.point_reports` compares with the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class LocalUpdate:
    """Result of one backward Euler step at ``n`` points (float64, C order, names of the format).

    Attributes:
        stress: σ = ∂f/∂ε at the end of the step, shape ``(n, n_ε)`` [stress of the model].
        statev_new: Internal variables α⁺ at the end of the step, shape ``(n, n_α)``.
        tangent: Consistent tangent dσ/dε, shape ``(n, n_ε, n_ε)``.
        energy: f(ε⁺, α⁺), shape ``(n,)`` [energy per unit reference length or volume].
        dissipation: g⁺·(α⁺ − α_n) of the step, shape ``(n,)`` [as energy].
        residual: Scaled residual, shape ``(n,)``; a point has converged where
            ``residual <= tolerance``. +inf: the energy inequality failed. NaN: an input was not
            finite or Δt < 0.
        validity: Excursion from the training box in half widths, 0 inside, shape ``(n,)``.
    """

    stress: FloatArray
    statev_new: FloatArray
    tangent: FloatArray
    energy: FloatArray
    dissipation: FloatArray
    residual: FloatArray
    validity: FloatArray

    @classmethod
    def empty(cls, n_points: int, strain_size: int, internal_size: int) -> LocalUpdate:
        """Allocate arrays for ``n_points`` points."""
        return cls(
            stress=np.empty((n_points, strain_size)),
            statev_new=np.empty((n_points, internal_size)),
            tangent=np.empty((n_points, strain_size, strain_size)),
            energy=np.empty(n_points),
            dissipation=np.empty(n_points),
            residual=np.empty(n_points),
            validity=np.empty(n_points),
        )

    def first(self, n_points: int) -> LocalUpdate:
        """Views (no copies) of the first ``n_points`` points."""
        return LocalUpdate(**{f.name: getattr(self, f.name)[:n_points] for f in fields(self)})


@dataclass(frozen=True)
class Rates:
    """The law in continuous time at ``n`` points.

    Attributes:
        energy: f(ε, α), shape ``(n,)``.
        stress: σ = ∂f/∂ε, shape ``(n, n_ε)``.
        driving_force: g = −∂f/∂α, shape ``(n, n_α)``.
        rate: α̇ = ∂φ/∂g, shape ``(n, n_α)``.
    """

    energy: FloatArray
    stress: FloatArray
    driving_force: FloatArray
    rate: FloatArray


@dataclass(frozen=True)
class UpdateDerivatives:
    """Derivatives of one backward Euler step at ``n`` points with respect to their inputs.

    By the implicit function theorem at the solution α⁺ = A(−F_α(ε⁺, α⁺); ε_n, α_n, Δt), F being f
    without mixing entropy and W = ∂A/∂(−F_α),

        (I + W F_αα) dα⁺ = −W F_αε dε⁺ + ∂A/∂(ε_n, α_n, Δt) d(ε_n, α_n, Δt),
        dσ = F_εε dε⁺ + F_εα dα⁺.

    Attributes:
        stress: Of σ, shape ``(n, n_ε, columns)``.
        statev_new: Of α⁺, shape ``(n, n_α, columns)``; the columns are ε⁺ (n_ε), ε_n (n_ε),
            α_n (n_α) and Δt.
    """

    stress: FloatArray
    statev_new: FloatArray

    @classmethod
    def empty(cls, n_points: int, strain_size: int, internal_size: int) -> UpdateDerivatives:
        """Allocate arrays for ``n_points`` points."""
        columns = 2 * strain_size + internal_size + 1
        return cls(
            np.empty((n_points, strain_size, columns)),
            np.empty((n_points, internal_size, columns)),
        )

    @property
    def _strain_size(self) -> int:
        return int(self.stress.shape[1])

    @property
    def by_strain(self) -> slice:
        """Columns of ε⁺."""
        return slice(0, self._strain_size)

    @property
    def by_strain_old(self) -> slice:
        """Columns of ε_n."""
        return slice(self._strain_size, 2 * self._strain_size)

    @property
    def by_statev(self) -> slice:
        """Columns of α_n."""
        return slice(2 * self._strain_size, 2 * self._strain_size + self.statev_new.shape[1])

    @property
    def by_dt(self) -> int:
        """Column of Δt."""
        return int(self.stress.shape[2]) - 1


LONGEST_STEP = 1e100
"""A longer time step is refused by every runtime: products with it overflow."""


class Kernel(Protocol):
    """A runtime of one law."""

    @property
    def codename(self) -> str:
        """Name of the runtime in reports."""
        ...

    @property
    def strain_size(self) -> int:
        """Number of strain components."""
        ...

    @property
    def internal_size(self) -> int:
        """Number of internal variables."""
        ...

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
        """Take one step α⁺ − α_n − Δt ∂φ/∂g(−∂f/∂α(ε⁺, α⁺); ε_n, α_n) = 0 at every point.

        Args:
            strain: ε⁺, shape ``(n, n_ε)``.
            strain_old: ε_n, shape ``(n, n_ε)``.
            statev: α_n, shape ``(n, n_α)``; never written to.
            dt: Time increment Δt, one number or shape ``(n,)`` [time]; 0 is an elastic step.
            guess: First iterate for α⁺, shape ``(n, n_α)``; a kernel that cannot use it ignores
                it, and the converged result does not depend on it beyond the tolerance.
            out: Arrays to write into (as from :meth:`LocalUpdate.empty`); must not share memory
                with the inputs.

        Returns:
            ``out`` if it was given, else new arrays. ``n`` may be 0.
        """
        ...

    def rates(self, strain: FloatArray, statev: FloatArray) -> Rates:
        """Evaluate the law in continuous time: ``strain`` (n, n_ε), ``statev`` (n, n_α)."""
        ...


@runtime_checkable
class DifferentiableKernel(Kernel, Protocol):
    """A runtime that also gives the derivatives of a step."""

    def derivatives(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        statev_new: FloatArray,
        dt: float | FloatArray,
    ) -> UpdateDerivatives:
        """Derivatives at the state ``statev_new`` that :meth:`update` gave for these arguments."""
        ...
