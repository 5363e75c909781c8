"""A finite-element run that is killed with SIGKILL and restarted equals one left alone."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from ibvonn_fem import read_checkpoint, write_checkpoint

from .bodies import pulled_bar
from .kill import kill_runs

TIMES = np.linspace(0.0, 2.0, 201)
KILLS = 3


def run(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and internal variables at the end; a checkpoint after every step."""
    stepping = pulled_bar()
    index = 0
    if checkpoint.exists():
        index = int(np.argmin(np.abs(TIMES - read_checkpoint(checkpoint, stepping))))
    while index + 1 < len(TIMES):
        stepping.run(TIMES[index : index + 2], elastic=index == 0)
        index += 1
        write_checkpoint(checkpoint, stepping, TIMES[index])
    problem = stepping.problem
    return problem.u.x.array.copy(), problem.laws[0].internal.copy()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, other = Path(folder, "killed.h5"), Path(folder, "whole.h5")
        kills = kill_runs(__spec__.name, checkpoint, checkpoint, KILLS)
        resumed, whole = run(checkpoint), run(other)
        for result, wanted in zip(resumed, whole, strict=True):
            np.testing.assert_array_equal(result, wanted)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["killed.h5", "whole.h5"]
    print(f"killed {kills} times: displacement and internal variables equal bit by bit")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        main()
