"""The verb ``ibvonn learn-on-demand``."""

from __future__ import annotations

import argparse
import dataclasses

from ..studies.learning_on_demand import LearningOnDemand, RoundVerdict
from ..studies.on_demand_config import OnDemandStudy
from ..studies.results import write_json
from ..studies.tables import text_table
from .standard_output import require_places, say


def learn_on_demand(options: argparse.Namespace) -> int:
    """Learn what an analysis asks; with --strict the exit code is 1 if the law does not pass."""
    require_places(options.json)
    study = OnDemandStudy.from_toml(options.study)
    rounds = LearningOnDemand(study, options.out, progress=not options.quiet)
    try:
        verdicts = rounds.run()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Everything that is finished is in {options.out}; run the same command to go on."
        ) from None
    if options.json is not None:
        write_json(
            options.json,
            {
                "rounds": [
                    {
                        **dataclasses.asdict(verdict),
                        "largest_error": verdict.largest_error,
                        "passes": verdict.passes,
                    }
                    for verdict in verdicts
                ]
            },
        )
    say(options, _report(verdicts, rounds))
    return 1 if options.strict and not verdicts[-1].passes else 0


def _report(verdicts: list[RoundVerdict], rounds: LearningOnDemand) -> str:
    header = ["round", "new paths", "largest error in %", "expected elsewhere in %", "validity",
              "verdict"]  # fmt: skip
    rows = [
        [
            each.round,
            each.simulations,
            each.largest_error,
            each.expected_error,
            each.validity,
            "passes" if each.passes else "is off",
        ]
        for each in verdicts
    ]
    last = verdicts[-1]
    law = rounds.out / f"round_{last.round}" / "law"
    lines = [text_table(header, rows), f"Tolerance {last.tolerance:g} % of the largest stress."]
    lines.append(
        f"The law {law} passes."
        if last.passes
        else f"The law {law} does not pass, and the budget is spent or no path is in need. Raise "
        "rounds or simulations of [on_demand] and run the same command to go on."
    )
    return "\n".join(lines)
