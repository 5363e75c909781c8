"""Order and kind of strain components: what a manifest declares, and how another code has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..files.former_format import MANDEL, axes_of, names_engineering_strain
from ..kernels.base import FloatArray
from .manifest import Manifest

ORDERS = MANDEL
"""Components by their number: space, plane strain, the plane."""

ABAQUS = ("xx", "yy", "zz", "xy", "xz", "yz")
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
TENSOR = ("xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz")


def mandel_matrix(size: int, host: Sequence[str] = ABAQUS) -> FloatArray:
    r"""Return the matrix M that turns a law's components into those of another code, and back.

    With Mandel's strain ε, stress σ and tangent C, and the host's strain and stress conjugate,

    .. math:: σ_h = M σ, \qquad ε = M^T ε_h, \qquad C_h = M C M^T,

    as σ·ε = σ_h·ε_h. A component xy that the host lists once is conjugate to the engineering shear
    γ_xy = 2 ε_xy; listed twice, as xy and yx, it is one of the full tensor, ε_xy. Normal and shear
    components that the law does not have get no stress; strains that the host does not have are 0.

    Args:
        size: Strain components of the law: 6 (xx yy zz xy xz yz), 4 (xx yy zz xy), 3 (xx yy xy).
        host: Components of the other code in its order, as ``("xx", "yy", "zz", "yz", "xz", "xy")``
            (``VOIGT``; the default is ``ABAQUS``, the nine of a tensor are ``TENSOR``).

    Returns:
        M, shape ``(len(host), size)``: 1 for normal components, 1/√2 for shear.

    Raises:
        ValueError: If no law of a solid has this size, or a component is not one of a tensor.
    """
    if size not in ORDERS:
        raise ValueError(f"mandel_matrix: size must be 6, 4 or 3 strain components; found {size}.")
    unknown = sorted(set(host) - set(TENSOR))
    if unknown:
        raise ValueError(
            f"mandel_matrix: components must be among {', '.join(TENSOR)}; found "
            f"{', '.join(unknown)}. Name the axes x, y and z."
        )
    matrix = np.zeros((len(host), size))
    for row, axes in enumerate(host):
        for column, own in enumerate(ORDERS[size]):
            if sorted(axes) == sorted(own):
                matrix[row, column] = 1.0 if axes[0] == axes[1] else np.sqrt(0.5)
    return matrix


def not_mandel(manifest: Manifest) -> str:
    """Why a law's strain is not one in Mandel order, in words; empty if it is.

    Manifests of format 1 do not declare an order: of them, names without axes (``strain_0``) are
    taken for Mandel's.
    """
    strain = manifest.raw.get("strain", {})
    wrong = misplaced(manifest.strain_components, str(strain.get("measure", "")))
    declared = manifest.raw.get("format", 1) > 1 and manifest.strain_size in ORDERS
    if not wrong and declared and manifest.strain_order != "mandel":
        return f"its manifest declares the order {manifest.strain_order!r} of its strains"
    return wrong


def misplaced(names: Sequence[str], measure: str = "") -> str:
    """What in the names (or the description of the measure) contradicts the Mandel order.

    Names without axes (``strain_0``) are not checked.

    Args:
        names: Names of the strain components, such as ``strain_xx``.
        measure: The manifest's description of them.

    Returns:
        Words for a message; empty if there is no contradiction.
    """
    expected = ORDERS.get(len(names))
    if expected is None:
        return ""
    for position, name in enumerate(names):
        if axes_of(name) not in ("", expected[position]):
            return f"component {position} must be {expected[position]} and is {name}"
        if names_engineering_strain(name):
            return f"{name} names an engineering shear strain"
    if names_engineering_strain(measure):
        return f"its strain is described as {measure!r}"
    return ""
