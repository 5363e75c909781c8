"""Spot checks of two analyses: a plate with a hole and a bar that changes phase.

The plate is of the plane lattice, the bar of cells of a hundred springs with two wells. A body
force lets the bar open from one end while it is pulled, and close while it is let go. The law with
which a body was analysed and its closed-form twin are both checked along the strain that the same
points have seen, against the microscopic system that the learned law names.

    python benchmarks/spot_checks.py                    # ten minutes of CPU time
    python benchmarks/spot_checks.py --small            # a test of the command
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import plate_of_lattice
import records
from dolfinx import fem, mesh
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.stepping import Histories, LargestPoints, RandomPoints
from ibvonn_train.data.point_histories import read_point_histories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.studies.followed_histories import system_of_law
from ibvonn_train.studies.spot_check import SpotCheck, spot_check

EXPORTED = records.ROOT / "exported_models"
CHOICE = (LargestPoints("stress", 2), LargestPoints("dissipation", 1), LargestPoints("validity", 1),
          RandomPoints(2, seed=1))  # fmt: skip


def analyse_plate(model: Path, histories: Path, *, small: bool) -> None:
    """Pull the upper edge of the plate, and shear it to one side and the other."""
    duration, steps, cells = (60.0, 12, 2) if small else (1000.0, 100, 6)
    plate_of_lattice.analyse(
        model, histories, loading="turning", stretch=0.08, duration=duration, steps=steps,
        cells=cells, choice=CHOICE,
    )  # fmt: skip


def analyse_bar(model: Path, histories: Path, *, small: bool) -> None:
    """Pull the end of a bar to a mean strain of 0.4, and let it go."""
    elements, steps = (4, 20) if small else (20, 240)
    bar = mesh.create_unit_interval(MPI.COMM_WORLD, elements)
    space = fem.functionspace(bar, ("Lagrange", 1))
    u, pulled = fem.Function(space), fem.Constant(bar, 0.0)
    ends = [
        fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[0], at)) for at in (0, 1)
    ]
    held, grip = fem.dirichletbc(0.0, ends[0], space), fem.dirichletbc(pulled, ends[1], space)
    law = ibvonn_fem.InternalVariableLaw(
        ibvonn_fem.load_model(model), ibvonn_fem.Uniaxial(), u, quadrature_degree=0
    )
    problem = ibvonn_fem.InternalVariableProblem(
        law, u, [held, grip], body_force=fem.Constant(bar, BODY_FORCE)
    )

    def load(time: float) -> None:
        pulled.value = STRAIN * (1.0 - abs(2.0 * time / DURATION - 1.0))

    record = Histories(histories, CHOICE)
    ibvonn_fem.TimeStepping(problem, load, record=record).run(
        np.linspace(0.0, DURATION, steps + 1).tolist()
    )


STRAIN, DURATION, BODY_FORCE = 0.4, 240.0, 0.02


@dataclass(frozen=True)
class Body:
    """What is analysed, by which law, its twin, and the replicas of each point."""

    analyse: Callable[..., None]
    law: str
    twin: str
    replicas: int


BODIES = {
    "plate": Body(analyse_plate, "lattice", "lattice_mean_field", 256),
    "bar": Body(analyse_bar, "unfolding_cell", "kramers_unfolding", 512),
}


def checks(name: str, folder: Path, *, small: bool) -> dict[str, SpotCheck]:
    """Return the check of the law and that of its twin, along the same strain."""
    body, file = BODIES[name], folder / f"{name}.h5"
    body.analyse(EXPORTED / body.law, file, small=small)
    histories = read_point_histories(file)
    system = system_of_law(ExportedLaw(EXPORTED / body.law))
    return {
        model: spot_check(
            ExportedLaw(EXPORTED / model), histories, system, seed=1,
            replicas=16 if small else body.replicas,
            time_step=system_step(body.law), progress=False,
        )
        for model in (body.law, body.twin)
    }  # fmt: skip


def system_step(model: str) -> float:
    """Return the step of the integrator in the training of a law."""
    return float(ExportedLaw(EXPORTED / model).manifest["microscopic"]["time_step"])


def print_table(name: str, both: dict[str, SpotCheck], seconds: float) -> None:
    """Print the points, law beside twin."""
    law, twin = both.values()
    rows = [
        [
            own.point, own.chosen_for, own.validity,
            *(f"{each.error:.2f} ({each.low:.2f} to {each.high:.2f})" for each in (own, other)),
            own.time_error, own.verdict, other.verdict,
        ]
        for own, other in zip(law.points, twin.points, strict=True)
    ]  # fmt: skip
    first, second = both
    header = ["point", "chosen for", "validity", f"{first}, %", f"{second}, %", "time steps, %",
              "law", "twin"]  # fmt: skip
    print(f"\n{name}: errors in % of the largest stress, {law.largest_stress:.4g}; tolerances "
          f"{law.tolerance:.2f} % and {twin.tolerance:.2f} %; {law.replicas} replicas; "
          f"{seconds:.2g} s of CPU for each point and law")  # fmt: skip
    print(tabulate(rows, headers=header, floatfmt=".2f"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bodies", nargs="*", metavar="BODY", help=f"{', '.join(BODIES)}")
    parser.add_argument("--small", action="store_true", help="minutes less, and no judgement")
    parser.add_argument("--folder", type=Path, default=Path("build/spot_checks"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    record = {}
    for name in options.bodies or BODIES:
        start_time = time.process_time()
        both = checks(name, options.folder, small=options.small)
        points = sum(len(each.points) for each in both.values())
        print_table(name, both, (time.process_time() - start_time) / points)
        record[name] = {
            model: [asdict(point) for point in check.points] for model, check in both.items()
        }
    if options.json is not None:
        records.write(options.json, record)


if __name__ == "__main__":
    main()
