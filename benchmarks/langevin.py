"""What the microsimulations cost, and what a shorter preparation of the chain changes.

    python benchmarks/langevin.py [--json FILE] [--repeats 3] [--preparation]
                                  [--engines compiled torch numpy jax torchsde] [--paper-only]

CPU seconds of one core (the process's own time, so that other jobs disturb little), median of the
repeats; the machine and the versions stand in the JSON. Beside our two engines run the same cases
in NumPy and, where they are installed, JAX and torchsde (``langevin_baselines.py``); their mean
forces must be ours. `--preparation` compares the paper's preparation of the chain with shorter
ones: half a minute.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import langevin_baselines as baselines
import numpy as np
import torch
from machine import describe_machine
from records import RESULTS, write
from timing import pin

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import (
    Preparation,
    SpringChain,
    TetheredParticle,
    chain_of_paper,
    simulate,
    trap_of_paper,
    unfolding_chain,
)
from ibvonn_train.simulation.protocols import hold, ramp

Case = tuple[str, Callable[[], TrajectoryEnsemble], float | None]
TRAP = "trap of the paper, 21 x 4000 x 301"
CHAIN = "chain of the paper, one length, 2000 x (50000 + 300)"
REPLICA_STEPS = {TRAP: 21 * 4000 * 300, CHAIN: 2000 * 50_300}
"""Steps of one replica, with all its beads."""

ELSEWHERE = {CHAIN: 27.8}
"""CPU seconds that the reference implementation of the paper (JAX) takes, on another machine."""

SAME_FORCE = 0.02
"""Largest relative L2 difference of mean forces: sampling makes up to 0.01 of it on the chain."""

HOT = Preparation(10_000, 0.02, 4.0)


def cases(engine: str, paper_only: bool = False) -> list[Case]:
    """Name, run and limit in CPU seconds of each case."""

    def run(system, protocols, **arguments):
        settings = {"time_step": 0.01, "duration": 3.0, "seed": 1, "engine": engine}
        return lambda: simulate(system, protocols, progress=False, **{**settings, **arguments})

    split = trap_of_paper()
    trap = [*split.train, *split.test]
    pull = chain_of_paper().train[2:3]
    listed: list[Case] = [
        (
            TRAP,
            run(TetheredParticle(), trap, replicas=4000),
            3.0,
        ),
        (
            CHAIN,
            run(SpringChain(), pull, replicas=2000),
            12.0 if engine == "torch" else 3.0,
        ),
    ]
    if engine == "torch" or paper_only:
        return listed
    fine = {"time_step": 1e-3, "stride": 10, "replicas": 2000}
    wide = {"dtype": torch.float64}
    long = (replace(HOT, steps=10_000), Preparation(400_000, 1e-3))
    return [
        *listed,
        (
            "trap in double precision",
            run(TetheredParticle(), trap, replicas=4000, **wide),
            None,
        ),
        ("chain in double precision", run(SpringChain(), pull, replicas=2000, **wide), None),
        (
            "chain, dt 0.001, equilibrium start, 2000 x (1500 + 3000)",
            run(SpringChain().from_equilibrium(1e-3), pull, **fine),
            None,
        ),
        (
            "chain, dt 0.001, the paper's preparation, 2000 x (410000 + 3000)",
            run(SpringChain(preparation=long), pull, **fine),
            None,
        ),
        (
            "unfolding chain, 20 springs, 2000 x (2000 + 5000)",
            run(
                unfolding_chain(),
                [ramp(0.1, 20.0)],
                time_step=0.02,
                duration=100.0,
                stride=20,
                replicas=2000,
            ),
            None,
        ),
    ]


def cpu_seconds(run: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return seconds


PREPARATIONS = {
    "the paper's": SpringChain(),
    "the paper's, other seed": SpringChain(),
    "hot stage of 1000 steps": SpringChain(
        preparation=(replace(HOT, steps=1000), Preparation(40_000, 0.01))
    ),
    "hot 1000, then 1500 only": SpringChain(
        preparation=(replace(HOT, steps=1000), Preparation(1500, 0.01))
    ),
    "equilibrium draw, then 1500": SpringChain().from_equilibrium(0.01),
}


def compare_preparations(replicas: int = 10_000) -> list[dict[str, object]]:
    """Occupation of the second wells and the profile of the mean strains at time zero."""
    rows = []
    for length in (0.13, 0.17, 0.2):
        elongation = torch.tensor([length - 0.1])
        exact = SpringChain().spring.open_distribution(elongation, 10, 5e-6)[0].numpy()
        for seed, (name, chain) in enumerate(PREPARATIONS.items()):
            data = simulate(
                chain,
                [hold(length)],
                duration=0.01,
                time_step=0.01,
                replicas=replicas,
                seed=seed,
                progress=False,
            )
            x = data.microstate[0, 0, :, :, 0].astype(float)
            share = np.bincount((x > 1).sum(0), minlength=11) / replicas
            rows.append(
                {
                    "length": length,
                    "preparation": name,
                    "open": float((x > 1).mean()),
                    "open, exact": float(exact @ np.arange(11) / 10),
                    "worst z of P(n)": float(
                        np.max(
                            np.abs(share - exact) / np.sqrt(exact * (1 - exact) / replicas + 1e-9)
                        )
                    ),
                    "end springs' excess strain": float(x[[0, -1]].mean() - x[1:-1].mean()),
                    "its error": float(np.sqrt(x.var() / replicas * (1 / 2 + 1 / 8))),
                    "mean force": float(data.stress[0, 0].mean()),
                }
            )
    return rows


def baseline_cases(engine: str) -> dict[str, baselines.Run]:
    """Case → run; torchsde takes the trap alone, the chain would take it minutes."""
    split = trap_of_paper()
    trap, pull = [*split.train, *split.test], chain_of_paper().train[2]
    in_trap = {
        "numpy": baselines.trap_in_numpy,
        "jax": baselines.trap_in_jax,
        "torchsde": baselines.trap_in_torchsde,
    }
    in_chain = {"numpy": baselines.chain_in_numpy, "jax": baselines.chain_in_jax}
    forces = {TRAP: in_trap[engine](trap, 4000, 300)}
    if engine in in_chain:
        forces[CHAIN] = in_chain[engine](pull, 2000, 300)
    return forces


def our_forces() -> dict[str, np.ndarray]:
    """Mean forces of the two cases, which the baselines must reproduce."""
    data = {name: run() for name, run, _ in cases("compiled", paper_only=True)}
    return {TRAP: data[TRAP].stress[..., 0, 0], CHAIN: data[CHAIN].stress[0, :, -1, 0]}


def check_force(engine: str, case: str, force: np.ndarray, ours: np.ndarray) -> None:
    difference = np.linalg.norm(force - ours) / np.linalg.norm(ours)
    if not difference <= SAME_FORCE:
        raise ValueError(
            f"{engine}, {case}: the mean force must agree with ours within {SAME_FORCE:g}; the "
            f"relative difference is {difference:.3f}."
        )


def result(case: str, engine: str, seconds: list[float], limit: float | None) -> dict[str, object]:
    """One row, printed."""
    median = statistics.median(seconds)
    row: dict[str, object] = {"case": case, "engine": engine, "cpu_s": seconds, "limit_s": limit}
    speed = ""
    if case in REPLICA_STEPS:
        row["replica_steps_per_s"] = REPLICA_STEPS[case] / median
        speed = f"{REPLICA_STEPS[case] / median:.3g}"
    print(f"{median:8.2f} {limit or '':>6} {speed:>15}  {engine:9} {case}", flush=True)
    return row


def run_ours(engine: str, repeats: int, paper_only: bool) -> list[dict[str, object]]:
    simulate(  # compiles, if this machine has not yet
        TetheredParticle(),
        [hold(0.0)],
        duration=0.01,
        time_step=0.01,
        replicas=2,
        seed=0,
        engine=engine,
        progress=False,
    )
    return [
        result(name, engine, cpu_seconds(run, repeats), limit)
        for name, run, limit in cases(engine, paper_only)
    ]


def run_baseline(
    engine: str, repeats: int, forces: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    rows = []
    for case, run in baseline_cases(engine).items():
        start = time.process_time()
        check_force(engine, case, run(), forces[case])
        first = time.process_time() - start
        # JAX compiles in its first call; for the others that is a repeat like any other.
        extra = repeats if engine == "jax" else repeats - 1
        again = cpu_seconds(run, extra)
        seconds = again if engine == "jax" else [first, *again]
        rows.append(result(case, engine, seconds, None) | {"first_cpu_s": first})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS / "langevin.json")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--preparation", action="store_true")
    parser.add_argument(
        "--engines", nargs="+", default=["compiled", "torch", *baselines.installed()]
    )
    parser.add_argument("--paper-only", action="store_true", help="the paper's two cases alone")
    options = parser.parse_args()
    pin()
    torch.set_num_threads(1)
    report: dict[str, object] = {
        "machine": describe_machine(),
        "replica_steps": REPLICA_STEPS,
        "elsewhere_cpu_s": ELSEWHERE,
    }
    print(f"{'CPU s':>8} {'limit':>6} {'replica-steps/s':>15}  engine    case")
    results, forces = [], our_forces()
    for engine in options.engines:
        if engine in ("compiled", "torch"):
            results += run_ours(engine, options.repeats, options.paper_only)
        else:
            results += run_baseline(engine, options.repeats, forces)
    report["results"] = results
    if options.preparation:
        rows = report["preparation"] = compare_preparations()
        print("\n    L    open   exact  worst z   excess     +-      force")
        for row in rows:
            length, name, *numbers = row.values()
            line = "{:5} {:7.4f} {:7.4f} {:8.1f} {:8.4f} {:6.4f} {:10.2e}"
            print(line.format(length, *numbers), name)
    write(options.json, report)


if __name__ == "__main__":
    main()
