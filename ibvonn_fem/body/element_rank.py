"""Whether a quadrature rule leaves motions of an element without force: hourglass modes.

The stiffness of a cell is Σ_q w_q B_qᵀ C B_q with the strains B_q of the shape functions at the
points q. Its rank is that of all rows B_q together, C being positive definite. A rule is poor where
this rank is below that of a rule so rich that only rigid motions have no strain. The rank on the
reference cell is that on every affine cell: with x = J X and û = Jᵀu, strains change by congruence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import basix
import numpy as np
import ufl

from ..kernels.base import FloatArray
from ..kinematics.settings import Symmetry
from ..warning import warn

_TOLERANCE = 1e-10  # of eigenvalues, relative to the largest


def warn_of_poor_rule(name: str, u: Any, degree: int, kinematics: Any, comm: Any) -> None:
    """Warn where a motion of a cell other than a rigid one meets no resistance.

    Args:
        name: Name of the law.
        u: Displacement of the law: a Function, a part of one, or a sum of such.
        degree: Degree of the quadrature rule.
        kinematics: Kinematics of the law; in rotational symmetry the hoop strain u_r / r resists
            too.
        comm: Communicator of the mesh; the call is collective.
    """
    symmetry = getattr(getattr(kinematics, "setting", None), "symmetry", None)
    rotational = symmetry is Symmetry.ROTATIONAL
    for element in strained_elements(u):
        missing = missing_rank(element, degree, rotational)
        if missing:
            enough = degree + 1
            while missing_rank(element, enough, rotational):
                enough += 1
            points = len(basix.make_quadrature(element.cell_type, degree)[1])
            warn(
                f"InternalVariableLaw: {name!r} has {points} quadrature point(s) in one "
                f"{element.cell_type.name} of order {_order(element)}; {missing} of "
                "its motions beside the rigid ones meet no resistance there (hourglass modes). "
                f"Take quadrature_degree={enough}.",
                comm=comm,
            )


def strained_elements(u: Any) -> list[Any]:
    """Elements of the Functions in u; of mixed ones the parts whose components occur in u."""
    elements = []
    expression = ufl.as_ufl(u)
    for function in ufl.algorithms.extract_coefficients(expression):
        element = function.ufl_element()
        parts = element.sub_elements
        if parts and element.block_size == 1:
            indices = _components(expression, function)
            ends = np.cumsum([part.reference_value_size for part in parts])
            numbers = {int(np.searchsorted(ends, index, side="right")) for index in indices}
            elements += [parts[i] for i in sorted(numbers)]
        else:
            elements.append(element)
    return elements


def _components(expression: Any, function: Any) -> set[int]:
    """Flat components of a Function that occur in an expression."""
    indices = [
        node.ufl_operands[1]
        for node in ufl.corealg.traversal.unique_pre_traversal(expression)
        if isinstance(node, ufl.classes.Indexed) and node.ufl_operands[0] == function
    ]
    return {int(index[0]) for index in indices if isinstance(index[0], ufl.classes.FixedIndex)}


@lru_cache(maxsize=256)
def missing_rank(element: Any, degree: int, rotational: bool = False) -> int:
    """Motions of a cell, beside those without strain, that a rule of a degree does not see."""
    return _full_rank(element, rotational) - _rank(element, degree, rotational)


@lru_cache(maxsize=64)
def _full_rank(element: Any, rotational: bool) -> int:
    """Rank of a rule that integrates the square of every strain."""
    return _rank(element, 2 * element.embedded_superdegree, rotational)


def _rank(element: Any, degree: int, rotational: bool) -> int:
    points, _ = basix.make_quadrature(element.cell_type, degree)
    rows = _strains(element, points, rotational)
    eigenvalues = np.linalg.eigvalsh(rows.T @ rows)
    return int(np.count_nonzero(eigenvalues > _TOLERANCE * eigenvalues[-1]))


def _strains(element: Any, points: FloatArray, rotational: bool) -> FloatArray:
    """Strains of all shape functions at all points of the reference cell, shape (rows, dofs)."""
    values, gradients = _tabulated(element, points)
    _, components, dimension, dofs = gradients.shape
    if dimension == 1:  # along the axis of a bar
        return gradients[:, 0, 0]
    if components != dimension:
        return gradients.reshape(-1, dofs)
    strain = 0.5 * (gradients + gradients.swapaxes(1, 2)).reshape(-1, dofs)
    if not rotational:
        return strain
    radius = 1.0 + points[:, 0]  # away from the axis
    return np.concatenate([strain, values[:, 0] / radius[:, np.newaxis]])


def _tabulated(element: Any, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shape functions (points, components, dofs), and gradients with an axis of directions."""
    blocks = element.block_size
    part = element.sub_elements[0] if blocks > 1 else element
    size = part.reference_value_size
    table = part.tabulate(1, points).reshape(1 + points.shape[1], len(points), size, -1)
    whole = np.kron(table.transpose(0, 1, 3, 2), np.eye(blocks)[None, None]).transpose(0, 1, 3, 2)
    values: FloatArray = whole[0]
    return values, whole[1:].transpose(1, 2, 0, 3)


def _order(element: Any) -> int:
    """Degree up to which the element has all polynomials."""
    return int(element.embedded_subdegree)
