"""Kinematics: how the strains of a law follow from a displacement field.

At a quadrature point the finite-element side has a *measure* of deformation E(u) of ``size``
components, linear in u (du/dx in a bar; the six strains in Mandel order; the displacement gradient
at finite strain). A kinematics turns it into the strains of the law in one or more *integration
directions* and collects the answers:

    ε_k = ε_k(E),   W(E) = Σ_k w_k f(ε_k, α_k),   S = ∂W/∂E,   C = dS/dE.

The virtual work is ∫ S · δE weight dx with δE = ``variation(v)``, and its derivative
∫ (C δE[du]) · δE[v] weight dx. Everything between ``strains`` and ``gather`` is NumPy on blocks of
points, so a new kinematics is one small class without DOLFINx calls.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..kernels.base import FloatArray, LocalUpdate
from ..model.manifest import Manifest


class Kinematics(Protocol):
    """Map between a displacement gradient in UFL and the strains of a law; inherit from it.

    Attributes:
        direction_count: Number of integration directions at each quadrature point; 1 unless the
            law is that of a network.
        shape: UFL shape of the measure and of ``law.stress``: ``()`` or ``(size,)``.
        condensed: Components of the measure that are not functions of u but follow from zero
            conjugate stress at every point (the thickness strain of plane stress).
        stress_free: Subtract the law's initial stress σ₀, so that the reference state bears none.
    """

    direction_count: int
    shape: tuple[int, ...]
    condensed: tuple[int, ...] = ()
    stress_free: bool = False

    def check(self, mesh: Any, manifest: Manifest) -> None:
        """Raise :class:`ValueError` where this kinematics cannot serve the mesh or the law."""
        ...

    def measure(self, u: Any) -> Any:
        """E(u) as a UFL expression of :attr:`shape`, linear in ``u``; condensed components 0."""
        ...

    def variation(self, v: Any) -> Any:
        """δE in direction ``v`` (test or trial function) as a UFL expression of :attr:`shape`."""
        return self.measure(v)

    def weight(self, mesh: Any) -> Any:  # noqa: ARG002
        """Factor of the volume element in UFL: a cross-section, 2πr, or 1."""
        return 1.0

    def strains(self, measure: FloatArray, out: FloatArray) -> None:
        """Write ε_k: ``measure`` (n, size) → ``out`` (n * direction_count, n_ε)."""
        ...

    def gather(
        self, measure: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Write S (n, size) and C (n, size * size) from the updates in all directions."""
        ...

    def average(self, values: FloatArray, out: FloatArray) -> None:
        """Write Σ_k w_k values_k: (n * direction_count,) → (n,); for energy and dissipation."""
        ...

    def energy(self, measure: FloatArray, update: LocalUpdate, out: FloatArray) -> None:  # noqa: ARG002
        """Write W (n,): the law's energy and any other energy from which S derives."""
        self.average(update.energy, out)

    def mean(self, values: FloatArray) -> FloatArray:
        """Mean over the directions with their weights: (n, directions, k) → (n, k)."""
        mean: FloatArray = values.mean(axis=1)
        return mean
