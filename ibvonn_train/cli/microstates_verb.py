"""The verb ``ibvonn microstates``."""

from __future__ import annotations

import argparse

from ..studies.results import write_json
from ..studies.sampled_microstates import microstates as sample_and_simulate
from ..studies.sampled_microstates import opened, record_of
from .histories_options import recorded_analysis, settings_of_runs
from .standard_output import require_places, say


def microstates(options: argparse.Namespace) -> int:
    """Draw the microstates at a point and instant of an analysis."""
    require_places(options.json, figure=options.out)
    histories, law, system = recorded_analysis(options)
    sample = sample_and_simulate(
        law,
        histories,
        system,
        point=options.point,
        time=options.time,
        **settings_of_runs(options),
    )
    from ..studies.microstates_figure import microstates_figure  # matplotlib is slow to import

    microstates_figure(options.out, system, sample)
    if options.json is not None:
        record = record_of(system, sample)
        write_json(options.json, {"model": law.name, "histories": str(options.histories), **record})
    lines = [f"point {sample.point} at t = {sample.time:.6g}: wrote {options.out}"]
    for words, states in (("decoder", sample.decoded), ("re-run", sample.simulated)):
        open_ones = opened(system, states, sample.control)
        if open_ones is not None:
            fractions = ", ".join(f"{value:.3f}" for value in open_ones.mean(1))
            lines.append(f"open fraction by the {words}: {fractions}")
    say(options, "\n".join(lines))
    return 0
