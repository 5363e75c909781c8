"""Laws known in closed form, as parameters of the exported family.

They prove the format and the finite-element side before anything is learned, and are the yardstick
of what is learned.
"""

from __future__ import annotations

import numpy as np

from ..export.parameters import FloatArray, LawParameters


def quadratic_law(
    quadratic: FloatArray,
    mobility: FloatArray,
    *,
    strain_size: int,
    internal_scale: FloatArray,
    envelope: FloatArray,
) -> LawParameters:
    """Law with f = ½ xᵀQx and φ = ½ gᵀMg: linear viscoelasticity.

    Args:
        quadratic: Q, shape ``(d, d)``, positive semidefinite.
        mobility: M, shape ``(n_α, n_α)``, positive definite.
        strain_size: n_ε.
        internal_scale: Scale of each internal variable.
        envelope: Declared range of each component of (ε, α).

    Raises:
        ValueError: If M is not positive definite, or Q not positive semidefinite.
    """
    n = len(mobility)
    d = strain_size + n
    try:
        lower = np.linalg.cholesky(mobility)
    except np.linalg.LinAlgError:
        raise ValueError(
            "quadratic_law: mobility must be positive definite; its smallest eigenvalue is "
            f"{np.linalg.eigvalsh(mobility)[0]:.3e}."
        ) from None
    lower[np.diag_indices(n)] = np.log(np.diag(lower))
    entries = np.asarray(lower[np.tril_indices(n)], dtype=np.float64)
    return LawParameters(
        strain_size=strain_size,
        internal_size=n,
        energy_constant=0.0,
        energy_linear=np.zeros(d),
        energy_quadratic=quadratic,
        ridge_weight=np.zeros((0, n)),
        ridge_bias=np.zeros(0),
        context_weight=(np.zeros((len(entries), d)),),
        context_bias=(entries,),
        internal_scale=internal_scale,
        envelope=envelope,
    )


def trap_law(stiffness: float = 1.0, friction: float = 1.0) -> LawParameters:
    """Tethered particle in an optical trap, exactly: α = ⟨x⟩ = m.

    e = k/2 (λ−x)² + k/2 x², so f = k/2 (λ−m)² + k/2 m² up to a constant, φ = g²/(2η) and
    σ = k (λ−m): a Zener solid with instantaneous modulus k, relaxed modulus k/2 and relaxation time
    η/(2k) at fixed λ.
    """
    k = stiffness
    return quadratic_law(
        np.array([[k, -k], [-k, 2.0 * k]]),
        np.array([[1.0 / friction]]),
        strain_size=1,
        internal_scale=np.ones(1),
        envelope=np.array([[-10.0, 10.0], [-5.0, 5.0]]),
    )


STRAIN_RANGE = 0.1
"""Declared half width of the envelope of the standard linear solid, for ε and α."""


def standard_linear_solid(
    *,
    bulk: tuple[float, float] = (1.0, 0.5),
    shear: tuple[float, float] = (0.5, 0.5),
    viscosity: tuple[float, float] = (1.0, 0.5),
) -> LawParameters:
    """Isotropic standard linear solid in three dimensions; α is the viscous strain.

    f = ½ ε·C_∞ ε + ½ (ε−α)·C_1 (ε−α), φ = ½ g·V⁻¹ g with C = 3K J + 2G D and V likewise, J and D
    the projectors on volume and shape. In Mandel's order (xx, yy, zz, √2 xy, √2 xz, √2 yz).
    Relaxation times at fixed strain: viscosity/modulus, for volume K_v/K_1 and for shape η_v/G_1.

    Args:
        bulk: Bulk moduli K_∞ and K_1.
        shear: Shear moduli G_∞ and G_1.
        viscosity: Bulk and shear viscosity of V.
    """
    equilibrium = isotropic(bulk[0], shear[0])
    branch = isotropic(bulk[1], shear[1])
    quadratic = np.block([[equilibrium + branch, -branch], [-branch, branch]])
    return quadratic_law(
        quadratic,
        np.asarray(np.linalg.inv(isotropic(*viscosity)), dtype=np.float64),
        strain_size=6,
        internal_scale=np.full(6, STRAIN_RANGE),
        envelope=np.tile([-STRAIN_RANGE, STRAIN_RANGE], (12, 1)),
    )


def isotropic(bulk: float, shear: float) -> FloatArray:
    """3K J + 2G D in Mandel's notation, shape ``(6, 6)``."""
    trace = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    volume = np.outer(trace, trace) / 3.0
    return 3.0 * bulk * volume + 2.0 * shear * (np.eye(6) - volume)
