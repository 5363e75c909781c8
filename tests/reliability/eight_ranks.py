"""Eight ranks on a bar of three cells, so that most have none, give the numbers of one rank."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RANKS, CELLS = 8, 3


def on_ranks() -> None:
    from mpi4py import MPI

    from .bodies import pulled_bar

    world = MPI.COMM_WORLD
    assert world.size == RANKS
    result = []
    for comm in (MPI.COMM_SELF, world):
        stepping = pulled_bar(cells=CELLS, comm=comm)
        stepping.run(np.linspace(0.0, 1.0, 11))
        problem = stepping.problem
        sums = [problem.reaction(bc)[0] for bc in problem.bcs]
        result.append([*sums, sum(law.stored_energy() for law in problem.laws)])
        owned = problem.u.function_space.mesh.topology.index_map(1).size_local
    np.testing.assert_allclose(result[1], result[0], rtol=1e-10)
    empty = world.allreduce(int(owned == 0))
    assert empty >= RANKS - CELLS
    if world.rank == 0:
        difference = float(np.abs(np.subtract(*result) / result[0]).max())
        print(
            f"{RANKS} ranks, {empty} without cells: reactions and energy differ by {difference:.0e}"
        )


def main() -> None:
    command = ["bash", str(ROOT / "setup/mpirun.sh"), str(RANKS), sys.executable, "-m"]
    run = subprocess.run(
        [*command, __spec__.name, "ranks"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        sys.exit(run.stdout + run.stderr)
    print(run.stdout.strip())


if __name__ == "__main__":
    on_ranks() if sys.argv[1:] == ["ranks"] else main()
