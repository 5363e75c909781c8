"""Laws of the elongations of fixed directions of a material, at finite strain.

A law of a lattice depends on the strain through e = A ε, where the row A_a = l_a n_a⊗n_a (Mandel)
belongs to a direction with the unit vector n_a and the length l_a. At finite strain the elongations
are those of the deformed directions, and the strain that the law is given is the one that has them:

    e_a = l_a (λ_a − 1),   λ_a = |F n_a|,   ε = A⁻¹ e,

so W(F) = f(ε(F), α). With the Green–Lagrange strain E, λ_a² = 1 + 2 n_a·E n_a, M = ∂ε/∂E =
A⁻¹ diag(1/λ_a) A and s = A⁻ᵀ σ, the tension ∂f/∂e_a of each direction,

    S = Mᵀ σ = Σ_a s_a A_a/λ_a,   ∂S/∂E = Mᵀ C M − Σ_a s_a/(l_a λ_a³) A_a⊗A_a.

P = F S = Σ_a s_a l_a (F n_a)⊗n_a/λ_a. The strain that a kernel is given is a function of FᵀF alone:
its update of the internal variables is objective, too.
"""

from __future__ import annotations

import numpy as np

from ..kernels.base import FloatArray, LocalUpdate
from .settings import MANDEL, ROOT2, Setting

_ROUND_OFF = 1e-9


class StretchMap:
    """One evaluation of a law whose strain is that of the true stretches of its directions.

    Args:
        basis: A, shape ``(n_ε, n_ε)``, from :func:`direction_basis`.
        law_strains: Positions of the law's strains among the six Mandel components.
        setting: Space, plane, rotational symmetry or bar.

    Attributes:
        lengths: l_a, shape ``(n_ε,)``.
    """

    direction_count = 1
    density = 1.0

    def __init__(self, basis: FloatArray, law_strains: tuple[int, ...], setting: Setting) -> None:
        self.law_strains = len(law_strains)
        self.weights = np.ones(1)
        self.lengths = traces(basis, law_strains)
        columns = [law_strains.index(a) for a in setting.strains]
        rows = basis[:, columns]
        self._rows = np.ascontiguousarray(rows)
        self._inverse = np.linalg.inv(basis)
        self._outer = (rows[:, :, np.newaxis] * rows[:, np.newaxis, :]).reshape(len(rows), -1)

    def strains(self, e: FloatArray, out: FloatArray) -> None:
        """ε = A⁻¹ e of the Green–Lagrange strain: (n, k) → (n, n_ε)."""
        square = (2.0 / self.lengths) * (e @ self._rows.T)
        with np.errstate(invalid="ignore"):  # λ − 1 = (λ² − 1)/(1 + λ), exact for small strains
            elongation = self.lengths * square / (1.0 + np.sqrt(1.0 + square))
        np.matmul(elongation, self._inverse.T, out=out)

    def gather(
        self, e: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Write the second Piola–Kirchhoff stress and its derivative, the geometric part in it."""
        size = self.law_strains
        with np.errstate(all="ignore"):
            stretch = np.sqrt(1.0 + (2.0 / self.lengths) * (e @ self._rows.T))
            tension = (update.stress @ self._inverse) / stretch  # s_a/λ_a
            np.matmul(tension, self._rows, out=stress)
            slope = self._rows / stretch[:, :, np.newaxis]  # diag(1/λ_a) A
            stiffness = self._inverse.T @ update.tangent.reshape(-1, size, size) @ self._inverse
            material = slope.transpose(0, 2, 1) @ stiffness @ slope
            geometric = (tension / (self.lengths * stretch**2)) @ self._outer
            np.subtract(material.reshape(geometric.shape), geometric, out=tangent)


def direction_basis(
    strain_basis: FloatArray | None, law_strains: tuple[int, ...], name: str
) -> FloatArray:
    """Return A, shape ``(n_ε, n_ε)``, of a law that depends on strain through directions alone.

    Args:
        strain_basis: Of the manifest, shape ``(n_class, q, n_ε)``; None where it has none.
        law_strains: Positions of the law's strains among the six Mandel components.
        name: Name of the law, for messages.

    Raises:
        ValueError: Unless every class sees one strain, that of a direction, l n·ε n, and these
            strains are as many as the law has and independent.
    """
    size = len(law_strains)
    need = (
        f"DirectionStretch: needs a law of {size} strains whose {size} classes of elements each "
        "see the elongation of one direction (strain_basis of the manifest, rows l n⊗n)"
    )
    advice = "Use FullStrain(finite=True), whose strain is that of Green and Lagrange."
    if strain_basis is None:
        raise ValueError(f"{need}; {name} has no strain_basis. {advice}")
    classes, rows, _ = strain_basis.shape
    if (classes, rows) != (size, 1):
        raise ValueError(
            f"{need}; {name} has {classes} class{'es' if classes > 1 else ''} of {rows} strain"
            f"{'s' if rows > 1 else ''} each. {advice}"
        )
    basis = strain_basis[:, 0]
    for number, tensor in enumerate(tensors(basis, law_strains), start=1):
        length = float(np.trace(tensor))
        # Of a symmetric tensor with a positive trace, tr(T²) = (tr T)² only where it is l n⊗n.
        if not length > 0.0 or not abs(np.sum(tensor**2) - length**2) <= _ROUND_OFF * length**2:
            raise ValueError(
                f"{need}; of {name}, the strain of class {number} is not that of a direction "
                f"(eigenvalues {', '.join(f'{x:.3g}' for x in np.linalg.eigvalsh(tensor))}, of "
                f"which one must be positive and the others 0). {advice}"
            )
    if not np.linalg.cond(basis) < 1.0 / _ROUND_OFF:
        raise ValueError(
            f"{need}; the directions of {name} are not independent: their elongations do not give "
            f"the strain. {advice}"
        )
    return basis


def tensors(basis: FloatArray, law_strains: tuple[int, ...]) -> FloatArray:
    """Rows in Mandel components as symmetric tensors, shape ``(m, 3, 3)``."""
    result = np.zeros((len(basis), 3, 3))
    for column, a in enumerate(law_strains):
        i, j = MANDEL[a]
        result[:, i, j] = result[:, j, i] = basis[:, column] / (1.0 if i == j else ROOT2)
    return result


def traces(basis: FloatArray, law_strains: tuple[int, ...]) -> FloatArray:
    """Traces of the rows: l of l n⊗n."""
    return np.asarray(np.trace(tensors(basis, law_strains), axis1=1, axis2=2))
