r"""A law of six strains in closed form: bistable bonds in the six directions of the fcc lattice.

Each direction a has the open fraction p_a. A bond has the stiffness κ, lengthens by z where it
opens, at the cost D, and feels the mean of the others (as in
``ibvonn_train.closed_form.lattice_mean_field``); with e = A ε and V the volume of a node

    V F = Σ_a κ/2 (e_a − z p_a)² + D p_a + c κ z²/2 p_a (1 − p_a),  c = 1/2.

The rates of opening and folding saturate once the force has removed a barrier. The other codes of
this folder get it as one C file::

    python demos/other_codes/fcc_bonds.py build/fcc_bonds
    ibvonn-fem emit-c build/fcc_bonds
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from ibvonn_train.export import Description, export_law
from ibvonn_train.export.folding import with_zero_energy
from ibvonn_train.export.population_parameters import PopulationParameters
from ibvonn_train.simulation.systems.lattice_geometry import GEOMETRIES

STIFFNESS, JUMP, OFFSET, SHARE = 0.875, 0.1, 0.002, 0.5  # κ, z, D, c
THERMAL_ENERGY = 0.0015  # of a bond: warm enough that the law does not soften
BARRIER = 3.0  # in 2 k_BT
RATE = 0.3  # of opening and of folding where both states have the same energy
STRAINS = [-0.05, 0.15]  # the range that the law declares


def parameters() -> PopulationParameters:
    """Return the law in α = p − p₀, p₀ being the equilibrium fraction without strain."""
    lattice = GEOMETRIES["fcc"]
    basis, volume = lattice.strain_basis, lattice.volume
    directions, size = basis.shape
    energy = STIFFNESS * JUMP**2

    def imbalance(p: float) -> float:
        rise = OFFSET + energy * p + 0.5 * SHARE * energy * (1.0 - 2.0 * p)
        return float(np.log(p / (1.0 - p))) + rise / THERMAL_ENERGY

    rest = np.full(directions, brentq(imbalance, 1e-12, 0.5, xtol=1e-16))
    jumps = -STIFFNESS * JUMP * basis.T
    own = (1.0 - SHARE) * energy * np.eye(directions)
    quadratic = np.block([[STIFFNESS * basis.T @ basis, jumps], [jumps.T, own]]) / volume
    linear = np.r_[np.zeros(size), np.full(directions, OFFSET + 0.5 * SHARE * energy)] / volume
    law = PopulationParameters(
        strain_size=size,
        internal_size=directions,
        energy_constant=0.0,
        energy_linear=linear + quadratic @ np.r_[np.zeros(size), rest],
        energy_quadratic=quadratic,
        ridge_weight=np.zeros((0, 0)),
        ridge_bias=np.zeros(0),
        context_weight=(),
        context_bias=(),
        internal_scale=np.full(directions, 0.2),
        envelope=np.concatenate(
            [np.tile(STRAINS, (size, 1)), np.stack([-rest, 1.0 - rest], axis=1)]
        ),
        thermal_energy=THERMAL_ENERGY / volume,
        groups=np.array([[a, 2] for a in range(directions)]),
        rest=rest,
        rate_weight=(np.zeros((directions, size + 2 * directions)),),
        rate_bias=(np.full(directions, np.log(RATE)),),
        rate_barrier=np.full(directions, BARRIER),
    )
    return with_zero_energy(law)


def export(directory: Path) -> Path:
    """Write the law as an exported directory, and return it."""
    lattice = GEOMETRIES["fcc"]
    names = [f"direction {a}" for a in range(1, 7)]
    about = Description(
        name="fcc_bonds",
        text="Bistable bonds in the six directions of the fcc lattice, each in the mean of the "
        "others, in closed form.",
        strain_kind="controlled",
        strain=["11", "22", "33", "√2 12", "√2 13", "√2 23"],
        strain_measure="small strain in Mandel order",
        strain_order="mandel",
        stress=["11", "22", "33", "√2 12", "√2 13", "√2 23"],
        stress_measure="conjugate to the strain",
        classes=names,
        strain_basis=lattice.strain_basis[:, None, :],
        internal=[f"open_fraction_{a}" for a in range(1, 7)],
        internal_meaning="fraction of open bonds of each direction, less that at rest",
        units=dict.fromkeys(("length", "force", "time", "energy", "stress"), "1"),
        strain_rate=[[-0.1, 0.1]] * 6,
        time_step=[1e-3, 10.0],
    )
    return export_law(directory, parameters(), about)


if __name__ == "__main__":
    sys.stdout.write(f"wrote {export(Path(sys.argv[1]))}\n" if len(sys.argv) == 2 else __doc__)
