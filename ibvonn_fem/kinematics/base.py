"""What links a displacement field to the law: a small exchangeable part.

At a quadrature point the finite-element side knows a *measure* of deformation E(u) of ``size``
components, affine in u (du/dx in a bar; the six strains in Mandel order; the nine components of F).
A kinematics turns it into the strains of one or more *law points* and collects their answers:

    ε_k = ε_k(E),   W(E) = Σ_k w_k f(ε_k, α_k),   S = ∂W/∂E,   C = dS/dE.

The virtual work is ∫ S · δE weight dx with δE = ``variation(v)``, and its derivative
∫ (C δE[du]) · δE[v] weight dx. Everything between ``strains`` and ``gather`` is NumPy on blocks of
points, so a new kinematics is one small class without DOLFINx calls.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..kernels.base import FloatArray, LocalUpdate
from ..manifest import Manifest


class Kinematics(Protocol):
    """Map between a displacement gradient in UFL and the strains of a law."""

    @property
    def law_points(self) -> int:
        """Number of law points at each quadrature point (directions of a microsphere; else 1)."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """UFL shape of the measure and of ``law.stress``: ``()`` or ``(size,)``."""
        ...

    def check(self, mesh: Any, manifest: Manifest) -> None:
        """Raise :class:`ValueError` where this kinematics cannot serve the mesh or the law."""
        ...

    def measure(self, u: Any) -> Any:
        """E(u) as a UFL expression of :attr:`shape`, affine in ``u``."""
        ...

    def variation(self, v: Any) -> Any:
        """δE in direction ``v`` (test or trial function) as a UFL expression of :attr:`shape`."""
        ...

    def weight(self, mesh: Any) -> Any:
        """Factor of the volume element in UFL: a cross-section, 2πr, or 1."""
        ...

    def strains(self, measure: FloatArray, out: FloatArray) -> None:
        """Write ε_k: ``measure`` (n, size) → ``out`` (n * law_points, n_ε)."""
        ...

    def gather(
        self, measure: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Write S (n, size) and C (n, size * size) from the answers at n * law_points points."""
        ...

    def average(self, values: FloatArray, out: FloatArray) -> None:
        """Write Σ_k w_k values_k: (n * law_points,) → (n,); used for energy and dissipation."""
        ...
