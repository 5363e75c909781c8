"""Cost of a simulation: iterations, worst local residual, and time of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

PARTS = ("law", "assembly", "solve")


@dataclass
class Statistics:
    """Counts since the problem was made, the same on all ranks, and times of this rank.

    Attributes:
        solves: Global solves, failed ones included.
        failures: Solves that failed.
        iterations: Newton iterations of all solves.
        worst_residual: Largest scaled residual of a local update in a converged solve.
        seconds: Time in the law (strains included), in the assembly of vectors and matrices, and
            in the rest of Newton's method (linear solves, line search).
    """

    solves: int = 0
    failures: int = 0
    iterations: int = 0
    worst_residual: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    def count(self, iterations: int, converged: bool, local_residual: float = 0.0) -> None:
        """Add a solve."""
        self.solves += 1
        self.failures += not converged
        self.iterations += iterations
        self.worst_residual = max(self.worst_residual, local_residual)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of a block to a part, and subtract it from the part around it.

        Raises:
            ValueError: If there is no such part.
        """
        if part not in self.seconds:
            raise ValueError(f"Statistics: part must be one of {PARTS}; found {part!r}.")
        before = sum(self.seconds.values())
        start = perf_counter()
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - before
            self.seconds[part] += perf_counter() - start - inside

    def fraction(self, part: str) -> float:
        """Fraction of the time in ``law``, ``assembly`` or ``solve``; 0 before any solve."""
        total = sum(self.seconds.values())
        return self.seconds[part] / total if total > 0.0 else 0.0

    def sentence(self) -> str:
        """The statistics as one sentence for a log."""
        fractions = ", ".join(f"{part} {100.0 * self.fraction(part):.0f} %" for part in PARTS)
        return (
            f"{self.solves} solves ({self.failures} failed), {self.iterations} iterations, worst "
            f"local residual {self.worst_residual:.1e}; {sum(self.seconds.values()):.3g} s: "
            f"{fractions}"
        )
