"""A periodic cell of a lattice whose bonds have two states, under an imposed strain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...data.element_classes import ClassSymmetry
from .lattice_geometry import GEOMETRIES, FloatArray, LatticeGeometry
from .lattice_spins import LatticeSpins
from .lattice_stretch import stretch_slope, stretch_tensor
from .periodic_cell import PeriodicCell
from .system import (
    MicroscopicSystem,
    Preparation,
    Scheme,
    require_positive,
    require_thermal_energy,
    stationary_factor,
)
from .two_state_bond import TwoStateBond

MANDEL = {2: ("11", "22", "√2 12"), 3: ("11", "22", "33", "√2 12", "√2 13", "√2 23")}
"""Components by the number of dimensions."""


class Parts(NamedTuple):
    """Degrees of freedom and elongations of all replicas.

    Attributes:
        displacements: u of the nodes, ``(n_case, n_node, d, n_replica)``.
        inner: z of the bonds, ``(n_case, n_direction, n_node, n_replica)``; None of plain bonds.
        elongations: u_b of the bonds, ``(n_case, n_direction, n_node, n_replica)``.
        directions: Unit vectors along the deformed bonds of true length, ``(n_case, n_direction,
            n_node, d, n_replica)``; None where bonds keep their directions.
    """

    displacements: Tensor
    inner: Tensor | None
    elongations: Tensor
    directions: Tensor | None = None


@dataclass(frozen=True)
class PeriodicLattice(MicroscopicSystem):
    r"""Nodes x = (I + ε) X + w of a lattice, periodic in w; every bond may be folded or open.

    A bond is a spring in series with a bistable element of the inner coordinate z
    (:mod:`.two_state_bond`), with the elongation u_b = l n·ε n + n·(w_j − w_i). Drag acts on the
    motion of the nodes relative to the affine one, and on z with η_z = η K/k. The strain is
    imposed, in Mandel order. By periodicity the mean elongation of a direction is
    e_a = l_a n_a·ε n_a exactly, and the stress is (1/V) Σ_b k (u_b − z_b) l n⊗n.

    The bonds of one direction are one class of like elements; their microstate is (u_b − e_a, z_b).
    A *plain* bond has the energy W(u_b) with the stiffness k and the microstate u_b − e_a: the
    lattice stiffens it, and its open state has no barrier at rest.

    With *true lengths* nodes sit at U X + w and u_b = \|U l n + w_j − w_i\| − l, so that bonds turn
    and the energy of a turned cell is the same. The strain is the one that gives the elongations of
    the affine motion, e_a = l_a (\|U n_a\| − 1) = A_a ε, which determine U
    (:mod:`.lattice_stretch`), and the stress is conjugate to it, σ = P : ∂U/∂ε with
    P = (1/V) Σ_b k (u_b − z_b) m_b⊗l n, m_b along the deformed bond. Then ⟨u_b⟩ is not e_a.

    Attributes:
        geometry: "triangular", "square_with_diagonals" or, in three dimensions, "fcc".
        cells: Nodes along each lattice vector of the periodic cell.
        stiffness: k [force / length].
        well_stiffness: K.
        well_distance: z_h [length].
        offset: D [energy].
        series: Whether bonds are in series with a spring; otherwise they are plain.
        true_lengths: Whether bonds have true lengths; otherwise elongations are linearised.
        preparation: Stages at ε(0) after a start with all bonds folded and at rest.
    """

    geometry: str = "triangular"
    cells: int = 12
    stiffness: float = 1.0
    well_stiffness: float = 7.0
    well_distance: float = 0.1
    offset: float = 0.005
    series: bool = True
    true_lengths: bool = False
    friction: float = 1.0
    thermal_energy: float = 0.001
    preparation: Sequence[Preparation] = (Preparation(2000, 0.1),)
    name: str = "periodic_lattice"
    scheme: Scheme = "leimkuhler_matthews"

    sentence = "a periodic cell of a lattice of bonds with two states each, whose strain is imposed"

    def __post_init__(self) -> None:
        require_positive(
            self.name,
            stiffness=self.stiffness,
            well_stiffness=self.well_stiffness,
            well_distance=self.well_distance,
            friction=self.friction,
        )
        require_thermal_energy(self.name, self.thermal_energy)
        if self.geometry not in GEOMETRIES:
            raise ValueError(
                f"{self.name}: geometry must be one of {sorted(GEOMETRIES)}; found "
                f"{self.geometry!r}."
            )
        if self.cells < 3:
            raise ValueError(
                f"{self.name}: cells must be at least 3, so that no bond meets its own image; "
                f"found {self.cells}."
            )

        directions, components = self.lattice.strain_basis.shape
        if self.true_lengths and directions != components:
            raise ValueError(
                f"{self.name}: true lengths need as many directions of bonds as strains, which "
                f"they determine; {self.geometry!r} has {directions} directions and {components} "
                "strains. Take 'triangular' or 'fcc'."
            )

    @property
    def lattice(self) -> LatticeGeometry:
        """The geometry."""
        return GEOMETRIES[self.geometry]

    @property
    def nodes(self) -> int:
        """Number of nodes of the cell."""
        return self.cell.nodes

    @cached_property
    def cell(self) -> PeriodicCell:
        """Nodes and bonds."""
        return PeriodicCell(self.lattice, self.cells)

    @cached_property
    def two_state_bond(self) -> TwoStateBond:
        """Energy of one bond."""
        return TwoStateBond(self.stiffness, self.curvature, self.well_distance, self.offset)

    @property
    def reference_volume(self) -> float:
        """Volume (area) of one node."""
        return self.lattice.volume

    @property
    def crossing(self) -> float:
        """z_c."""
        return self.two_state_bond.crossing

    @property
    def curvature(self) -> float:
        """Stiffness of the wells: K, and k of plain bonds."""
        return self.well_stiffness if self.series else self.stiffness

    @property
    def inner_friction(self) -> float:
        """η_z."""
        return self.friction * self.well_stiffness / self.stiffness

    @property
    def degree_friction(self) -> Sequence[float] | None:  # type: ignore[override]
        """Drag of the nodes, then of the inner coordinates."""
        if not self.series:
            return None
        of_nodes = [self.friction] * (self.lattice.dimension * self.nodes)
        return of_nodes + [self.inner_friction] * self.cell.bonds

    @property
    def strain_names(self) -> Sequence[str]:  # type: ignore[override]
        """Components in Mandel order."""
        return MANDEL[self.lattice.dimension]

    stress_names = strain_names

    @property
    def strain_measure(self) -> str:  # type: ignore[override]
        """In words."""
        if self.true_lengths:
            return (
                "strain in Mandel order whose elongations A ε are those of the stretched directions"
            )
        return "small strain in Mandel order"

    @property
    def classes(self) -> Sequence[str]:  # type: ignore[override]
        """One class of bonds for each direction."""
        return tuple(f"direction {number}" for number in range(1, len(self.lattice.bonds) + 1))

    @property
    def symmetry(self) -> Sequence[ClassSymmetry]:  # type: ignore[override]
        """Group of the lattice."""
        return self.lattice.symmetry

    @property
    def strain_basis(self) -> FloatArray:  # type: ignore[override]
        """A, ``(n_direction, 1, n_ε)``."""
        return self.lattice.strain_basis[:, None]

    def parts(self, x: Tensor, control: Tensor) -> Parts:
        """Return what positions ``(n_case, n_degree, n_replica)`` consist of."""
        size, replicas = self.lattice.dimension, x.shape[-1]
        count = size * self.nodes
        w = x[:, :count].reshape(len(x), self.nodes, size, replicas)
        inner = x[:, count:].reshape(len(x), -1, self.nodes, replicas) if self.series else None
        if self.true_lengths:
            return Parts(w, inner, *self.cell.stretched(w, self.affine_bonds(control)))
        mean = self.mean_elongations(control)[..., None, None]
        return Parts(w, inner, self.cell.projections(w) + mean)

    def affine_bonds(self, control: Tensor) -> Tensor:
        """Return the bond vectors U l n of the affine motion, ``(n_case, n_direction, d)``."""
        stretch = stretch_tensor(control.double(), self.lattice)
        return torch.from_numpy(self.lattice.bonds) @ stretch.mT

    def mean_elongations(self, control: Tensor) -> Tensor:
        """Return e_a, ``(n_case, n_direction)``: with true lengths those of the affine motion."""
        return control @ torch.from_numpy(self.lattice.strain_basis).to(control).T

    def tension(self, parts: Parts) -> Tensor:
        """Return ∂E_b/∂u_b, shape of the elongations."""
        return self.two_state_bond.tension(parts.elongations, parts.inner)

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return the energy of the bonds."""
        parts = self.parts(x, control)
        return self.two_state_bond.energy(parts.elongations, parts.inner).sum((1, 2))

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return the forces on the nodes, then those on the inner coordinates."""
        parts = self.parts(x, control)
        tension = self.tension(parts)
        on_nodes = self.cell.forces(tension, parts.directions)
        flat = on_nodes.reshape(len(x), -1, x.shape[-1])
        if parts.inner is None:
            return flat
        on_inner = tension - self.two_state_bond.well_force(parts.inner)
        return torch.cat([flat, on_inner.reshape(len(x), -1, x.shape[-1])], 1)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return nodes on the affine motion and folded bonds with the thermal spread of z."""
        count = self.lattice.dimension * self.nodes
        x = control.new_zeros(len(control), count, n_replica)
        if not self.series:
            return x
        noise = torch.randn(
            (len(control), self.cell.bonds, n_replica),
            generator=generator,
            dtype=control.dtype,
            device=control.device,
        )
        spread = math.sqrt(self.thermal_energy / (self.stiffness + self.well_stiffness))
        return torch.cat([x, spread * noise], 1)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return (u_b − e_a, z_b) of the bonds, those of a replica side by side."""
        parts = self.parts(x, control)
        shift = self.mean_elongations(control)[..., None, None]
        columns = [parts.elongations - shift]
        if parts.inner is not None:
            columns.append(parts.inner)
        stacked = torch.stack(columns, -1).transpose(2, 3)
        return stacked.reshape(len(x), len(self.lattice.bonds), -1, len(columns))

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return the positions of microstates, the mean displacement being zero.

        Raises:
            ValueError: If bonds have true lengths, from which positions do not follow linearly.
        """
        if self.true_lengths:
            raise ValueError(
                f"{self.name}: a lattice with true lengths cannot be restarted from microstates, "
                "which are the lengths of its bonds. Start it anew, or take true_lengths=False."
            )
        count, directions = len(microstate), len(self.lattice.bonds)
        columns = microstate.shape[-1]
        bonds = microstate.reshape(count, directions, -1, self.nodes, columns).transpose(2, 3)
        flat = bonds[..., 0].reshape(count, directions * self.nodes, -1)
        w = self.cell.inverse_projection.to(microstate) @ flat
        if columns == 1:
            return w
        return torch.cat([w, bonds[..., 1].reshape(count, directions * self.nodes, -1)], 1)

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the stress."""
        return self.stress_of_replicas(x, control)[:, 0].mean(1)

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor:
        """Return (1/V) Σ_a s_a A_a of each replica, s_a the mean tension of a direction.

        With true lengths P : ∂U/∂ε, conjugate to the strain.
        """
        parts = self.parts(x, control)
        if parts.directions is not None:
            slope = stretch_slope(control.double(), self.lattice).to(x)
            nominal = self.nominal_stress(parts)
            return torch.einsum("crij,cije->cre", nominal, slope)[:, None]
        mean = self.tension(parts).mean(2)
        basis = torch.from_numpy(self.lattice.strain_basis).to(x) / self.lattice.volume
        return torch.einsum("car,ae->cre", mean, basis)[:, None]

    def nominal_stress(self, parts: Parts) -> Tensor:
        """Return P = ∂E/∂F over the volume, of each replica, ``(n_case, n_replica, d, d)``.

        With true lengths; F is the deformation of the affine motion at fixed displacements.
        """
        assert parts.directions is not None  # noqa: S101 (of lattices with true lengths)
        pull = (self.tension(parts)[:, :, :, None] * parts.directions).mean(2)
        bonds = torch.from_numpy(self.lattice.bonds / self.lattice.volume).to(pull)
        return torch.einsum("cair,aj->crij", pull, bonds)

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT, at which the scheme samples harmonic wells whatever its step."""
        products = self.lattice.directions[:, :, None] * self.lattice.directions[:, None, :]
        of_nodes = (
            4.0 * self.stiffness * float(np.linalg.eigvalsh(products.sum(0)).max()) / self.friction
        )
        rates = [of_nodes]
        if self.series:
            rates.append((self.stiffness + self.well_stiffness) / self.inner_friction)
        stationary_factor(
            torch.tensor([max(rates)]), time_step, self.name
        )  # refuses an unstable one
        return self.thermal_energy

    @property
    def has_spins(self) -> bool:
        """Whether states of the bonds interact as spins: in series with a spring, linearised."""
        return self.series and not self.true_lengths

    def spins(self) -> LatticeSpins:
        """Return the bonds as spins with elastic interaction.

        Raises:
            ValueError: If the bonds are plain: their wells are not there at every strain; or if
                they have true lengths: their interaction depends on the strain.
        """
        if not self.has_spins:
            raise ValueError(
                f"{self.name}: spins need bonds in series with a spring, and linearised "
                "elongations."
            )
        return LatticeSpins.of_bonds(self.cell, self.two_state_bond, self.thermal_energy)

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        names = ("geometry", "cells", "stiffness", "well_stiffness", "well_distance", "offset")
        return {
            **{name: getattr(self, name) for name in names},
            "series": self.series,
            **({"true_lengths": True} if self.true_lengths else {}),
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "scheme": self.scheme,
        }
