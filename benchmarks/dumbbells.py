"""A learned law of Hookean dumbbells against the law that is known exactly.

    python benchmarks/dumbbells.py [--folder FOLDER] [--json FILE]

Dumbbells in a medium that deforms affinely, in two dimensions: their second moments A obey a closed
law (`ibvonn_train/closed_form/dumbbell_law.py`) whose free energy is convex in A and not jointly
convex. The recipe is given random walks and rays in the box of strains ±0.3 and no word of A. The
law is judged on other paths of another length. Printed are relative L2 errors in per cent of what
was measured, and what the exact law shows: *moments* are the best affine map of the α of roll-outs,
*rates* Ȧ of the law at measured states. Data and law that are in FOLDER are used again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from machine import describe_machine
from records import write

from ibvonn_train.closed_form.dumbbell_law import DumbbellLaw, mandel_of
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.simulation import HookeanDumbbell, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload, strain_training_set
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainingConfig, train

FloatArray = npt.NDArray[np.float64]

LAW = DumbbellLaw()
BOX = (-0.3, -0.3, -0.3), (0.3, 0.3, 0.3)
TIME_STEP = 0.005
"""A step of 0.02 relaxes moments faster by one per cent, which is more than the sampling error."""
TARGETS = [[0.3, 0.0, 0.0], [0.0, -0.2, 0.2], [0.2, 0.2, 0.0], [-0.2, 0.1, -0.2]]
SETS = {
    "train": (8.0, 250_000, 20, strain_training_set(*BOX, 8.0, seed=1, walks=38, directions=10)),
    "unseen": (6.0, 5_500_000, 60, load_hold_unload(6.0, TARGETS)),
}
"""Duration, replicas, steps between records, and paths. Rates are differences of terms that nearly
cancel: at measured moments they have eleven times the sampling error of the moments."""


def record(folder: Path, name: str, seed: int) -> TrajectoryEnsemble:
    """Return a record, from the folder where it is there."""
    path = folder / f"{name}.h5"
    if not path.is_file():
        duration, replicas, stride, paths = SETS[name]
        simulate(
            HookeanDumbbell(), paths, duration=duration, time_step=TIME_STEP, stride=stride,
            replicas=replicas, record="histogram", seed=seed, progress=False,
        ).save(path)  # fmt: skip
    return TrajectoryEnsemble.load(path)


def percent(value: FloatArray, reference: FloatArray) -> float:
    """Return the relative L2 error."""
    return 100.0 * float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/dumbbells"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    training, unseen = record(folder, "train", 1), record(folder, "unseen", 2)
    seconds = 0.0
    if not (folder / "run" / "model.pt").is_file():
        start = time.process_time()
        train(TrainingConfig(name="dumbbells"), training, folder / "run")
        seconds = time.process_time() - start
    law = open_law(folder / "run")
    evaluation = evaluate(law, unseen)
    measured, run = evaluation.measured, evaluation.predicted["controlled"]

    strain, stress = unseen.strain[:, :, 0], unseen.stress[:, :, 0]
    exact = LAW.moments(unseen.time, strain, LAW.equilibrium(strain[:, 0]))
    moments = (stress + LAW.thermal_energy * np.array([1.0, 1.0, 0.0])) / LAW.stiffness
    columns = np.ones((*measured.internal.shape[:2], law.internal_size + 1))
    columns[..., 1:] = measured.internal[:, :, 0]
    best = np.linalg.lstsq(columns.reshape(-1, columns.shape[-1]), moments.reshape(-1, 3))[0]
    rolled = best[0] + run.internal[:, :, 0] @ best[1:]
    rates = law.rates(
        measured.strain.reshape(-1, 3), measured.internal.reshape(-1, law.internal_size)
    )
    root = np.sqrt(2.0)
    tensors = np.stack([moments[..., [0, 2]] / [1.0, root], moments[..., [2, 1]] / [root, 1.0]], -2)
    exact_rate = mandel_of(LAW.rate(strain, exact))
    learned = (rates.rate @ best[1:]).reshape(exact_rate.shape)
    rows = {
        "stress": (percent(run.stress[:, :, 0], stress), percent(LAW.stress(exact), stress)),
        "moments": (percent(rolled, moments), percent(mandel_of(exact), moments)),
        "rates": (
            percent(learned, exact_rate),
            percent(mandel_of(LAW.rate(strain, tensors)), exact_rate),
        ),
    }
    table = [[name, f"{a:.2f}", f"{b:.2f}", f"{a / b:.2f}"] for name, (a, b) in rows.items()]
    print(f"{law.internal_size} means; training {seconds:.0f} s of CPU time")
    print(text_table(["quantity", "learned", "exact law", "ratio"], table))
    density = evaluation.density
    print(f"density {density['error']:.2f} % (sampling error {density['sampling_error']:.2f} %)")
    if arguments.json:
        numbers = {name: {"learned": a, "exact": b} for name, (a, b) in rows.items()}
        write(arguments.json, {"machine": describe_machine(), "seconds": seconds, **numbers})


if __name__ == "__main__":
    main()
