"""Build an untrained law of given sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..law.convex_potentials import ConvexPotentials
from ..law.decoder import Decoder
from ..law.dissipation import DualDissipation
from ..law.encoder import Encoder
from ..law.flow import ConditionalFlow
from ..law.free_energy import FreeEnergy
from ..law.internal_variables import InternalVariables
from ..law.learned_law import LearnedLaw, StrainKind
from ..law.mixture import MixtureFlow
from ..law.networks.tied import pair_orbits
from ..law.population_potentials import PopulationPotentials
from ..law.potentials import Potentials

ENCODER_GAIN = 3.0
"""Factor on the initial first layers of ψ and χ where there are populations, whose states are
narrow against the range of x."""


@dataclass(frozen=True)
class LawSizes:
    """What decides the shapes of a law's networks.

    Attributes:
        strain_kind: "controlled" or "averaged".
        strain_size: n_ε.
        microstate_size: n_x.
        variables: Kinds and numbers of the internal variables.
        strain_basis: A of the strain features A_a ε of each class, ``(classes, q, n_ε)``.
        permutations: Of the classes, generators of the symmetry group; none for the identity.
        width: Units of one class in a hidden layer of f.
        mixed_states: Number of states whose densities the decoder mixes, those of the population of
            a class; 0 for one flow, as in files of earlier versions, of means, and of several
            populations in a class, whose states are too many.
    """

    strain_kind: StrainKind
    strain_size: int
    microstate_size: int
    variables: InternalVariables
    strain_basis: tuple[tuple[tuple[float, ...], ...], ...]
    permutations: tuple[tuple[int, ...], ...]
    width: int
    mixed_states: int = 0

    @property
    def decoder_sees_strain(self) -> bool:
        """Whether the decoder is given the strain features of a class."""
        return self.strain_kind == "controlled" and bool(self.variables.populations)

    @property
    def coupled(self) -> bool:
        """Whether f is coupled: it need not be jointly convex under a strain that is imposed.

        At fixed strain the free energy of the distributions is convex and α linear in them, so that
        f is convex in α. Means of functions of the microstate that are not linear, of which there
        are more than components, may bear the stress alone: f is then not convex in both.
        """
        return self.strain_kind == "controlled" and self.variables.means > self.microstate_size

    def record(self) -> dict[str, Any]:
        """Return plain values, from which :meth:`of_record` makes the same."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> LawSizes:
        """Return what :meth:`record` gave."""
        variables = dict(record["variables"])
        variables["populations"] = tuple(variables["populations"])
        values = {**record, "variables": InternalVariables(**variables)}
        values["strain_basis"] = tuple(
            tuple(tuple(row) for row in rows) for rows in record["strain_basis"]
        )
        values["permutations"] = tuple(tuple(row) for row in record["permutations"])
        return cls(**values)


def build_law(sizes: LawSizes, generator: torch.Generator) -> LearnedLaw:
    """Return an untrained law with unit scales.

    Of the width n follow the hidden layers of f and of the networks of φ (n, n), those of ψ
    (3n/4, twice) and the number n/2 of ridges of φ: ψ is a function of few numbers. These ratios
    served every law of this project.
    """
    width, variables = sizes.width, sizes.variables
    encoder = Encoder(
        sizes.microstate_size,
        variables,
        # Under an averaged strain a mean may see the shape about ⟨x⟩ only, or it would not be
        # frozen under rigid translation; a population is where its states are apart.
        centred=variables.means if sizes.strain_kind == "averaged" else 0,
        widths=(3 * width // 4, 3 * width // 4),
        first_gain=ENCODER_GAIN if variables.populations else 1.0,
        generator=generator,
    )
    # The decoder of populations under an imposed strain is given their strain features, too.
    given = len(sizes.strain_basis[0]) if sizes.decoder_sees_strain else 0
    context = given + variables.per_class
    decoder: Decoder
    if sizes.mixed_states:
        decoder = MixtureFlow(
            sizes.microstate_size,
            context,
            first=given,
            states=sizes.mixed_states,
            generator=generator,
        )
    else:
        decoder = ConditionalFlow(sizes.microstate_size, context, generator=generator)
    potentials: Potentials
    if variables.populations:
        potentials = PopulationPotentials(
            sizes.strain_size,
            variables,
            orbits=pair_orbits(variables.classes, sizes.permutations),
            strain_basis=torch.tensor(sizes.strain_basis, dtype=torch.float64),
            widths=(width, width),
            rate_widths=(width, width),
            ridges=width // 2,
            generator=generator,
        )
    else:
        potentials = _convex(sizes, generator)
    return LearnedLaw(sizes.strain_kind, variables, encoder, decoder, potentials)


def _convex(sizes: LawSizes, generator: torch.Generator) -> ConvexPotentials:
    size: Sequence[int] = (sizes.width, sizes.width)
    energy = FreeEnergy(
        sizes.strain_size,
        sizes.variables.size,
        widths=size,
        generator=generator,
        coupled=sizes.coupled,
    )
    dissipation = DualDissipation(
        sizes.strain_size,
        sizes.variables.size,
        ridges=sizes.width // 2,
        context_widths=size,
        generator=generator,
    )
    return ConvexPotentials(energy, dissipation)
