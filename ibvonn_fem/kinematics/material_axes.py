"""Axes of an anisotropic material as a UFL tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl

from .settings import Setting, Symmetry

ROUND_OFF = 1e-10


def axes_of(given: Any, setting: Setting) -> Any:
    """Return Q, UFL ``(3, 3)``, whose columns are the axes of the material.

    Args:
        given: In the plane an angle in radians from x to the first axis; in space Q itself. Numbers
            or UFL expressions.
        setting: Of the solid.

    Raises:
        ValueError: If the shape does not fit, or numbers are not finite and orthonormal.
    """
    if setting.symmetry not in (Symmetry.PLANE, Symmetry.SPACE):
        raise ValueError(
            f"{setting.name}: axes of the material are for solids in the plane or in space. Leave "
            "them out."
        )
    if _is_tensor(given):  # of the solid that is wrapped
        return given
    plane = setting.symmetry is Symmetry.PLANE
    shape, words = ((), "an angle") if plane else ((3, 3), "a 3 × 3 matrix")
    value = given if hasattr(given, "ufl_shape") else np.asarray(given, dtype=np.float64)
    given = value.ufl_shape if hasattr(value, "ufl_shape") else value.shape
    if tuple(given) != shape:
        raise ValueError(f"{setting.name}: axes must be {words}; found the shape {tuple(given)}.")
    if isinstance(value, np.ndarray):
        if plane:
            value = float(value)
            ok = bool(np.isfinite(value))
        else:
            ok = bool(np.abs(value @ value.T - np.eye(3)).max() < ROUND_OFF)
        if not ok:
            raise ValueError(
                f"{setting.name}: axes must be {words}"
                f"{'' if plane else ' with orthonormal columns'}, of finite numbers; found "
                f"{given!r}."
            )
    if not plane:
        return ufl.as_tensor(value.tolist()) if isinstance(value, np.ndarray) else value
    c, s = ufl.cos(value), ufl.sin(value)
    return ufl.as_tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _is_tensor(given: Any) -> bool:
    return tuple(getattr(given, "ufl_shape", ())) == (3, 3)
