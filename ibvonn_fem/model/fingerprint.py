"""Checksums of values: equal if two objects hold the same numbers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_BY_CLASS = {"basix", "dolfinx", "mpi4py", "petsc4py", "ufl"}
"""Packages whose objects enter by their class alone: their numbers change from run to run."""


def digest(*contents: object) -> str:
    """Sha256 of values, of containers of them, and of the attributes of objects."""
    total = hashlib.sha256()
    for content in contents:
        _feed(total, content, ())
    return total.hexdigest()


def _feed(total: Any, content: object, around: tuple[int, ...]) -> None:
    if isinstance(content, np.ndarray):
        total.update(f"{content.shape}{content.dtype}".encode())
        total.update(np.ascontiguousarray(content).tobytes())
    elif isinstance(content, Mapping):
        total.update(f"{len(content)}".encode())
        for key in sorted(content, key=str):
            total.update(f"{key}=".encode())
            _feed(total, content[key], around)
    elif isinstance(content, tuple | list):
        total.update(f"{len(content)}".encode())
        for item in content:
            _feed(total, item, around)
    elif isinstance(content, str | int | float | bool | np.generic | None):
        total.update(repr(content).encode())
    else:
        _feed_object(total, content, around)


def _feed_object(total: Any, content: object, around: tuple[int, ...]) -> None:
    kind = type(content)
    total.update(f"{kind.__module__}.{kind.__qualname__}".encode())
    if isinstance(content, functools.partial):
        values: Any = (content.func, content.args, content.keywords)
    elif callable(content) and hasattr(content, "__qualname__"):
        values = (content.__module__, content.__qualname__)
    else:
        # Cached properties follow from the others and may not have been evaluated.
        values = {
            name: value
            for name, value in getattr(content, "__dict__", {}).items()
            if not isinstance(getattr(kind, name, None), functools.cached_property)
        }
    if kind.__module__.partition(".")[0] not in _BY_CLASS and id(content) not in around:
        _feed(total, values, (*around, id(content)))
