"""What the microsimulations cost, and what a shorter preparation of the chain changes.

    python benchmarks/langevin.py [--json FILE] [--repeats 3] [--preparation]
                                  [--engines compiled torch]

CPU seconds of one core (the process's own time, so that other jobs disturb little), median of the
repeats; the machine and the versions stand in the JSON. `--preparation` compares the paper's
preparation of the chain with shorter ones: half a minute.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.simulation import (
    Preparation,
    SpringChain,
    TetheredParticle,
    chain_of_paper,
    hold,
    ramp,
    simulate,
    trap_of_paper,
    unfolding_chain,
)

Case = tuple[str, Callable[[], TrajectoryEnsemble], float | None]
HOT = Preparation(10_000, 0.02, 4.0)


def cases(engine: str) -> list[Case]:
    """Name, run and limit in CPU seconds of each case."""

    def run(system, protocols, **arguments):
        settings = {"time_step": 0.01, "duration": 3.0, "seed": 1, "engine": engine}
        return lambda: simulate(system, protocols, progress=False, **{**settings, **arguments})

    split = trap_of_paper()
    trap = [*split.train, *split.test]
    pull = chain_of_paper().train[2:3]
    listed: list[Case] = [
        (
            "trap of the paper, 21 x 4000 x 301",
            run(TetheredParticle(), trap, replicas=4000),
            3.0,
        ),
        (
            "chain of the paper, one length, 2000 x (50000 + 300)",
            run(SpringChain(), pull, replicas=2000),
            12.0 if engine == "torch" else 3.0,
        ),
    ]
    if engine == "torch":
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


def cpu_seconds(run: Callable[[], TrajectoryEnsemble], repeats: int) -> list[float]:
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return taken


def machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False)
    return {
        "processor": model,
        "vector": next((f for f in ("avx512f", "avx2", "sse2") if f in flags), "unknown"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "compiler": compiler.stdout.splitlines()[0] if compiler.stdout else "none",
    }


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
                    "mean force": float(data.site_force[0, 0].mean()),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks/langevin.json"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--preparation", action="store_true")
    parser.add_argument("--engines", nargs="+", default=["compiled", "torch"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    print(f"{'CPU s':>8} {'limit':>6}  engine    case")
    for engine in options.engines:
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
        for name, run, limit in cases(engine):
            taken = cpu_seconds(run, options.repeats)
            median = statistics.median(taken)
            print(f"{median:8.2f} {limit or '':>6}  {engine:9} {name}", flush=True)
            results.append({"case": name, "engine": engine, "cpu_s": taken, "limit_s": limit})
    report = {"machine": machine(), "results": results}
    print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    if options.preparation:
        report["preparation"] = compare_preparations()
        print("\n    L    open   exact  worst z   excess     +-      force")
        for row in report["preparation"]:
            length, name, *numbers = row.values()
            line = "{:5} {:7.4f} {:7.4f} {:8.1f} {:8.4f} {:6.4f} {:10.2e}"
            print(line.format(length, *numbers), name)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
