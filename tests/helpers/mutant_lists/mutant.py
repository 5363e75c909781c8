"""One wrong line, and the tests that notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Attributes:
        name: What is wrong.
        file: Relative to the root.
        old, new: Text, and what stands in its place; ``old`` occurs once in the file.
        tests: Arguments of pytest.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
