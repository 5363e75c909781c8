"""Scripts in processes of their own: what a person sees of a program."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_script(
    text: str, folder: Path, *options: str, ranks: int = 1, timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a script as a user does; a run that hangs is ended and fails.

    Args:
        text: The script.
        folder: Where it is written to and run.
        options: Of Python, such as ``-Werror``.
        ranks: Ranks of MPI; standard error of the first is in its standard output then.
        timeout: Seconds.
    """
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, *options, str(script)]
    if ranks > 1:
        command = ["bash", str(ROOT / "setup" / "mpirun.sh"), str(ranks), *command]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "IBVONN_MPI_TIMEOUT": str(int(timeout)),
        "IBVONN_RANK_LOGS": str(folder / "ranks"),
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout + 30.0,
        check=False,
    )
