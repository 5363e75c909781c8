"""Wrong lines of the sources, each with the tests that notice it."""

from __future__ import annotations

from . import audits, data, finite_elements, laws
from .mutant import Mutant as Mutant

MUTANTS: tuple[Mutant, ...] = (
    *data.MUTANTS,
    *laws.MUTANTS,
    *audits.MUTANTS,
    *finite_elements.MUTANTS,
)
