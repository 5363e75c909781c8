"""The verb ``ibvonn error-field``."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ..data.point_histories import PointHistories
from ..studies.error_field import ErrorField, estimated, intervals
from ..studies.error_field import error_field as estimate_errors
from ..studies.interval_scores import coverage
from ..studies.results import write_json
from .histories_options import recorded_analysis, settings_of_runs
from .standard_output import require_places, say


def error_field(options: argparse.Namespace) -> int:
    """Estimate the stress error of a law at every state of an analysis."""
    require_places(options.out, options.json)
    histories, law, system = recorded_analysis(options)
    field = estimate_errors(
        law, histories, system, points=options.points, **settings_of_runs(options)
    )
    field.estimate.save(options.out)
    record = _record(field, histories)
    if options.json is not None:
        write_json(options.json, {"model": law.name, **record})
    say(options, f"{_report(record)}\nwrote {options.out}")
    return 0


def _record(field: ErrorField, histories: PointHistories) -> dict[str, Any]:
    largest = field.check.largest_stress
    percent = 100.0 / largest
    mean, deviation = estimated(field.estimate, histories)
    size = np.linalg.norm(mean, axis=-1).max(1)
    worst = int(size.argmax())
    errors, expected, spread = field.fitted.left_out
    noise = field.check.window_standard_errors.reshape(errors.shape)
    low, high = intervals(expected, field.fitted.calibration * spread, noise)
    return {
        "points": list(field.points),
        "replicas": field.check.replicas,
        "largest_stress": largest,
        "lengths": field.fitted.lengths.tolist(),
        "amplitudes_percent": (percent * field.fitted.amplitudes).tolist(),
        "calibration": field.fitted.calibration,
        "coverage_of_points_left_out": coverage(low, high, errors),
        "states": int(mean.shape[0] * mean.shape[1]),
        "largest_expected_error_percent": float(percent * size[worst]),
        "point_of_largest": int(histories.point[worst]),
        "mean_expected_error_percent": float(percent * np.linalg.norm(mean, axis=-1).mean()),
        "mean_deviation_percent": float(percent * np.linalg.norm(deviation, axis=-1).mean()),
    }


def _report(record: dict[str, Any]) -> str:
    a, b, c = record["amplitudes_percent"]
    return "\n".join(
        [
            f"{len(record['points'])} points were simulated again, {record['replicas']} replicas "
            f"each: {', '.join(str(number) for number in record['points'])}.",
            f"Errors are in % of the largest recorded stress, {record['largest_stress']:.4g}. The "
            f"part that strain, state and rate tell has the amplitude {a:.2g} %, that of a path "
            f"as a whole {b:.2g} %, what is left {c:.2g} %; deviations are multiplied by "
            f"{record['calibration']:.2f}.",
            f"When a point is left out, {100 * record['coverage_of_points_left_out']:.0f} % of its "
            "windows lie in their 90 % intervals.",
            f"Over all {record['states']} windows the expected error is "
            f"{record['mean_expected_error_percent']:.2g} % on average, its standard deviation "
            f"{record['mean_deviation_percent']:.2g} %; it is largest at point "
            f"{record['point_of_largest']}, {record['largest_expected_error_percent']:.2g} %.",
        ]
    )
