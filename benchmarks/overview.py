"""Run the benchmarks, draw one figure of their results and print one table.

    python benchmarks/overview.py            # everything: half an hour on a quiet machine
    python benchmarks/overview.py --only langevin training_time
    python benchmarks/overview.py --quick    # small sizes, into build/benchmarks: does it run?
    python benchmarks/overview.py --draw     # figure and table of the results that are there

Each benchmark is a script of its own that writes its result to ``benchmarks/results/NAME.json``,
with machine, versions, date and load. All figures of time are CPU time of one core unless they say
otherwise. ``robustness.py``, ``solid_verification.py`` and ``system_size.py`` measure no time and
are not run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from overview_figure import draw
from overview_table import losses, table
from records import RESULTS, ROOT, read


@dataclass(frozen=True)
class Benchmark:
    """A script.

    Attributes:
        output: Its option for the file of results.
        quick: Its options for a short run.
    """

    output: str = "--json"
    quick: tuple[str, ...] = ("--quick",)


BENCHMARKS = {
    "langevin": Benchmark(quick=("--repeats", "1", "--paper-only")),
    "training_time": Benchmark(),
    "law_update": Benchmark(quick=("--rounds", "1", "--no-compile", "--largest", "10000")),
    "microsphere": Benchmark(quick=("--rounds", "1")),
    "fe_step": Benchmark(output="--output"),
    "fe_scaling": Benchmark(),
}


def run(name: str, folder: Path, quick: bool) -> None:
    """Run one benchmark; its result goes to ``folder``."""
    script = BENCHMARKS[name]
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py")]
    command += [script.output, str(folder / f"{name}.json"), *(script.quick if quick else ())]
    print(f"\n{name}", flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes, into build/benchmarks")
    parser.add_argument("--draw", action="store_true", help="run nothing")
    parser.add_argument("--results", type=Path, help="folder of the results (and the figure)")
    arguments = parser.parse_args()
    default = ROOT / "build" / "benchmarks" if arguments.quick else RESULTS
    folder = arguments.results or default
    for name in [] if arguments.draw else arguments.only or BENCHMARKS:
        run(name, folder, arguments.quick)
    try:
        records = {name: read(folder, name) for name in BENCHMARKS}
    except FileNotFoundError as error:
        parser.exit(1, f"overview: {error}\n")
    figure = folder / "overview.png"
    draw(records, figure)
    print(f"\n{table(records)}\n\nWhere we lose:\n{losses(records)}\n\n{figure}")


if __name__ == "__main__":
    main()
