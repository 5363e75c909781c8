"""Repeat studies with several seeds, each with training data of its own; one table of all."""

from __future__ import annotations

import hashlib
import logging
import math
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..files.plain_files import make_folder, write_file
from ..simulation.simulation_config import SimulationConfig
from .one_seed import prepare_tests, run_seed
from .reproduced import STUDIES, Quantity, Study
from .tables import Cell, stress_spread, text_table

logger = logging.getLogger(__name__)

STUDY = "study.toml"
"""Copy of the configuration in the folder of a study."""


@dataclass(frozen=True)
class Reproduction:
    """Results of one study.

    Attributes:
        study: What was compared.
        runs: Records of the seeds that ended, see :func:`~ibvonn_train.studies.one_seed.run_seed`.
        failures: Seed → why it has no result.
    """

    study: Study
    runs: list[dict[str, Any]]
    failures: dict[int, str] = field(default_factory=dict)

    def rows(self) -> list[list[Cell]]:
        """Return the lines of the table."""
        return [self._row(line) for line in self.study.quantities] + self._certificates()

    def record(self) -> dict[str, Any]:
        """Return the numbers, for JSON; `ibvonn card --seeds` reads them."""
        ensembles = [run["ensembles"] for run in self.runs]
        return {
            "example": self.study.name,
            "runs": ensembles,
            "seeds": [run["seed"] for run in self.runs],
            "failures": self.failures,
            "stress_spread_percent": stress_spread(ensembles),
            "closed_form_percent": self._first.get("closed_form", {}),
            "certificates": [run["certificate"] for run in self.runs],
            "training_cpu_seconds": self.seconds,
        }

    @property
    def seconds(self) -> list[float]:
        """CPU time of each training."""
        return [run["training_cpu_seconds"] for run in self.runs]

    @property
    def _first(self) -> dict[str, Any]:
        """The record of seed 0, which alone has sampling errors and the closed form."""
        return next((run for run in self.runs if run["seed"] == 0), {})

    def _row(self, line: Quantity) -> list[Cell]:
        errors = [error for run in self.runs if (error := _error(run, line)) is not None]
        first = self._first.get("ensembles", {}).get(line.ensemble, {})
        floor = first.get("sampling_error_percent", {}).get(line.key)
        closed_form = self._first.get("closed_form", {}).get(line.ensemble, {}).get(line.key)
        bounds = self._bounds(line, floor, closed_form)
        median, worst = (float(np.median(errors)), max(errors)) if errors else (None, None)
        return [
            self.study.name,
            f"{line.label}, {line.ensemble}",
            self.study.published.get(line.published),
            closed_form,
            floor,
            median,
            worst,
            *bounds,
            self._reached(median, worst, bounds),
        ]

    def _bounds(
        self, line: Quantity, floor: float | None, closed_form: float | None
    ) -> tuple[float | None, float | None]:
        """Return the largest median and the largest error that are accepted."""
        if not self.study.twice_the_floor:
            return line.median, line.worst
        if floor is None:
            return None, None
        bound = max(2.0 * floor, closed_form or 0.0)
        return bound, bound

    def _reached(
        self,
        median: float | None,
        worst: float | None,
        bounds: tuple[float | None, float | None],
    ) -> str | None:
        if median is None or worst is None or bounds == (None, None):
            return None
        pairs = zip((median, worst), bounds, strict=True)
        return "yes" if all(bound is None or error <= bound for error, bound in pairs) else "no"

    def _certificates(self) -> list[list[Cell]]:
        """Return the line of the audits that fail; its numbers are counts of audits."""
        failed = [
            [audit["audit"] for audit in run["certificate"] if audit["verdict"] == "fail"]
            for run in self.runs
        ]
        if not failed:
            return []
        names = sorted({name for of_seed in failed for name in of_seed})
        counts = [len(of_seed) for of_seed in failed]
        label = f"audits that fail{': ' if names else ''}{', '.join(names)}"
        verdict = ("no" if names else "yes") if self.study.certified else None
        bound = 0 if self.study.certified else None
        middle = float(np.median(counts))
        row: list[Cell] = [self.study.name, label, None, None, None, middle, max(counts)]
        return [[*row, bound, bound, verdict]]


