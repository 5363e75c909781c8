"""Order and kind of strain components: what the manifest declares, and what its names show."""

from __future__ import annotations

from collections.abc import Sequence

from ..files.former_format import MANDEL, axes_of, names_engineering_strain
from .manifest import Manifest

ORDERS = MANDEL
"""Components by their number: space, plane strain, the plane."""


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
