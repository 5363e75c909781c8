"""Closed-form reference model of a chain of two-well springs: exact stress, Kramers kinetics.

One internal variable, the open fraction p = Prob(u > u_c). With v = L0 ε − u_h p the free energy
per unit reference length is

    f = [k v²/2 + D p + k_BT (p ln p + (1−p) ln(1−p))] / L0 + constant,

so the stress k v is the mean spring force whatever p is; the kinetics are

    ṗ = k₁₂ (1−p) − k₂₁ p = ∂φ/∂g,   φ(g) = (4 k_BT κ / L0) [cosh(L0 g / 2 k_BT) − 1],

κ = √(k₁₂ k₂₁ p (1−p)): convex in g and far from quadratic. k₁₂ and k₂₁ are functions of g without
its entropy. In a time step the host freezes of them only what is not smooth, and nothing of
√(p (1−p)), with which a nearly empty well would fill late. With the distances z₁, z₂ of the two
minima from the crossing in thermal units under the mean force,

    k₁₂ = (k/γ) λ(z₁) min(1, z₂/(z₁+z₂)) for k₁₂ ≥ k₂₁,   k₁₂/k₂₁ = exp((z₂²−z₁²)/2),

and mirrored otherwise, λ(z) being the first-passage eigenvalue of an Ornstein–Uhlenbeck process:
the escape over the cusp, valid through the loss of the barrier. The kinetics are an approximation;
of f only the entropy is, which takes the wells as sharp.

References:
    H. A. Kramers, Physica 7 (1940) 284; P. Hänggi et al., Rev. Mod. Phys. 62 (1990) 251, VII.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq
from scipy.special import pbdv
from torch import Tensor, nn

from ..export.constitutive_law import ConstitutiveLaw
from ..export.graphs.populations import Populations
from ..export.graphs.tabulated_rates import TabulatedRates
from ..export.potential_parameters import FloatArray
from ..simulation.systems.bistable_spring import TwoWellSpring

LEAST_FRACTION = 1e-8
"""Open fraction of a reference state must be this far from 0 and 1."""

HIGHEST_BARRIER = 6.0
"""Largest z for which the root of the parabolic cylinder function is found to 1e-7."""

BINS = 128
"""Number of intervals of the table of rates; its error is below 1e-6."""
LAST = 3.5
"""End of the table of rates in units of z₀."""


def escape_rate(z: float) -> float:
    """First-passage eigenvalue λ(z): the smallest root of D_λ(−z) = 0.

    λ is the escape rate of dx = −x dt + √2 dW over a point at distance z, in units of the
    relaxation rate: z exp(−z²/2)/√(2π) for high barriers, 1 without any, growing beyond.

    Raises:
        ValueError: If z is above :data:`HIGHEST_BARRIER`.
    """
    if not z <= HIGHEST_BARRIER:
        raise ValueError(
            f"escape_rate: z must be at most {HIGHEST_BARRIER}, a barrier of 18 k_BT; got {z}."
        )

    def cylinder(order: float) -> float:
        return float(pbdv(order, -z)[0])

    low, high = (1e-300, 1.0) if z > 0.0 else (1.0, 1.0)
    # D_λ is positive below its first root; the roots lie further apart than the steps.
    while cylinder(high) > 0.0:
        low, high = high, high + 0.5
    return low if low == high else float(brentq(cylinder, low, high, xtol=1e-300, rtol=1e-14))


def rate_table(half_distance: float, largest: float) -> tuple[FloatArray, FloatArray]:
    """Tabulate r(δ) = ln √(k₁₂k₂₁) γ/k as a cubic spline of δ = (z₂ − z₁)/2 ≥ 0; r is even.

    r = ln λ(z₀−δ) + ln min(1, (z₀+δ)/2z₀) − z₀ δ with z₀ = (z₁+z₂)/2.

    Args:
        half_distance: z₀.
        largest: End of the table; beyond it r is continued by a straight line.

    Returns:
        Left ends of the intervals ``(n,)``, and coefficients ``(4, n)`` of 1, t, t², t³ with t the
        distance from the left end.
    """
    z0, h = half_distance, 1e-3
    # The minimum has a kink at z₀: two pieces, each smooth.
    inner = np.linspace(0.0, z0, BINS // 2 + 1)
    outer = np.linspace(z0, largest, BINS // 2 + 1)
    points = np.concatenate([inner, outer[1:]])
    value = np.array([math.log(escape_rate(z0 - d)) for d in points])
    shifted = [[math.log(escape_rate(z0 - d + s * h)) for d in points] for s in (-2, -1, 1, 2)]
    slope = -(np.array([1.0, -8.0, 8.0, -1.0]) @ np.array(shifted)) / (12.0 * h)
    smooth = CubicHermiteSpline(points, value - z0 * points, slope - z0)
    share = np.minimum(0.0, np.log((z0 + points) / (2.0 * z0)))
    rise = np.where(points <= z0, 1.0 / (z0 + points), 0.0)
    split = CubicHermiteSpline(points, share, rise)
    coefficients = smooth.c[::-1].copy()
    coefficients[:, : len(inner) - 1] += split.c[::-1, : len(inner) - 1]
    return points[:-1], np.asarray(coefficients, dtype=np.float64)


class SpringEnergy(nn.Module):
    """F(ε, p) = [k v²/2 + D p]/L0 + constant: f of the reference model without its entropy.

    Args:
        spring: The spring.
        reference_length: L0.
        strain: ε at the reference state.
        open_fraction: p at the reference state.
        energy: F at the reference state.
    """

    def __init__(
        self,
        spring: TwoWellSpring,
        *,
        reference_length: float,
        strain: float,
        open_fraction: float,
        energy: float,
    ) -> None:
        super().__init__()
        self.k, self.u_h, self.offset = spring.stiffness, spring.well_distance, spring.offset
        self.length, self.strain, self.open_fraction = reference_length, strain, open_fraction
        self.constant = 0.0
        zero = torch.zeros(1, 1, dtype=torch.float64)
        self.constant = energy - float(self.value(zero, zero))

    def elongation(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return v = L0 ε − u_h p, by which both wells are pulled out."""
        p = internal + self.open_fraction
        return self.length * (strain + self.strain) - self.u_h * p

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return F, ``(n, 1)``."""
        v, p = self.elongation(strain, internal), internal + self.open_fraction
        return (0.5 * self.k * v * v + self.offset * p) / self.length + self.constant

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return F and ∂F/∂(ε, p)."""
        stress = self.k * self.elongation(strain, internal)
        force = (self.offset - self.u_h * stress) / self.length
        return self.value(strain, internal), torch.cat([stress, force], 1)

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return F, ∂F/∂p and ∂²F/∂p²."""
        value, gradient = self.gradient(strain, internal)
        bend = torch.full_like(value, self.k * self.u_h * self.u_h / self.length)
        return value, gradient[:, 1:], bend.unsqueeze(2)

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return F, ∂F/∂(ε, p) and the second derivative."""
        value, gradient = self.gradient(strain, internal)
        mixed = torch.full_like(value, -self.k * self.u_h)
        elastic = torch.full_like(value, self.k * self.length)
        bend = torch.full_like(value, self.k * self.u_h * self.u_h / self.length)
        rows = torch.cat([elastic, mixed, mixed, bend], 1).reshape(-1, 2, 2)
        return value, gradient, rows


