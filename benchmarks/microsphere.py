"""What a microsphere costs per quadrature point in C, and what makes it cheaper.

    python benchmarks/microsphere.py [--json FILE] [--rounds 5]

Fibres in many directions, each with a law of one strain: random weights, two hidden layers of 20
and 8 ridges, one and two internal variables. "warm" starts from the solution of a strain that
differs by 1e-3, as in the second global iteration of a finite-element step. Rows:

* batching: 200 quadrature points per call against one;
* plane symmetry: the mirror directions of plane strain merged;
* fewer directions: 25 in place of 55.

Errors are those of the stress after one step, relative, L2, against 385 directions. CPU time, one
core, median of interleaved rounds.
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
from machine import describe_machine
from records import write
from timing import interleaved, pin

from ibvonn_fem.directions import lebedev
from ibvonn_fem.emit_c.emit import merged_directions
from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export.parameters import LawParameters

TIME_STEP = 0.05
POINTS = 200
FINEST = 385
BASE = "55 directions, 200 points per call"


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
        # The same function of the direction whatever the set, so that sets can be compared.
        fibre = 0.5 * self.old @ self.projection.T
        self.statev = np.repeat(fibre[:, :, None], law.internal_size, axis=2)

    def update(self, shift: float = 0.0, guess: np.ndarray | None = None) -> LocalUpdate:
        """One step to the new strain, moved by ``shift``."""
        return self.kernel.update_directions(
            self.projection, self.weight, self.new + shift, self.old, self.statev, TIME_STEP,
            guess=guess,
        )  # fmt: skip

    def calls(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """One step from the old state, and from the solution of another global iteration."""
        near = self.update(shift=-1e-3).statev_new
        assert np.all(self.update().residual <= 1e-10)
        return self.update, lambda: self.update(guess=near)


def relative(value: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def measure(n: int, rounds: int) -> list[dict]:
    """Rows of the table for laws with ``n`` internal variables."""
    law = untrained_law(1, n, context=(20, 20), seed=3)
    solids = {
        "55 directions, 1 point per call": Solid(law, 55, 6, 1),
        BASE: Solid(law, 55, 6, POINTS),
        "  plane strain, mirrors merged": Solid(law, 55, 4, POINTS),
        "  25 directions": Solid(law, 25, 6, POINTS),
    }
    calls = {}
    for name, solid in solids.items():
        calls[name, "cold"], calls[name, "warm"] = solid.calls()
    spent = interleaved(calls, rounds)
    finest = Solid(law, FINEST, 6, POINTS).update().stress
    right = {6: finest, 4: Solid(law, FINEST, 4, POINTS).update().stress}
    rows = []
    for name, solid in solids.items():
        count = len(solid.weight)
        row = {"internal": n, "case": name.strip(), "directions": count, "title": name}
        for start in ("cold", "warm"):
            if (name, start) in spent:
                row[f"{start}_us"] = spent[name, start] / len(solid.new) * 1e-3
        if len(solid.new) == POINTS:
            row["stress_error"] = relative(solid.update().stress, right[solid.new.shape[1]])
        rows.append(row)
    return rows


def print_table(rows: list[dict]) -> None:
    print(
        f"\n{'internal':>8}  {'case':<36}{'evaluated':>9}{'cold us':>9}{'gain':>7}{'warm us':>9}"
        f"{'gain':>7}{'error':>9}"
    )
    base = {row["internal"]: row for row in rows if row["case"] == BASE}
    for row in rows:
        line = f"{row['internal']:>8}  {row['title']:<36}{row['directions']:>9}"
        for key in ("cold_us", "warm_us"):
            cell = f"{'-':>9}{'-':>7}"
            if key in row:
                cell = f"{row[key]:>9.1f}{base[row['internal']][key] / row[key]:>7.2f}"
            line += cell
        error = f"{100 * row['stress_error']:.3f} %" if "stress_error" in row else "-"
        print(f"{line}{error:>9}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, help="default: the last that is allowed")
    arguments = parser.parse_args()
    pin(arguments.core)
    torch.set_num_threads(1)
    document = {"machine": describe_machine(), "rounds": arguments.rounds, "rows": []}
    print(json.dumps(document["machine"], indent=1))
    for n in (1, 2):
        document["rows"] += measure(n, arguments.rounds)
    print_table(document["rows"])
    if arguments.json:
        write(arguments.json, document)


if __name__ == "__main__":
    main()
