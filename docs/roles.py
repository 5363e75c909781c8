"""Docstrings as Markdown: roles of reStructuredText become code or formulas (Griffe extension)."""

from __future__ import annotations

import re
from typing import Any

import griffe

MATH = re.compile(r":math:`([^`]*)`", re.DOTALL)
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]*)`")


class Roles(griffe.Extension):
    """Rewrite the docstring of every object."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:  # noqa: ARG002
        """Called once for each object that was read."""
        if obj.docstring is not None:
            text = MATH.sub(lambda match: f"${' '.join(match[1].split())}$", obj.docstring.value)
            obj.docstring.value = ROLE.sub(lambda match: f"`{match[1]}`", text)