class RateOfEscape(nn.Module):
    """The constant ln(k/γ), what the table of rates is measured in.

    Args:
        spring: The spring.
        friction: γ, the drag on one spring's elongation.
    """

    def __init__(self, spring: TwoWellSpring, *, friction: float) -> None:
        super().__init__()
        self.log_relaxation = math.log(spring.stiffness / friction)

    def frozen(self, strain: Tensor, internal: Tensor, drive: Tensor) -> Tensor:  # noqa: ARG002
        """Return it for every pair."""
        return torch.full_like(drive, self.log_relaxation)

    def implicit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return zeros."""
        return torch.zeros_like(y), torch.zeros_like(y)


def table_of_drive(spring: TwoWellSpring, thermal_energy: float) -> tuple[FloatArray, float]:
    """Return ln √(k₁₂k₂₁) γ/k as a table of |y|, and the height b of the barrier at y = 0.

    With y = (k u_h v − D)/2k_BT, δ = (u_h/2 − u_c + v) √(k/k_BT) is y/z₀, since D follows from u_c,
    and b = z₀². h(y) = b − √(y² + b²) follows the table: the barrier's −y²/2b where there is one,
    and −|y| where the faster rate grows no further.

    Returns:
        Rows [left end, coefficients of 1, t, t², t³], ``(n + 1, 5)``, the last a straight line; b.
    """
    z0 = 0.5 * spring.well_distance * math.sqrt(spring.stiffness / thermal_energy)
    largest = LAST * z0
    left, (c0, c1, c2, c3) = rate_table(z0, largest)
    t = largest - left[-1]
    value = c0[-1] + t * (c1[-1] + t * (c2[-1] + t * c3[-1]))
    slope = c1[-1] + t * (2.0 * c2[-1] + 3.0 * t * c3[-1])
    rows = np.stack([left, c0, c1, c2, c3], 1)
    rows = np.concatenate([rows, [[largest, value, slope, 0.0, 0.0]]])
    return rows * z0 ** np.array([1.0, 0.0, -1.0, -2.0, -3.0]), z0 * z0


def equilibrium_fraction(
    spring: TwoWellSpring, *, strain: float, reference_length: float, thermal_energy: float
) -> float:
    """Open fraction that minimises f at a strain: p/(1−p) = exp((k u_h v − D)/k_BT)."""

    def imbalance(p: float) -> float:
        v = reference_length * strain - spring.well_distance * p
        drive = (spring.stiffness * spring.well_distance * v - spring.offset) / thermal_energy
        return math.log(p / (1.0 - p)) - drive

    if not imbalance(LEAST_FRACTION) < 0.0 < imbalance(1.0 - LEAST_FRACTION):
        raise ValueError(
            f"equilibrium_fraction: at strain {strain} all springs are in one well to "
            f"{LEAST_FRACTION:.0e}; choose a reference strain between the two wells."
        )
    # The logarithm grows with p, the drive falls.
    return float(brentq(imbalance, LEAST_FRACTION, 1.0 - LEAST_FRACTION, xtol=1e-15, rtol=1e-14))


def kramers_law(
    spring: TwoWellSpring,
    *,
    reference_length: float,
    thermal_energy: float,
    friction: float,
    reference_strain: float = 0.0,
    strain_range: tuple[float, float],
) -> ConstitutiveLaw:
    """Build the reference model as a law with α = p − p₀, its strain counted from a reference.

    Args:
        spring: The spring.
        reference_length: L0.
        thermal_energy: k_BT of one spring.
        friction: γ. For a chain of beads of drag η, γ = η/2 needs no fit.
        reference_strain: Strain of the declared equilibrium, where p₀ is the equilibrium fraction.
        strain_range: Declared range of the strain, counted from the reference.
    """
    p0 = equilibrium_fraction(
        spring,
        strain=reference_strain,
        reference_length=reference_length,
        thermal_energy=thermal_energy,
    )
    populations = Populations([[0, 2]], np.array([p0]), thermal_energy / reference_length)
    entropy, _ = populations.mixing(populations.rest)
    energy = SpringEnergy(
        spring,
        reference_length=reference_length,
        strain=reference_strain,
        open_fraction=p0,
        energy=-float(entropy),
    )
    table, barrier = table_of_drive(spring, thermal_energy)
    rates = TabulatedRates(table, np.array([barrier]), RateOfEscape(spring, friction=friction))
    return ConstitutiveLaw.with_populations(
        populations,
        energy,
        rates,
        strain_size=1,
        internal_scale=np.array([1.0]),
        envelope=np.array([strain_range, (-p0, 1.0 - p0)]),
    )
