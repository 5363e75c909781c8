"""What a microsphere costs per quadrature point in C, and what makes it cheaper.

    python benchmarks/microsphere.py [--json FILE] [--repeats 5]

Fibres in many directions, each with a law of one strain: random weights, two hidden layers of 20
and 8 ridges, one and two internal variables. "warm" starts from the solution of a strain that
differs by 1e-3, as in the second global iteration of a finite-element step. Rows: batching (one
point per call against 200), plane symmetry (mirror directions merged), fewer directions, and a
smaller law distilled from the first (one hidden layer of 6, 2 ridges) with its error in stress and
state on steps it has not seen. CPU time of the thread, one core, median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from distilled import distil
from law_update import cpu_time
from machine import describe_machine

from ibvonn_fem.directions import lebedev
from ibvonn_fem.emit_c import merged_directions
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_train.export.parameters import LawParameters
from ibvonn_train.untrained import untrained_law

TIME_STEP = 0.05


class Solid:
    """Points of a solid, at small strain.

    Args:
        law: Of one strain.
        directions: Of the half sphere.
        components: 6 in space, 4 in plane strain.
        n_points: Quadrature points per call.
    """

    def __init__(self, law: LawParameters, directions: int, components: int, n_points: int) -> None:
        rule, rng = lebedev(directions), np.random.default_rng(0)
        self.kernel = CLibraryKernel(law.arrays())
        kept = list(range(components))
        self.projection, self.weight = merged_directions(rule.vectors, rule.weights, kept)
        self.old = 0.3 * rng.normal(size=(n_points, components))
        self.new = self.old + 0.03 * rng.normal(size=self.old.shape)
        states = (n_points, len(self.weight), law.internal_size)
        self.statev = 0.3 * rng.normal(size=states)

    def update(self, shift: float = 0.0, guess: np.ndarray | None = None):
        """One step to the new strain, moved by ``shift``."""
        return self.kernel.update_directions(
            self.projection, self.weight, self.new + shift, self.old, self.statev, TIME_STEP,
            guess=guess,
        )  # fmt: skip

    def microseconds(self, repeats: int) -> tuple[float, float]:
        """Per quadrature point, cold and warm."""
        near = self.update(shift=-1e-3).statev_new
        assert np.all(self.update().residual <= 1e-10)
        runs: list[Callable[[], object]] = [self.update, lambda: self.update(guess=near)]
        cold, warm = (cpu_time(run, repeats) / len(self.new) * 1e-3 for run in runs)
        return cold, warm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    document = {"machine": describe_machine(), "rows": []}
    print(json.dumps(document["machine"], indent=1))
    print(f"{'internal':>8} {'case':<44}{'directions':>11}{'cold [us]':>11}{'warm [us]':>11}")
    for n in (1, 2):
        law = untrained_law(1, n, context=(20, 20), seed=3)
        small, error = distil(law)
        cases = [
            ("space, 200 points per call", law, 55, 6, 200),
            ("space, 1 point per call", law, 55, 6, 1),
            ("plane strain, mirror directions merged", law, 55, 4, 200),
            ("space, fewer directions", law, 25, 6, 200),
            ("space, distilled law", small, 55, 6, 200),
            ("plane strain, distilled law", small, 55, 4, 200),
        ]
        for name, used, directions, components, points in cases:
            solid = Solid(used, directions, components, points)
            cold, warm = solid.microseconds(arguments.repeats)
            count = len(solid.weight)
            print(f"{n:>8} {name:<44}{count:>11}{cold:>11.1f}{warm:>11.1f}", flush=True)
            row = {"internal": n, "case": name, "directions": count, "cold_us": cold}
            document["rows"].append({**row, "warm_us": warm})
        print(
            f"{'':>8} distilled law, relative L2 error of a step: stress "
            f"{100 * error['stress']:.2f} %, state increment {100 * error['increment']:.2f} %"
        )
        document["rows"].append({"internal": n, "case": "distilled law, error", **error})
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
