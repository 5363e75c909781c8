"""Order and kind of strain components, as far as their names show them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .manifest import Manifest

ORDER = ("xx", "yy", "zz", "xy", "xz", "yz")
"""Mandel components of a strain in space, with factor √2 on shear."""

ORDERS = {6: ORDER, 4: ORDER[:4], 3: ("xx", "yy", "xy")}
"""Components by their number: space, plane strain, the plane."""

_AXES = re.compile(r"(?:^|[^A-Za-z0-9])([xyzXYZ]{2}|[123]{2})$")
_ENGINEERING = re.compile(r"gamma|γ|engineering", re.IGNORECASE)


def measure_of(manifest: Manifest) -> str:
    """The manifest's description of the strain; empty where there is none."""
    return str(manifest.raw.get("strain", {}).get("measure", ""))


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
        match = _AXES.search(name)
        axes = "" if match is None else match[1].lower().translate(str.maketrans("123", "xyz"))
        if axes and "".join(sorted(axes)) != expected[position]:
            return f"component {position} must be {expected[position]} and is {name}"
        if _ENGINEERING.search(name):
            return f"{name} names an engineering shear strain"
    if _ENGINEERING.search(measure):
        return f"its strain is described as {measure!r}"
    return ""
