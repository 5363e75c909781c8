r"""Mean-field law of a periodic lattice of bistable bonds: nothing learned, one friction.

Of every direction a the internal variable is the fraction p_a of open bonds. A bond is a spring of
the stiffness κ = k K/(k + K) whose natural elongation is 0 or z_h. If the other bonds are replaced
by their means, opening one costs the share c of the energy κ z_h²/2 that its neighbours cannot
relax, and with e = A ε the smooth energy per volume V of a node is

.. math::
    F = \frac1V \sum_a \Big[\frac\kappa2 (e_a - z_h p_a)^2 + D p_a
        + c\,\frac{\kappa z_h^2}2\, p_a (1 - p_a)\Big].

In the triangular lattice c = 1/3: of n bonds of a node, d displacements relax. With c = 1 the nodes
move affinely and no bond knows of another: three Kramers models beside each other.

The coordinate z of a bond sits in its well and in the spring by which k and the neighbours hold
it, of the stiffness k_c = c κ K/(K − c κ): two wells of the stiffness K + k_c and the distance
z_h K/(K + k_c), between which G = −V ∂F/∂p is the difference in energy. The rates of escape over
the cusp are those of :mod:`ibvonn_train.closed_form.kramers`; what neighbours do to the drag of z
is left to one factor.

References:
    W. L. Bragg and E. J. Williams, Proc. R. Soc. A 145 (1934) 699; H. A. Kramers, Physica 7 (1940)
    284.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from ..export.constitutive_law import ConstitutiveLaw
from ..export.graphs.populations import Populations
from ..export.population_parameters import PopulationParameters
from ..export.potential_parameters import FloatArray
from ..simulation import PeriodicLattice
from ..simulation.systems.bistable_spring import TwoWellSpring
from .kramers import LEAST_FRACTION, table_of_drive

AFFINE = 1.0
"""c of nodes that move affinely."""


def mean_field_share(system: PeriodicLattice) -> float:
    """Return c = 1 − d/n, the part of a bond's elongation that its neighbours cannot relax.

    Raises:
        ValueError: If the symmetry of the lattice does not map all directions on each other, whose
            parts differ then.
    """
    images = {element.classes[0] for element in system.symmetry}
    directions = len(system.classes)
    if len(images) < directions:
        raise ValueError(
            "mean_field_share: the symmetry of the lattice must map all directions on each other; "
            f"in {system.geometry!r} {len(images)} of {directions} directions are alike."
        )
    return 1.0 - system.lattice.dimension / directions


def mean_field_law(
    system: PeriodicLattice, *, friction: float, envelope: FloatArray, share: float
) -> ConstitutiveLaw:
    """Build the law with α = p − p₀, p₀ being the equilibrium fractions without strain.

    Args:
        system: The lattice, of bonds in series with a spring.
        friction: Drag of a bond's coordinate between its wells, in units of its own, η_z.
        envelope: Declared ranges of ε and p, ``(n_ε + n_α, 2)``.
        share: c: :func:`mean_field_share`, or :data:`AFFINE`.

    Raises:
        ValueError: If the bonds are plain, whose wells are not there at every strain, or have true
            lengths.
    """
    if not system.has_spins:
        kind = "bonds of true length" if system.series else "plain ones"
        raise ValueError(
            "mean_field_law: needs bonds in series with a spring and linearised elongations; found "
            f"{kind}."
        )
    hard, jump = system.well_stiffness, system.well_distance
    bond, basis = system.two_state_bond.stiffness_in_series, system.lattice.strain_basis
    directions, size = basis.shape
    volume, held = system.reference_volume, share * bond * hard / (hard - share * bond)
    rest = np.full(directions, _rest(system, bond, share))
    populations = Populations(
        [[a, 2] for a in range(directions)], rest, system.thermal_energy / volume
    )
    # F in x = (ε, p), then in (ε, p − p₀), where it is minus the mixing entropy at rest.
    jumps = -bond * jump * basis.T
    own = bond * jump**2 * (1.0 - share) * np.eye(directions)
    quadratic = np.block([[bond * basis.T @ basis, jumps], [jumps.T, own]]) / volume
    each = (system.offset + 0.5 * share * bond * jump**2) / volume
    linear = np.concatenate([np.zeros(size), np.full(directions, each)])
    origin = np.concatenate([np.zeros(size), rest])
    entropy, _ = populations.mixing(populations.rest)
    spring = TwoWellSpring(hard + held, jump * hard / (hard + held))
    table, barrier = table_of_drive(spring, system.thermal_energy)
    relaxation = spring.stiffness / (friction * system.inner_friction)
    parameters = PopulationParameters(
        strain_size=size,
        internal_size=directions,
        energy_constant=-float(entropy),
        energy_linear=linear + quadratic @ origin,
        energy_quadratic=quadratic,
        ridge_weight=np.zeros((0, 0)),
        ridge_bias=np.zeros(0),
        context_weight=(),
        context_bias=(),
        internal_scale=np.ones(directions),
        envelope=envelope - origin[:, None],
        thermal_energy=populations.thermal_energy,
        groups=np.array(populations.groups),
        rest=rest,
        rate_weight=(np.zeros((directions, size + 2 * directions)),),
        rate_bias=(np.full(directions, np.log(relaxation)),),
        rate_barrier=np.full(directions, barrier),
        rate_table=table,
    )
    return ConstitutiveLaw.of(parameters)


def _rest(system: PeriodicLattice, bond: float, share: float) -> float:
    """Return the open fraction at which f is least without strain, alike in all directions."""
    energy = bond * system.well_distance**2

    def imbalance(p: float) -> float:
        rise = system.offset + energy * p + 0.5 * share * energy * (1.0 - 2.0 * p)
        return float(np.log(p / (1.0 - p))) + rise / system.thermal_energy

    return float(brentq(imbalance, LEAST_FRACTION, 1.0 - LEAST_FRACTION, xtol=1e-15, rtol=1e-14))
