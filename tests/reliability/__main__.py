"""Run the scripts of this folder, each in a process of its own, and print a table."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main(chosen: list[str]) -> int:
    # Modules that the scripts share cannot be run.
    names = sorted(p.stem for p in FOLDER.glob("[!_]*.py") if "__main__" in p.read_text())
    failures = 0
    print("| script | result | s |\n| --- | --- | --- |")
    for name in chosen or names:
        start_time = time.perf_counter()
        run = subprocess.run(
            [sys.executable, "-m", f"tests.reliability.{name}"],
            cwd=FOLDER.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.perf_counter() - start_time
        lines = run.stdout.splitlines() or ["nothing printed"]
        failures += run.returncode != 0
        result = lines[-1] if run.returncode == 0 else "**fails**"
        print(f"| {name} | {result} | {took:.0f} |", flush=True)
        if run.returncode != 0:
            print(run.stdout, run.stderr, sep="\n", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
