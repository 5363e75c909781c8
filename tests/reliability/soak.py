"""Two hundred steps with fields and checkpoints need no more memory than the first fifty."""

from __future__ import annotations

import gc
import resource
import tempfile
from pathlib import Path

import numpy as np

from ibvonn_fem import FieldWriter, write_checkpoint

from .bodies import pulled_bar

TIMES = np.linspace(0.0, 4.0, 201)
ALLOWED = 1.0  # MB: one array of this body leaked at each step would be 10


def memory() -> float:
    """Resident memory [MB]."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    stepping = pulled_bar(cells=4000)
    problem = stepping.problem
    marks = []
    with tempfile.TemporaryDirectory() as folder:
        with FieldWriter(Path(folder, "bar.xdmf"), problem.laws, problem.u) as fields:
            for index in range(len(TIMES) - 1):
                stepping.run(TIMES[index : index + 2], elastic=index == 0)
                if index % 10 == 0:
                    fields.write(TIMES[index + 1])
                    write_checkpoint(Path(folder, "bar.h5"), stepping, TIMES[index + 1])
                if (index + 1) % 50 == 0:
                    marks.append(memory())
    growth = marks[-1] - marks[0]
    print(f"resident memory after 50, 100, 150, 200 steps: {', '.join(f'{m:.1f}' for m in marks)}")
    assert growth < ALLOWED, f"grew by {growth:.1f} MB"
    print(f"{len(TIMES) - 1} steps: resident memory grew by {growth:.1f} MB after the first 50")


if __name__ == "__main__":
    main()
