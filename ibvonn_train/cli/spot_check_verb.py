"""The verb ``ibvonn spot-check``."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import time
from typing import Any

from ..data.point_histories import PointHistories
from ..evaluation import ExportedLaw
from ..files.model_directory import manifest_hash
from ..studies.results import write_json
from ..studies.spot_check import SpotCheck, default_tolerance
from ..studies.spot_check import spot_check as check_points
from ..studies.tables import text_table
from .histories_options import recorded_analysis, settings_of_runs
from .standard_output import require_places, say

logger = logging.getLogger(__name__)


def spot_check(options: argparse.Namespace) -> int:
    """Check a law along recorded histories; the exit code is 1 with --strict if a point is off."""
    require_places(options.json, figure=options.figure)
    histories, law, system = recorded_analysis(options)
    if manifest_hash(law.manifest) != histories.manifest_sha256:
        logger.warning(
            "spot-check: the histories are of another law (%r) than %s: the error of the time "
            "steps of the analysis is not known.", histories.model, options.model,
        )  # fmt: skip
    start_time = time.perf_counter()
    check = check_points(
        law,
        histories,
        system,
        tolerance=options.tolerance,
        confidence=options.confidence,
        **settings_of_runs(options),
    )
    seconds = (time.perf_counter() - start_time) / len(check.points)
    source = default_tolerance(law.manifest)[1] if options.tolerance is None else "--tolerance"
    say(options, _report(check, source, seconds))
    if options.json is not None:
        write_json(options.json, _record(check, law, histories, source, options))
    if options.figure is not None:
        from ..studies.spot_check_figure import spot_check_figure  # matplotlib is slow to import

        spot_check_figure(options.figure, check)
    return 1 if options.strict and any(each.verdict == "off" for each in check.points) else 0


def _report(check: SpotCheck, source: str, seconds: float) -> str:
    header = ["point", "chosen for", "validity", "error in %", "from", "to", "time steps in %"]
    with_populations = any(each.populations for each in check.points)
    header += ["populations: law", "system"] if with_populations else []
    header += ["stored", "dissipated", "work: law", "system"]
    rows = [
        [
            each.point,
            each.chosen_for,
            each.validity,
            each.error,
            each.low,
            each.high,
            each.time_error,
            *([_words(each.law_populations), _words(each.populations)] if with_populations else []),
            each.energies.stored,
            each.energies.dissipated,
            each.energies.law_work,
            f"{each.energies.work:.4g} ± {each.energies.work_error:.1g}",
            each.verdict,
        ]
        for each in check.points
    ]
    undecided = sum(each.verdict == "undecided" for each in check.points)
    lines = [
        text_table([*header, "verdict"], rows),
        f"Errors are in % of the largest recorded stress, {check.largest_stress:.4g}; the "
        f"intervals hold together at {100 * check.confidence:g} %, with {check.replicas} replicas.",
        "Energies are per unit reference volume from start to end: stored and dissipated by the "
        "law, work on the law and on the system with its standard error.",
        f"Tolerance {check.tolerance:.3g} % ({source}). {seconds:.2g} s for each point.",
    ]
    if undecided:
        lines.append(
            f"{undecided} of {len(check.points)} points are undecided: the tolerance lies within "
            "their interval. Give more --replicas."
        )
    return "\n".join(lines)


def _words(fractions: tuple[float, ...]) -> str:
    return " ".join(f"{fraction:.3f}" for fraction in fractions)


def _record(
    check: SpotCheck,
    law: ExportedLaw,
    histories: PointHistories,
    source: str,
    options: argparse.Namespace,
) -> dict[str, Any]:
    return {
        "histories": str(options.histories),
        "recorded_law": histories.model,
        "model": law.name,
        "tolerance_percent": check.tolerance,
        "tolerance_from": source,
        "confidence": check.confidence,
        "replicas": check.replicas,
        "seed": options.seed,
        "largest_stress": check.largest_stress,
        "law_change_percent": check.law_change,
        "points": [dataclasses.asdict(each) for each in check.points],
    }