def _error(run: Mapping[str, Any], line: Quantity) -> float | None:
    """Return one error of a seed in per cent: of a roll-out, a potential, or an audit.

    An error that is no number, null in the file, is that of a roll-out that diverged: infinite.
    """
    result = run["ensembles"][line.ensemble]
    for kind in ("errors_percent", "potentials_percent"):
        if line.key in result[kind]:
            error = result[kind][line.key]
            return math.inf if error is None or math.isnan(error) else float(error)
    values = [audit["value"] for audit in run["certificate"] if audit["audit"] == line.key]
    return float(values[0]) if values and values[0] is not None else None


HEADER = [
    "study",
    "error in %",
    "published",
    "closed form",
    "sampling error",
    "median",
    "worst",
    "must",
    "worst must",
    "reached",
]


def table(reproductions: Sequence[Reproduction]) -> str:
    """Return one table of all studies, and what the trainings took."""
    rows = [row for reproduction in reproductions for row in reproduction.rows()]
    lines = [text_table(HEADER, rows), ""]
    for each in reproductions:
        if each.seconds:
            lines.append(
                f"{each.study.name}: {len(each.runs)} seeds; training took "
                f"{np.median(each.seconds):.0f} s of CPU time ({min(each.seconds):.0f} to "
                f"{max(each.seconds):.0f} s)"
            )
        lines += [f"{each.study.name}, seed {n}: FAILED, {why}" for n, why in each.failures.items()]
    return "\n".join(lines)


def reproduce(
    configs: Mapping[str, Path],
    out: Path,
    *,
    seeds: int,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Reproduction]:
    """Repeat studies; what the folder holds already is used again.

    Seed n of a study simulates the sets called ``train…`` with other random numbers, trains with
    seed n, and is evaluated on the common test sets.

    Args:
        configs: Name of the study → its TOML.
        out: Folder; every study has a folder in it.
        seeds: Number of seeds.
        jobs: Processes at a time; by default one for each core.
        progress: Show a progress bar.

    Raises:
        ValueError: If the folder holds a study of another configuration.
    """
    for name, toml in configs.items():
        _keep_configuration(name, toml, out / name)
    tasks = [(name, seed) for seed in range(seeds) for name in configs]
    results: dict[tuple[str, int], dict[str, Any]] = {}
    failures: dict[tuple[str, int], str] = {}
    workers = min(jobs or len(os.sched_getaffinity(0)), len(tasks))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            list(pool.map(_prepare, configs, configs.values(), [out / name for name in configs]))
            running = {
                pool.submit(_run, name, configs[name], out / name, seed): (name, seed)
                for name, seed in tasks
            }
            for ended in tqdm(
                as_completed(running), total=len(tasks), desc="seeds", disable=not progress
            ):
                task = running[ended]
                try:
                    results[task] = ended.result()
                except (ValueError, ArithmeticError, RuntimeError, OSError) as error:
                    failures[task] = f"{type(error).__name__}: {error}"
                    logger.warning("reproduce: %s, seed %d failed: %s", *task, error)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [
        Reproduction(
            STUDIES[name],
            [results[name, seed] for seed in range(seeds) if (name, seed) in results],
            {seed: why for (of, seed), why in failures.items() if of == name},
        )
        for name in configs
    ]


def _prepare(name: str, toml: Path, folder: Path) -> None:
    prepare_tests(STUDIES[name], toml, folder)


def _run(name: str, toml: Path, folder: Path, seed: int) -> dict[str, Any]:
    return run_seed(STUDIES[name], toml, folder, seed)


def _keep_configuration(name: str, toml: Path, folder: Path) -> None:
    """Copy the configuration into the folder of the study, or refuse another that is there."""
    SimulationConfig.from_toml(toml)
    content = toml.read_bytes()
    kept = folder / STUDY
    if kept.is_file() and kept.read_bytes() != content:
        here, there = (hashlib.sha256(c).hexdigest()[:12] for c in (content, kept.read_bytes()))
        raise ValueError(
            f"{folder}: must hold results of the configuration {toml} to be used again; it holds "
            f"those of another one of {name} (sha256 {there}…, not {here}…). Choose another folder "
            "with --out, or move this one away."
        )
    make_folder(folder)
    write_file(kept, content)
