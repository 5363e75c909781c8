"""Write the laws that are known in closed form as exported models.

python -m ibvonn_train.closed_form.exact_models trap DIRECTORY
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..export.manifest import Description
from ..export.write_model import DecoderGraphs, export_law
from ..simulation.systems.spring_chain import SpringChain, unfolding_chain
from .kramers import kramers_law
from .linear_solids import standard_linear_solid, trap_law
from .small_strain_dumbbells import SecondMoments, small_strain_dumbbells

THERMAL_ENERGY = 1e-2
DIMENSIONLESS = dict.fromkeys(("length", "force", "time", "energy", "stress"), "1")


class MeanEncoder(nn.Module):
    """α = ⟨x⟩."""

    def forward(self, microstate: Tensor) -> Tensor:
        """Average over the replicas."""
        return torch.mean(microstate, 1)


class GaussianLogDensity(nn.Module):
    """ln q of a normal distribution around α with the given variance."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = variance

    def forward(self, microstate: Tensor, strain: Tensor, statev: Tensor) -> Tensor:  # noqa: ARG002
        """Evaluate at microstates of shape ``(n_state, n_sample, n_x)``."""
        square = torch.square(microstate - torch.unsqueeze(statev, 1))
        constant = -0.5 * math.log(2.0 * math.pi * self.variance)
        return torch.sum(square * (-0.5 / self.variance) + constant, 2)


class GaussianSample(nn.Module):
    """Samples of the same distribution from standard normal noise."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.deviation = math.sqrt(variance)

    def forward(self, noise: Tensor, strain: Tensor, statev: Tensor) -> Tensor:  # noqa: ARG002
        """Return α + s z."""
        return torch.unsqueeze(statev, 1) + self.deviation * noise


def export_trap(directory: str | Path) -> Path:
    """Tethered particle in an optical trap, k = η = 1, with its exact encoder and decoder."""
    k, friction = 1.0, 1.0
    variance = THERMAL_ENERGY / (2.0 * k)
    about = Description(
        name="exact_trap",
        text="Tethered particle in an optical trap in closed form: a Zener solid with "
        "instantaneous modulus 1, relaxed modulus 1/2 and relaxation time 1/2.",
        strain_kind="controlled",
        strain=["strain"],
        strain_measure="position of the trap over a reference length of 1",
        stress=["stress"],
        stress_measure="mean external force k (λ − ⟨x⟩)",
        internal=["mean_position"],
        internal_meaning="mean position of the particle",
        units=DIMENSIONLESS,
        strain_rate=[[-100.0, 100.0]],
        time_step=[1e-3, 1.0],
        microscopic={
            "system": "tethered_particle",
            "thermal_energy": THERMAL_ENERGY,
            "effective_thermal_energy": THERMAL_ENERGY,
            "time_step": None,
            "parameters": {
                "stiffness": k,
                "friction": friction,
                "thermal_energy": THERMAL_ENERGY,
                "reference_length": 1.0,
            },
        },
    )
    return export_law(
        directory,
        trap_law(k, friction),
        about,
        encoder=MeanEncoder(),
        decoder=DecoderGraphs(GaussianLogDensity(variance), GaussianSample(variance)),
    )


def export_standard_linear_solid(directory: str | Path) -> Path:
    """Isotropic standard linear solid with six strain components."""
    order = ("xx", "yy", "zz", "xy", "xz", "yz")
    about = Description(
        name="exact_sls",
        text="Isotropic standard linear solid in closed form: bulk moduli 1 + 0.5, shear moduli "
        "0.5 + 0.5, bulk and shear viscosity 1 and 0.5 (relaxation times 2 and 1).",
        strain_kind="controlled",
        strain=[f"strain_{ij}" for ij in order],
        strain_measure="small strain, Mandel order: factor √2 on the shear components",
        stress=[f"stress_{ij}" for ij in order],
        stress_measure="Cauchy stress, Mandel order: factor √2 on the shear components",
        internal=[f"viscous_strain_{ij}" for ij in order],
        internal_meaning="viscous strain, Mandel order",
        units=DIMENSIONLESS,
        strain_rate=[[-10.0, 10.0]] * 6,
        time_step=[1e-3, 1.0],
    )
    return export_law(directory, standard_linear_solid(), about)


def export_dumbbells(directory: str | Path, dimension: int) -> Path:
    """Hookean dumbbells in an affinely deforming medium at small strain, H = η = k_BT = 1."""
    law = small_strain_dumbbells(dimension)
    order = {2: ("11", "22", "√2 12"), 3: ("11", "22", "33", "√2 12", "√2 13", "√2 23")}[dimension]
    about = Description(
        name=f"dumbbells_{dimension}d",
        text="Hookean dumbbells in a medium that deforms affinely, in closed form at small strain: "
        "a Maxwell solid with the modulus 2 k_BT per dumbbell and the relaxation time η/2H.",
        strain_kind="controlled",
        strain=order,
        strain_measure="small strain of the medium, Mandel order",
        strain_order="mandel",
        stress=order,
        stress_measure="conjugate to the strain, per dumbbell",
        internal=[f"moment_{component}" for component in order],
        internal_meaning="second moments of the connector over those at rest, k_BT/H, minus one",
        units=DIMENSIONLESS,
        strain_rate=[[-10.0, 10.0]] * len(order),
        time_step=[1e-3, 10.0],
    )
    encoder = SecondMoments(dimension, stiffness=1.0, thermal_energy=1.0)
    return export_law(directory, law, about, encoder=encoder, microstate_size=dimension)


class OpenFractionEncoder(nn.Module):
    """α = Prob(x > crossing) − p₀ and ε = ⟨x⟩ − ε₀ of an ensemble of springs."""

    def __init__(self, crossing: float, open_fraction: float, strain: float) -> None:
        super().__init__()
        self.crossing, self.open_fraction, self.strain = crossing, open_fraction, strain

    def forward(self, microstate: Tensor) -> tuple[Tensor, Tensor]:
        """Average over the replicas."""
        is_open = torch.where(microstate > self.crossing, torch.ones_like(microstate), 0.0)
        statev = torch.mean(is_open, 1) - self.open_fraction
        return statev, torch.mean(microstate, 1) - self.strain


def export_kramers_chain(directory: str | Path) -> Path:
    """Export the model of the paper's chain, its strain counted from 1, where the wells balance."""
    return _export_kramers(
        directory,
        "kramers_chain",
        "Closed-form reference model of a chain of bistable springs: exact stress for any open "
        "fraction, Kramers kinetics (drag η/2 on each spring, nothing fitted).",
        SpringChain(),
        reference_strain=1.0,
        strain_range=(-1.5, 3.0),
    )


