"""What one update of a law with populations costs: C against ONNX Runtime, torch, NumPy and JAX.

    python benchmarks/population_update.py [--json FILE] [--rounds 7] [--no-compile]

As ``law_update.py``, at 1e4 points on one core and on the same steps in the same run, for laws of n
strains and n populations of two states with random weights, n = 1, 3, 6. Energy and rates have two
hidden layers of 16 units per population, the sizes of the shipped laws and of the fcc lattice. The
hand-written baselines (``hand_written_populations.py``) take exactly as many plain Newton steps as
the slowest point needs, in the best of several block sizes. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from law_runtimes import Runtimes, population_law
from law_update import MAIN_BATCH, best_blocks, evaluation_products, peak_fma
from machine import describe_machine
from records import write
from timing import interleaved, pin

MICROSECONDS = {1: 1.2, 3: 8.0, 6: 20.0}
"""Most that a cold start may cost, by number of populations."""

WIDTH = 16
AT_LEAST = {"onnx": 10.0, "torch.compile": 5.0}
SHARE = 0.30
"""Of the peak of fused multiply-adds, by the products of one evaluation."""


def measure(n: int, rounds: int, compile_torch: bool, peak: float) -> dict:
    """Nanoseconds per point of every runtime at the main batch."""
    law = population_law(n, WIDTH * n)
    runtimes = Runtimes(law, compile_torch)
    blocks = best_blocks(runtimes)
    calls = runtimes.calls(MAIN_BATCH, None, baselines=False)
    for block in set(blocks.values()):
        chosen = runtimes.calls(MAIN_BATCH, block, baselines=True)
        calls |= {name: call for name, call in chosen.items() if blocks.get(name) == block}
    times = {name: t / MAIN_BATCH for name, t in interleaved(calls, rounds).items()}
    products = evaluation_products(runtimes.fast)
    return {
        "law": law.name,
        "populations": n,
        "newton_steps_of_baselines": runtimes.steps,
        "passes_of_the_graph": runtimes.graph_passes(),
        "blocks": blocks,
        "compile_seconds": runtimes.compile_seconds,
        "ns_per_point": times,
        "products_of_one_evaluation": products,
        "share_of_fma_peak": products / peak / times["c one evaluation"],
    }


def print_result(result: dict) -> None:
    times = result["ns_per_point"]
    print(f"\n{result['law']}: CPU ns per point at {MAIN_BATCH} points")
    for name, spent in times.items():
        print(f"{name:<20}{spent:>10.0f}{spent / times['c']:>9.2f} times c")
    print(
        f"Newton steps of the baselines {result['newton_steps_of_baselines']}, passes of the graph "
        f"{result['passes_of_the_graph']}; {result['products_of_one_evaluation']} multiply-adds "
        f"in the products of one evaluation, {100 * result['share_of_fma_peak']:.0f} % of the peak"
    )


def missed_targets(result: dict) -> int:
    """Print every target of a law with its verdict; return how many are missed."""
    times = result["ns_per_point"]
    most = MICROSECONDS[result["populations"]]
    rows = [("c cold, microseconds", 1e-3 * times["c"], "at most", most)]
    rows += [
        (f"{name}, times c", times[name] / times["c"], "at least", bound)
        for name, bound in AT_LEAST.items()
        if name in times
    ]
    rows.append(("share of the FMA peak", result["share_of_fma_peak"], "at least", SHARE))
    misses = 0
    print(f"\ntargets, {result['law']}")
    for name, value, relation, bound in rows:
        met = value <= bound if relation == "at most" else value >= bound
        misses += not met
        print(f"{name:<26}{value:>8.2f}  {relation:<8} {bound:<5g} {'yes' if met else 'NO'}")
    return misses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--populations", type=int, nargs="+", choices=tuple(MICROSECONDS))
    parser.add_argument("--core", type=int, help="default: the last that is allowed")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()
    core = pin(arguments.core)
    torch.set_num_threads(1)
    peak = peak_fma()
    document = {"machine": describe_machine(), "peak_fma_per_ns": peak, "results": []}
    print(json.dumps(document["machine"], indent=1))
    print(f"core {core}, FMA peak {peak:.2f} per ns", flush=True)
    for n in arguments.populations or MICROSECONDS:
        result = measure(n, arguments.rounds, not arguments.no_compile, peak)
        document["results"].append(result)
        print_result(result)
        sys.stdout.flush()
    misses = sum(missed_targets(result) for result in document["results"])
    if arguments.json:
        write(arguments.json, document)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
