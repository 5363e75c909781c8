"""The verb ``ibvonn microstates``."""

from __future__ import annotations

import argparse
import sys

from ..data.point_histories import read_point_histories
from ..evaluation import ExportedLaw
from ..files.plain_files import make_folder
from ..studies.followed_histories import system_of_law
from ..studies.results import write_json
from ..studies.sampled_microstates import microstates as sample_and_simulate
from ..studies.sampled_microstates import opened, record_of


def microstates(options: argparse.Namespace) -> int:
    """Draw the microstates at a point and instant of an analysis."""
    for place in (options.json, options.out):
        if place is not None:
            make_folder(place.parent)
    histories = read_point_histories(options.histories)
    law = ExportedLaw(options.model)
    system = system_of_law(law, options.system)
    found = sample_and_simulate(
        law,
        histories,
        system,
        point=options.point,
        time=options.time,
        replicas=options.replicas,
        seed=options.seed,
        time_step=options.time_step,
        progress=not options.quiet,
    )
    from ..studies.microstates_figure import microstates_figure  # matplotlib is slow to import

    microstates_figure(options.out, system, found)
    if options.json is not None:
        record = record_of(system, found)
        write_json(options.json, {"model": law.name, "histories": str(options.histories), **record})
    if not options.quiet:
        lines = [f"point {found.point} at t = {found.time:.6g}: wrote {options.out}"]
        for words, states in (("decoder", found.decoded), ("re-run", found.simulated)):
            open_ones = opened(system, states, found.control)
            if open_ones is not None:
                fractions = ", ".join(f"{value:.3f}" for value in open_ones.mean(1))
                lines.append(f"open fraction by the {words}: {fractions}")
        sys.stdout.write("\n".join(lines) + "\n")
    return 0
