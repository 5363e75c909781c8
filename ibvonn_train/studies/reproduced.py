"""The studies that ``ibvonn reproduce`` repeats, and how small their errors must be."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import published


@dataclass(frozen=True)
class Quantity:
    """One line of the table.

    Attributes:
        label: Name in the table.
        ensemble: Name of the set of the study.
        key: "MODE/QUANTITY" of the errors, the name of a potential, or that of an audit.
        median: Largest median over the seeds that is accepted, in per cent; None for none.
        worst: Largest error of any seed that is accepted.
        published: Key of the published error.
    """

    label: str
    ensemble: str
    key: str
    median: float | None = None
    worst: float | None = None
    published: str = ""


@dataclass(frozen=True)
class Study:
    """One system: what is simulated and learned, and what is compared.

    Attributes:
        name: Name of the study and of its TOML.
        quantities: Lines of the table.
        published: Errors that the paper's reference implementation prints.
        closed_form: Whether the closed-form law of two-well springs is compared, too.
        slow: Set of slow protocols, for Jarzynski's equality.
        certified: Whether every audit must pass.
        repetitions: Replicas of the noise-free reference over those of the test set.
        twice_the_floor: Whether errors must lie within twice the sampling error.
    """

    name: str
    quantities: tuple[Quantity, ...]
    published: dict[str, float] = field(default_factory=dict)
    closed_form: bool = False
    slow: str | None = None
    certified: bool = False
    repetitions: int = 10
    twice_the_floor: bool = False

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the sets that no training sees."""
        return tuple(dict.fromkeys(line.ensemble for line in self.quantities))


RELAXED = "equilibrium response"
"""Audit of the relaxed stress."""

TRAP = Study(
    "trap",
    (
        Quantity("F_ex", "test", "controlled/stress", 0.075, 0.09, "force/test"),
        Quantity("F_ex", "linear", "controlled/stress", 0.16, 0.2, "force/linear"),
        Quantity("α", "test", "controlled/internal", published="internal/test"),
        Quantity("α", "linear", "controlled/internal", published="internal/linear"),
        Quantity("mean position", "test", "controlled/mean_position"),
        Quantity("mean position", "linear", "controlled/mean_position"),
        Quantity("f", "test", "free_energy", published="free_energy/test"),
        Quantity("φ", "test", "dual_dissipation", published="dual_dissipation/test"),
    ),
    published.TRAP,
    slow="slow",
)

PAPER_CHAIN = Study(
    "chain",
    (
        Quantity("ε", "test", "end/strain", 0.75, 0.975, "end/strain/test"),
        Quantity("ε", "sinusoidal", "end/strain", 0.8, 1.04, "end/strain/sinusoidal"),
        Quantity("F_ex", "test", "end/force", 1.1, 1.43, "end/force/test"),
        Quantity("F_ex", "sinusoidal", "end/force", 1.0, 1.3, "end/force/sinusoidal"),
        Quantity("ε, force-driven", "test", "force/strain", published="force/strain/test"),
        Quantity("α", "test", "end/internal", published="end/internal/test"),
        Quantity("open fraction", "test", "end/open_fraction"),
        Quantity("open fraction", "sinusoidal", "end/open_fraction"),
        Quantity("last spring", "test", "end/last_force"),
    ),
    published.CHAIN,
    closed_form=True,
)


def _two_well_chain(
    name: str, strain: tuple[float, ...], force: tuple[float, ...], relaxed: float | None
) -> Study:
    """Return the study of a chain with held ends: medians and worst seeds, fast and slow."""
    return Study(
        name,
        (
            Quantity("ε", "unseen_fast", "end/strain", strain[0], strain[1]),
            Quantity("ε", "unseen_slow", "end/strain", strain[2], strain[3]),
            Quantity("F_ex", "unseen_fast", "end/force", force[0], force[1]),
            Quantity("F_ex", "unseen_slow", "end/force", force[2], force[3]),
            Quantity("relaxed stress", "unseen_fast", RELAXED, relaxed, relaxed),
        ),
        closed_form=True,
        repetitions=2,
    )


STUDIES = {
    study.name: study
    for study in (
        TRAP,
        PAPER_CHAIN,
        _two_well_chain("unfolding_chain", (3.2, 3.6, 3.5, 3.8), (1.6, 2.0, 1.5, 2.0), 2.0),
        _two_well_chain("double_well_chain", (4.1, 4.7, 5.1, 5.9), (4.0, 4.6, 3.1, 3.6), None),
        Study(
            "unfolding_cell",
            (
                Quantity("stress", "unseen_fast", "controlled/stress", 1.1),
                Quantity("stress", "unseen_slow", "controlled/stress", 1.1),
                Quantity("relaxed stress", "unseen_fast", RELAXED, 0.3),
            ),
            closed_form=True,
            repetitions=4,
        ),
        Study(
            "lattice",
            (
                Quantity("stress", "unseen_samples", "controlled/stress"),
                Quantity("relaxed stress", "unseen_samples", "equilibrium of the cell", 1.0),
                Quantity("stress", "unseen_fast", "controlled/stress", 0.55, 1.3),
                Quantity("stress", "unseen_middle", "controlled/stress", 0.55, 1.3),
                Quantity("stress", "unseen_slow", "controlled/stress", 0.55, 1.3),
            ),
            repetitions=4,
        ),
        Study(
            "own",
            (Quantity("stress", "test", "controlled/stress"),),
            slow="slow",
            certified=True,
            twice_the_floor=True,
        ),
        Study(
            "three_wells",
            (Quantity("stress", "unseen", "controlled/stress"),),
            certified=True,
            twice_the_floor=True,
        ),
        Study(
            "two_degrees",
            (Quantity("stress", "unseen", "controlled/stress"),),
            certified=True,
            twice_the_floor=True,
        ),
    )
}
"""By name, in the order of the table."""
