r"""Smooth part of the free energy of a law with populations, convex in α with its mixing entropy.

F = E [l·x + ½ xᵀMx + v·h(x)] of the features x of all classes, h convex layers. M_εε is positive
definite. M_αα may be concave by less than the mixing entropy is convex, whose Hessian in the
independent fractions of a population is at least 2θ(I + 11ᵀ). M_εα is free. So f is convex in α at
fixed ε for any weights, and not necessarily in both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .class_features import ClassFeatures
from .internal_variables import InternalVariables
from .networks.convex import EnergyWeights
from .networks.mlp import uniform
from .networks.tied import class_orbits, dense, repeated, shared_blocks
from .networks.tied_networks import ConvexLayers

DIGITS = 11
"""Decimals of coefficients in scaled units that are kept of a linear fit."""
SILENT = -4.0
"""Free parameter of the output weights of the convex layers at the start: 0.02."""
FIRST_CONCAVITY = -3.0
"""Free parameter of the concave share at the start: 5 %."""
LINEAR = 0.02
"""Part of the stress that a linear fit to ε and α may leave where the stress counts as linear."""
LARGEST_CONCAVITY = 0.95
"""Of F, in units of the least convexity of the mixing entropy."""


class SmoothEnergy(nn.Module):
    """F(ε, α), equivariant under the permutations of the classes.

    Args:
        features: Of the classes.
        orbits: Of pairs of classes.
        widths: Hidden layers, units of one class.
        generator: Source of the initial weights.
    """

    energy_scale: Tensor
    strain_in_layers: Tensor
    orbits: Tensor
    bound: Tensor

    def __init__(
        self,
        features: ClassFeatures,
        orbits: Tensor,
        widths: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        variables, q = features.variables, features.strain_features
        n = variables.per_class
        pairs, kinds = int(orbits.max()) + 1, int(class_orbits(orbits).max()) + 1
        self.features = features
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("strain_in_layers", torch.ones((), dtype=torch.float64))
        self.register_buffer("orbits", orbits, persistent=False)
        self.register_buffer("bound", _mixing_bound(variables), persistent=False)
        self.linear = nn.Parameter(torch.zeros(kinds, q + n, dtype=torch.float64))
        self.strain_root = nn.Parameter(_near_identity(orbits, pairs, q, generator))
        self.internal_root = nn.Parameter(_near_identity(orbits, pairs, n, generator))
        self.coupling = nn.Parameter(uniform((pairs, q, n), 0.1, generator))
        shares = len(variables.populations)
        self.concavity = nn.Parameter(torch.full((shares,), FIRST_CONCAVITY, dtype=torch.float64))
        self.layers = ConvexLayers(orbits, q + n, widths, generator=generator, output_scale=0.1)

    def weights(self, thermal_energy: Tensor) -> EnergyWeights:
        """Return the weights as functions of z = (ε, α), energy scale included.

        Args:
            thermal_energy: θ, k_BT per reference volume.
        """
        scale, (features, offset) = self.energy_scale, self.features.map()
        matrix, (skip, bias, hidden, output) = self._matrix(thermal_energy), self.layers.weights()
        mask = torch.ones(len(offset), dtype=offset.dtype, device=offset.device)
        mask[self.features.places()[0]] = self.strain_in_layers
        skip = [s * mask for s in skip]
        linear = repeated(self.linear, self.orbits) + matrix @ offset
        return EnergyWeights(
            scale * (linear @ features),
            scale * (features.T @ matrix @ features),
            [s @ features for s in skip],
            [b + s @ offset for s, b in zip(skip, bias, strict=True)],
            hidden,
            scale * output,
        )

    @torch.no_grad()
    def start_from_stress(self, strain: Tensor, internal: Tensor, stress: Tensor) -> None:
        """Start the quadratic part from a linear fit σ = K ε + C α + s.

        M_αα starts at M_αε M_εε⁻¹ M_εα, that of elements which carry their force in series with
        what their state adds to the strain: f does not change where both change together. Where
        the fit leaves less than ``LINEAR`` of the stress, the convex layers see α alone from then
        on, and σ stays linear in ε and α: what is not in the data is not learned.

        Args:
            strain: Of states of the data, ``(n, n_ε)``.
            internal: Their α, ``(n, n_α)``.
            stress: Their σ, ``(n, n_ε)``.
        """
        n, fit = self.features.variables.per_class, self._linear_fit(strain, internal, stress)
        self._set_stress(fit)
        relaxed = fit.coupling.T @ (fit.axes / fit.moduli) @ fit.axes.T @ fit.coupling
        moduli, axes = _positive(relaxed)
        root = shared_blocks((axes * moduli.sqrt()) @ axes.T, self.orbits, n, n)
        self.internal_root.copy_(torch.round(root, decimals=DIGITS))
        self.strain_in_layers.fill_(float(fit.left > LINEAR * fit.size))
        self.layers.output_raw.fill_(SILENT)

    @torch.no_grad()
    def hold_stress(self, strain: Tensor, internal: Tensor, stress: Tensor, noise: Tensor) -> bool:
        """Fit a linear stress once more and let no gradient reach what it depends on.

        The moduli and ∂σ/∂α of a stress that is linear up to its sampling error are known far
        better by this fit than by the kinetics, whose errors would move them. Nothing is done where
        the convex layers see the strain, or the fit leaves more than the sampling error.

        Args:
            strain: Of states of the data, ``(n, n_ε)``.
            internal: Their α, ``(n, n_α)``.
            stress: Their σ, ``(n, n_ε)``.
            noise: Standard error of σ, ``(n, n_ε)``.

        Returns:
            Whether the stress is held.
        """
        fit = self._linear_fit(strain, internal, stress)
        least = (noise / self.energy_scale @ fit.back.T).square().mean().sqrt()
        if bool(self.strain_in_layers) or fit.left > least:
            return False
        self._set_stress(fit)
        count = self.features.strain_features
        for parameter, hook in (
            (self.strain_root, torch.zeros_like),
            (self.coupling, torch.zeros_like),
            (self.linear, partial(_without_first, count=count)),
        ):
            parameter.requires_grad_(True).register_hook(hook)  # type: ignore[no-untyped-call]
        return True

    def _linear_fit(self, strain: Tensor, internal: Tensor, stress: Tensor) -> _LinearFit:
        """Return the least-squares fit of a stress that is linear in the features."""
        m, (features, offset) = strain.shape[1], self.features.map()
        x = torch.cat([strain, internal], 1) @ features.T + offset
        design = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        of_strain, of_internal = self.features.places()
        # σ = E Z_εᵀ (M x + l): the fit is for the force conjugate to the strain features.
        back = torch.linalg.pinv(features[of_strain, :m].T)
        force = stress / self.energy_scale @ back.T
        fit = torch.linalg.lstsq(design, force).solution
        # The last digits of LAPACK depend on its work space: a training has to repeat to the bit.
        fit = torch.round(fit, decimals=DIGITS)
        stiffness = fit[of_strain].T
        moduli, axes = _positive(0.5 * (stiffness + stiffness.T))
        return _LinearFit(
            back=back,
            moduli=moduli,
            axes=axes,
            coupling=fit[of_internal].T,
            constant=fit[-1],
            left=(design @ fit - force).square().mean().sqrt(),
            size=force.std(0).square().mean().sqrt(),
        )

    def _set_stress(self, fit: _LinearFit) -> None:
        """Give the quadratic part the stress of a fit, shared over the classes of one orbit."""
        q, n = self.features.strain_features, self.features.variables.per_class
        for parameter, matrix, size in (
            (self.strain_root, (fit.axes * fit.moduli.sqrt()) @ fit.axes.T, (q, q)),
            (self.coupling, fit.coupling, (q, n)),
        ):
            parameter.copy_(torch.round(shared_blocks(matrix, self.orbits, *size), decimals=DIGITS))
        kinds, constant = class_orbits(self.orbits), fit.constant.reshape(-1, q)
        for kind in range(len(self.linear)):
            self.linear[kind, :q] = constant[kinds == kind].mean(0)

    def _matrix(self, thermal_energy: Tensor) -> Tensor:
        """Return M in the features of all classes."""
        strain, internal = (dense(r, self.orbits) for r in (self.strain_root, self.internal_root))
        unit = self.features.unit
        concave = self.bound * self._share() / (unit * unit[:, None])
        curvature = internal @ internal.T - thermal_energy / self.energy_scale * concave
        of_strain, of_internal = self.features.places()
        size = len(of_strain) + len(of_internal)
        matrix = strain.new_zeros(size, size)
        coupling = dense(self.coupling, self.orbits)
        matrix[of_strain[:, None], of_strain] = strain @ strain.T
        matrix[of_strain[:, None], of_internal] = coupling
        matrix[of_internal[:, None], of_strain] = coupling.T
        matrix[of_internal[:, None], of_internal] = curvature
        return matrix

    def _share(self) -> Tensor:
        """Return the concave share of every component of α; that of means does not count."""
        variables = self.features.variables
        share = LARGEST_CONCAVITY * torch.sigmoid(self.concavity)
        own = [share[i].expand(m - 1) for i, m in enumerate(variables.populations)]
        of_class = torch.cat([*own, share.new_zeros(variables.means)])
        return of_class.repeat(variables.classes)


class _LinearFit(NamedTuple):
    """σ linear in ε and α, as the force conjugate to the strain features of all classes.

    Attributes:
        back: From σ/E to that force.
        moduli, axes: Eigenvalues and axes of M_εε.
        coupling: M_εα.
        constant: The force at zero features.
        left: Root mean square that the fit leaves.
        size: That of the force about its mean.
    """

    back: Tensor
    moduli: Tensor
    axes: Tensor
    coupling: Tensor
    constant: Tensor
    left: Tensor
    size: Tensor


def _without_first(gradient: Tensor, count: int) -> Tensor:
    """Return a gradient without its first components."""
    return torch.cat([torch.zeros_like(gradient[..., :count]), gradient[..., count:]], -1)


def _positive(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, made positive, and axes of a symmetric matrix."""
    values, axes = torch.linalg.eigh(matrix)
    least = 1e-3 * values.abs().max().clamp(min=1e-6)
    return torch.maximum(values, least), axes


def _mixing_bound(variables: InternalVariables) -> Tensor:
    """Return the least Hessian of Σ p ln p in α: 2 (I + 11ᵀ) for each population."""
    matrix = torch.zeros(variables.size, variables.size, dtype=torch.float64)
    for first, states in variables.groups:
        own = slice(first, first + states - 1)
        matrix[own, own] = 2.0 * (torch.eye(states - 1, dtype=torch.float64) + 1.0)
    return matrix


def _near_identity(orbits: Tensor, pairs: int, size: int, generator: torch.Generator) -> Tensor:
    shared = uniform((pairs, size, size), 0.1, generator)
    own = torch.unique(torch.diagonal(orbits))
    shared[own] += 0.7 * torch.eye(size, dtype=torch.float64)
    return shared
