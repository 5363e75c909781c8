"""Deformation of a lattice whose directions have given true elongations.

The strain of a lattice with true bond lengths is the one that gives the elongations of the affine
motion exactly as at small strain, e = A ε, whatever their size:

    λ_a = 1 + e_a/l_a = |U n_a|,   E = A⁻¹ [l_a (λ_a² − 1)/2],   U = √(1 + 2E),

so three (in space six) independent directions determine the right stretch tensor U; rotations do
not change the energy and are left out. A small strain is ε itself to the first order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .lattice_geometry import LatticeGeometry, shears


def stretch_tensor(strain: Tensor, lattice: LatticeGeometry) -> Tensor:
    """Return U, ``(…, d, d)``, at strains in Mandel order, ``(…, n_ε)``."""
    values, vectors, _ = _spectrum(strain, lattice)
    return (vectors * values[..., None, :]) @ vectors.mT


def stretch_slope(strain: Tensor, lattice: LatticeGeometry) -> Tensor:
    """Return ∂U/∂ε, ``(…, d, d, n_ε)``: from U dU + dU U = 2 dE in the principal axes of U."""
    values, vectors, stretch = _spectrum(strain, lattice)
    basis = torch.from_numpy(lattice.strain_basis).to(strain)
    # dE = A⁻¹ diag(λ) A dε
    green = torch.linalg.solve(basis, stretch[..., :, None] * basis)
    change = 2.0 * _tensors(green.mT, lattice.dimension)  # (…, n_ε, d, d)
    axes = vectors[..., None, :, :]
    turned = axes.mT @ change @ axes
    slope = (
        axes @ (turned / (values[..., :, None] + values[..., None, :])[..., None, :, :]) @ axes.mT
    )
    return slope.movedim(-3, -1)


def _spectrum(strain: Tensor, lattice: LatticeGeometry) -> tuple[Tensor, Tensor, Tensor]:
    """Return the principal stretches, the principal axes as columns, and the stretches λ_a."""
    basis = torch.from_numpy(lattice.strain_basis).to(strain)
    lengths = torch.from_numpy(lattice.lengths).to(strain)
    stretch = 1.0 + strain @ basis.T / lengths
    half = 0.5 * lengths * (stretch**2 - 1.0)
    green = torch.linalg.solve(basis, half[..., None])[..., 0]
    one = torch.eye(lattice.dimension, dtype=strain.dtype, device=strain.device)
    squares, vectors = torch.linalg.eigh(one + 2.0 * _tensors(green, lattice.dimension))
    if not bool((stretch > 0.0).all() & (squares > 0.0).all()):
        raise ValueError(
            "periodic_lattice: strains must leave every direction a positive length (1 + e_a/l_a) "
            "and the cell a positive volume; found one that does not. Reduce the compression."
        )
    return squares.sqrt(), vectors, stretch


def _tensors(components: Tensor, size: int) -> Tensor:
    """Return symmetric tensors of Mandel components ``(…, n_ε)``, ``(…, d, d)``."""
    rows, columns = shears(size)
    result = torch.diag_embed(components[..., :size])
    shear = components[..., size:] / float(np.sqrt(2.0))
    for number, (i, j) in enumerate(zip(rows, columns, strict=True)):
        unit = torch.zeros(size, size, dtype=components.dtype, device=components.device)
        unit[i, j] = unit[j, i] = 1.0
        result = result + shear[..., number, None, None] * unit
    return result