def export_kramers_unfolding(directory: str | Path) -> Path:
    """Export the model of a chain of unfolding units, at rest without force (10 and 2.9 k_BT)."""
    chain = unfolding_chain()
    at_rest = 1.0 / (1.0 + math.exp(chain.spring.offset / chain.thermal_energy))
    return _export_kramers(
        directory,
        "kramers_unfolding",
        "Closed-form reference model of a chain of units that unfold under tension and fold back: "
        "exact stress for any open fraction, Kramers kinetics (drag η/2 on each spring, nothing "
        "fitted). Free of stress at rest, where nearly all units are folded.",
        chain,
        reference_strain=chain.spring.well_distance * at_rest,
        strain_range=(-0.25, 0.6),
    )


def _export_kramers(
    directory: str | Path,
    name: str,
    text: str,
    chain: SpringChain,
    *,
    reference_strain: float,
    strain_range: tuple[float, float],
) -> Path:
    """Export the reference model of a chain of any number of springs."""
    law = kramers_law(
        chain.spring,
        reference_length=chain.reference_length,
        thermal_energy=chain.thermal_energy,
        friction=0.5 * chain.friction,
        reference_strain=reference_strain,
        strain_range=strain_range,
    )
    open_fraction = -float(law.envelope[1, 0])
    about = Description(
        name=name,
        text=text,
        strain_kind="averaged",
        strain=["strain"],
        strain_measure="mean elongation of a spring over its reference length, minus "
        f"{reference_strain:.6g}",
        strain_reference=[reference_strain],
        stress=["stress"],
        stress_measure="mean spring force",
        internal=["open_fraction"],
        internal_meaning=f"fraction of springs in the second well, minus {open_fraction:.6g}",
        units=DIMENSIONLESS,
        strain_rate=[[-10.0, 10.0]],
        time_step=[1e-3, 1.0],
        microscopic={
            "system": chain.name,
            "thermal_energy": chain.thermal_energy,
            "effective_thermal_energy": chain.thermal_energy,
            "time_step": None,
            "parameters": {
                key: value for key, value in chain.parameters().items() if key in OF_ONE_SPRING
            },
        },
    )
    encoder = OpenFractionEncoder(
        chain.spring.crossing / chain.reference_length, open_fraction, reference_strain
    )
    return export_law(directory, law, about, encoder=encoder)


OF_ONE_SPRING = (
    "stiffness",
    "well_distance",
    "offset",
    "crossing",
    "reference_length",
    "friction",
)
"""Parameters of a chain that its reference model, the law of one spring, depends on."""

EXPORTS: dict[str, Callable[[str | Path], Path]] = {
    "trap": export_trap,
    "sls": export_standard_linear_solid,
    "dumbbells_2d": partial(export_dumbbells, dimension=2),
    "dumbbells_3d": partial(export_dumbbells, dimension=3),
    "chain": export_kramers_chain,
    "unfolding": export_kramers_unfolding,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.closed_form.exact_models``."""
    parser = argparse.ArgumentParser(description="Write a law in closed form as an exported model.")
    parser.add_argument("law", choices=sorted(EXPORTS))
    parser.add_argument("directory", type=Path)
    chosen = parser.parse_args(arguments)
    path = EXPORTS[chosen.law](chosen.directory)
    sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
