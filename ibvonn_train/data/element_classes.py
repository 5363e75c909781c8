"""Classes of like elements of a material point, and the symmetries that exchange them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ClassSymmetry:
    """One element of the symmetry group of a material.

    Attributes:
        classes: Permutation π: class c becomes class π(c), shape ``(n_class,)``.
        strain: Matrix that acts on strain (and stress) at the same time, ``(n_ε, n_ε)``.
    """

    classes: tuple[int, ...]
    strain: FloatArray

    @classmethod
    def identity(cls, classes: int, strain_size: int) -> ClassSymmetry:
        """Return the element that changes nothing."""
        return cls(tuple(range(classes)), np.eye(strain_size))


def default_basis(classes: int, strain_size: int) -> FloatArray:
    """Return the strain basis of one class, the strain itself: shape ``(1, n_ε, n_ε)``.

    Raises:
        ValueError: If there are several classes, whose strain features cannot be guessed.
    """
    if classes > 1:
        raise ValueError(
            f"strain_basis must be given for {classes} classes: A of shape (n_class, q, n_strain) "
            "with the strain features e_a = A_a ε of each class. It is the identity for one class."
        )
    return np.eye(strain_size)[None]


def require_classes(
    classes: Sequence[str], basis: FloatArray, symmetry: Sequence[ClassSymmetry], strain_size: int
) -> None:
    """Check that classes, strain basis and symmetry belong together.

    Raises:
        ValueError: If names repeat, shapes differ, or a symmetry is none of the strain basis.
    """
    count = len(classes)
    if not count or len(set(classes)) < count or not all(classes):
        raise ValueError(f"classes must be one or more different names; found {tuple(classes)}.")
    if basis.ndim != 3 or basis.shape[0] != count or basis.shape[2] != strain_size:
        raise ValueError(
            f"strain_basis must have the shape (n_class, q, n_strain) = ({count}, q, "
            f"{strain_size}); found {basis.shape}."
        )
    if not symmetry:
        raise ValueError("symmetry must hold at least the identity; found nothing.")
    for number, element in enumerate(symmetry):
        if sorted(element.classes) != list(range(count)):
            raise ValueError(
                f"symmetry[{number}].classes must be a permutation of 0 … {count - 1}; found "
                f"{element.classes}."
            )
        if element.strain.shape != (strain_size, strain_size):
            raise ValueError(
                f"symmetry[{number}].strain must have the shape {(strain_size, strain_size)}; "
                f"found {element.strain.shape}."
            )
        # e of class π(c) at the transformed strain is e of class c, up to a rotation within e.
        moved = basis[list(element.classes)] @ element.strain
        gap = np.abs(np.swapaxes(moved, 1, 2) @ moved - np.swapaxes(basis, 1, 2) @ basis).max()
        if gap > ROUNDING * max(1.0, float((basis**2).sum((1, 2)).max())):
            raise ValueError(
                f"symmetry[{number}]: A of class π(c) times the strain matrix must be A of class c "
                f"up to a rotation; they differ by {gap:.3g}. Correct the permutation, the matrix "
                "or strain_basis."
            )
