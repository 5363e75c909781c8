"""Are the error bars of an error field right? Judged on points that the estimate has not seen.

A plate with a hole, of the lattice law, is analysed; points that fill its strains and states are
simulated again, and a Gaussian process estimates the stress error everywhere. Then random points of
other elements are simulated, too. Of their errors, window by window and component by component, 90
of 100 should lie in their 90 % intervals, which know the noise of both re-runs; and the intervals
should be better by their score than one constant interval, which has the mean and the width that
cover 90 % of the errors of the first points, beyond the same noise.

    python benchmarks/error_field.py                    # 100 points held back
    python benchmarks/error_field.py --small            # a test of the command
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import plate_of_lattice
import records

from ibvonn_train.data.point_histories import read_point_histories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.studies.error_field import error_field, estimated, intervals
from ibvonn_train.studies.followed_histories import system_of_law
from ibvonn_train.studies.gaussian_process import HALF_WIDTH, calibrated
from ibvonn_train.studies.interval_scores import coverage, interval_score
from ibvonn_train.studies.spot_check import spot_check

MODEL = records.ROOT / "exported_models" / "lattice"
POINTS_IN_CELL = 4


@dataclass(frozen=True)
class Size:
    """Of a run: cells from the hole to the edge, points simulated and held back, replicas."""

    cells: int = 6
    points: int = 24
    held_back: int = 100
    replicas: int = 32
    duration: float = 300.0


SMALL = Size(cells=2, points=4, held_back=4, replicas=8, duration=60.0)


def judge(size: Size, folder: Path, loading: str, seed: int = 1) -> dict[str, object]:
    """Analyse, estimate, and compare with points held back."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "plate.h5"
    steps = max(10, round(size.duration / 5.0))
    plate_of_lattice.analyse(
        MODEL, file, loading=loading, duration=size.duration, steps=steps, cells=size.cells
    )
    law, histories = ExportedLaw(MODEL), read_point_histories(file)
    system = system_of_law(law)
    start_time = time.process_time()
    field = error_field(
        law, histories, system, points=size.points, replicas=size.replicas, seed=seed,
        progress=False,
    )  # fmt: skip
    seconds = time.process_time() - start_time
    field.estimate.save(folder / "errors.npz")
    cells = np.array(field.points) // POINTS_IN_CELL
    others = histories.point[~np.isin(histories.point // POINTS_IN_CELL, cells)]
    drawn = np.random.default_rng(seed).choice(others, size.held_back, replace=False)
    held = histories.select(sorted(drawn.tolist()))
    check = spot_check(
        law, held, system, replicas=size.replicas, seed=seed + 1, progress=False
    )  # fmt: skip
    errors, noise = check.window_errors, check.window_standard_errors
    mean, deviation = estimated(field.estimate, held)
    low, high = intervals(mean, deviation, noise)
    first, first_noise = field.check.window_errors, field.check.window_standard_errors
    centre = first.mean((0, 1))
    width = calibrated(first - centre, np.ones_like(first), first_noise)
    half = HALF_WIDTH * np.sqrt(width**2 + noise**2)
    percent = 100.0 / field.check.largest_stress
    return {
        "points": size.points,
        "held_back": size.held_back,
        "intervals": int(errors.size),
        "replicas": size.replicas,
        "loading": loading,
        "coverage": coverage(low, high, errors),
        "coverage_constant": coverage(centre - half, centre + half, errors),
        "score_percent": percent * interval_score(low, high, errors),
        "score_constant_percent": percent * interval_score(centre - half, centre + half, errors),
        "error_percent": float(percent * np.sqrt((errors**2).mean())),
        "noise_percent": float(percent * np.sqrt((noise**2).mean())),
        "deviation_percent": float(percent * np.sqrt((deviation**2).mean())),
        "calibration": field.fitted.calibration,
        "seconds_of_points": seconds / size.points,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="minutes less, and no judgement")
    parser.add_argument("--loading", choices=sorted(plate_of_lattice.KNOTS), default="turning")
    parser.add_argument("--folder", type=Path, default=Path("build/error_field"))
    parser.add_argument("--json", type=Path)
    for name in ("cells", "points", "held_back", "replicas"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="other than that size")
    parser.add_argument("--duration", type=float, help="other than that size")
    options = parser.parse_args()
    size = SMALL if options.small else Size()
    names = [each.name for each in fields(Size)]
    changed = {name: v for name in names if (v := getattr(options, name)) is not None}
    judgement = judge(replace(size, **changed), options.folder, options.loading)
    for name, value in judgement.items():
        print(f"{name:24} {value:.4g}" if isinstance(value, float) else f"{name:24} {value}")
    own, constant = (float(str(judgement[f"score{of}_percent"])) for of in ("", "_constant"))
    verdict = "better" if own < constant else "no better"
    print(f"the intervals are {verdict} than one constant interval")
    if options.json is not None:
        records.write(options.json, judgement)


if __name__ == "__main__":
    main()
