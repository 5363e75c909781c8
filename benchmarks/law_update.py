"""What one update of a law costs: C against ONNX Runtime, torch, NumPy and JAX, on one core.

    python benchmarks/law_update.py [--json FILE] [--figure FILE] [--rounds 7] [--no-compile]

Laws with random weights, two hidden layers of 20 (energy and context network) and 8 ridges;
float64, tolerance 1e-10. Every runtime takes the same steps from the same states; "cold" starts
Newton's method at the old state, "warm" from the solution of a strain that differs by 1e-3, as in
the second global iteration of a finite-element step. CPU time of the process, bound to one core;
the runtimes take turns, and the median of the rounds counts.
The baselines:

* onnx: ``constitutive.onnx`` as ``ibvonn_fem`` runs it in ONNX Runtime, one thread;
* torch eager, torch.compile, numpy, jax (where it is installed): derivatives written out by hand,
  with exactly as many plain Newton steps as the slowest point needs (``hand_written.py``), in the
  best of several block sizes;
* torch export: the module that is exported, in eager mode.

Each baseline is held against a figure measured elsewhere with other code for the same sizes, after
scaling by the peak of fused multiply-adds of both cores, so that none is a straw man.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cffi
import torch
from law_runtimes import COMPILED, Runtimes, convex_law
from machine import describe_machine
from records import write
from timing import interleaved, pin

from ibvonn_fem.files.c_compiler import FAST_FLAGS, PLAIN_FLAGS, find_compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kernels.compiler import source_directory

SIZES = ((1, 1), (6, 2))
BATCHES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
MAIN_BATCH = 10_000
LARGEST_BASELINE = 100_000
BLOCKS = (512, 2048, 10_000)
POINTS = 300_000
"""Points per runtime after which a large batch is not repeated any more."""

LINEAR = 1.3
"""Growth of the cost per point from the main batch to the largest that still counts as linear."""

ELSEWHERE = {
    "c": (1770, 2540),
    "torch.compile": (9740, None),
    "jax": (13600, 18700),
    "onnx": (19800, 23400),
    "numpy": (21900, 29000),
    "torch eager": (30600, 22800),
}
"""Nanoseconds per point at 1e4 points by size of the law, measured elsewhere with other code."""

ELSEWHERE_EVALUATION = 411.0
ELSEWHERE_SHARE = 0.30
"""Nanoseconds of one evaluation of that C code, and its share of that core's peak: together with
the products of an evaluation they give the peak."""

TOLERANCE = 1.3


def evaluation_products(kernel: CLibraryKernel) -> int:
    """Multiply-adds of the matrix-vector products in one evaluation, with its other networks."""
    law = kernel.law
    ne, n, layers, _, ridges = (int(size) for size in law.sizes[:5])
    widths = law.sizes[5 : 5 + layers].tolist()
    d, means = ne + n, law.mean_size
    count = sum(2 * width * d for width in widths)  # skip connections, forward and back
    count += sum(a * b * (d + 2) for a, b in zip(widths[1:], widths, strict=False))
    if means:
        columns = [d, *law.context_widths, means * (means + 1) // 2 + ridges]
        count += sum(a * b for a, b in pairwise(columns)) + 2 * ridges * means
    if law.populations:
        columns = [d + law.pair_count, *law.rate_widths, law.pair_count]
        count += sum(a * b for a, b in pairwise(columns))
    return count


def peak_fma() -> float:
    """Fused multiply-adds per nanosecond of one core."""
    source = Path(__file__).with_name("peak_fma.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        subprocess.run(
            [find_compiler(), *FAST_FLAGS, "-fPIC", "-shared", f"-I{source_directory()}", "-o",
             library, source],
            check=True,
        )  # fmt: skip
        ffi = cffi.FFI()
        ffi.cdef("double peak_fma(long n);")
        function = ffi.dlopen(str(library)).peak_fma
        return max(function(1_000_000) for _ in range(7))


def compile_seconds(flags: tuple[str, ...]) -> float:
    """CPU seconds that the compiler takes for the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.times()
        subprocess.run(
            [find_compiler(), *flags, "-fPIC", "-shared", "-Wno-psabi", "-o", f"{folder}/law.so",
             source_directory() / "law.c", "-lm"],
            check=True,
        )  # fmt: skip
        after = os.times()
    spent = after.children_user - before.children_user
    return spent + after.children_system - before.children_system


def best_blocks(runtimes: Runtimes) -> dict[str, int]:
    """Points per call with which each baseline is fastest."""
    trials = {
        (name, block): call
        for block in BLOCKS
        for name, call in runtimes.calls(MAIN_BATCH, block, baselines=True).items()
        if name not in COMPILED
    }
    spent = interleaved(trials, 2)
    names = {name for name, _ in trials}
    return {name: min(BLOCKS, key=lambda block: spent[name, block]) for name in names}


def measure(
    sizes: tuple[int, int], rounds: int, compile_torch: bool, peak: float, largest: int
) -> dict:
    """Nanoseconds per point of every runtime, by batch size up to ``largest``."""
    runtimes = Runtimes(convex_law(sizes), compile_torch)
    blocks = best_blocks(runtimes)
    times: dict[str, dict[int, float]] = {}
    for n in [batch for batch in BATCHES if batch <= max(largest, MAIN_BATCH)]:
        baselines = n <= LARGEST_BASELINE
        calls = runtimes.calls(n, None, baselines)
        if n >= MAIN_BATCH:
            for block in set(blocks.values()) if baselines else ():
                chosen = runtimes.calls(n, block, baselines)
                calls |= {name: call for name, call in chosen.items() if blocks.get(name) == block}
        repeats = rounds if n <= MAIN_BATCH else max(1, min(rounds, POINTS // n))
        for name, spent in interleaved(calls, repeats).items():
            times.setdefault(name, {})[n] = spent / n
        print(f"  {n} points done", flush=True)
    products = evaluation_products(runtimes.fast)
    return {
        "sizes": sizes,
        "newton_steps_of_baselines": runtimes.steps,
        "passes_of_the_graph": runtimes.graph_passes(),
        "blocks": blocks,
        "compile_seconds": runtimes.compile_seconds,
        "ns_per_point": times,
        "products_of_one_evaluation": products,
        "share_of_fma_peak": products / peak / times["c one evaluation"][MAIN_BATCH],
    }


def rows_of(result: dict) -> list[str]:
    """Names of the runtimes, those that are not installed among them."""
    names = list(result["ns_per_point"])
    return names + [name for name in ELSEWHERE if name not in names]


def print_batches(result: dict) -> None:
    """Cost by batch size, its growth beyond the main batch, and ratios to the C kernel."""
    m, n = result["sizes"]
    print(f"\n{m} strain, {n} internal: CPU ns per point by points per call")
    head = "".join(f"{batch:>9.0e}" for batch in BATCHES)
    print(f"{'runtime':<18}{head}{'growth':>8}{'linear':>7}{'to c':>7}{'to c warm':>10}")
    for name in rows_of(result):
        series = result["ns_per_point"].get(name)
        if series is None:
            print(f"{name:<18}  not installed, or left out")
            continue
        cells = "".join(
            f"{series[batch]:>9.0f}" if batch in series else f"{'-':>9}" for batch in BATCHES
        )
        main, fast = series[MAIN_BATCH], result["ns_per_point"]
        growth = series[max(series)] / main
        print(
            f"{name:<18}{cells}{growth:>8.2f}{'yes' if growth <= LINEAR else 'NO':>7}"
            f"{main / fast['c'][MAIN_BATCH]:>7.2f}{main / fast['c warm'][MAIN_BATCH]:>10.2f}"
        )
    print(
        f"one evaluation: {result['products_of_one_evaluation']} multiply-adds in matrix-vector "
        f"products, {100 * result['share_of_fma_peak']:.0f} % of the measured FMA peak"
    )
    listed = ", ".join(f"{name} {s:.1f} s" for name, s in result["compile_seconds"].items())
    print(f"time to the first result: {listed}; Newton steps {result['newton_steps_of_baselines']}")


def print_elsewhere(results: list[dict], peak: float) -> None:
    """Every runtime against the figure from elsewhere, scaled by the peaks of both cores."""
    products = results[0]["products_of_one_evaluation"]
    scale = products / (ELSEWHERE_SHARE * ELSEWHERE_EVALUATION) / peak
    print(f"\nagainst figures from elsewhere, scaled by {scale:.2f}, the ratio of the FMA peaks")
    print(f"{'runtime':<18}{'sizes':<8}{'here':>8}{'scaled':>8}{'ratio':>7}  verdict")
    for name, figures in ELSEWHERE.items():
        for result, figure in zip(results, figures, strict=True):
            series = result["ns_per_point"].get(name)
            if series is None or figure is None:
                continue
            here, there = series[MAIN_BATCH], scale * figure
            ratio = here / there
            verdict = f"within {TOLERANCE}"
            if ratio < 1.0 / TOLERANCE:
                verdict = "faster here than elsewhere: no straw man"
            elif ratio > TOLERANCE and name == "onnx":
                verdict = (
                    f"slower here: {result['passes_of_the_graph']} safeguarded passes over all "
                    f"points, to 1e-13 ({result['newton_steps_of_baselines']} plain ones to 1e-10)"
                )
            elif ratio > TOLERANCE:
                verdict = f"SLOWER here: {result['newton_steps_of_baselines']} Newton steps"
            sizes = f"({result['sizes'][0]}, {result['sizes'][1]})"
            print(f"{name:<18}{sizes:<8}{here:>8.0f}{there:>8.0f}{ratio:>7.2f}  {verdict}")


def print_targets(document: dict) -> None:
    """The figures that the first law is meant to reach."""
    result = document["results"][0]
    at = {name: series[MAIN_BATCH] for name, series in result["ns_per_point"].items()}
    ratios = [
        (f"{name}, times c (cold)", at[name] / at["c"], 10.0 if name == "onnx" else 5.0)
        for name in ("onnx", "torch.compile", "torch eager", "numpy", "jax")
        if name in at
    ]
    at_least = [*ratios, ("share of the FMA peak", result["share_of_fma_peak"], 0.25)]
    at_most = [
        ("c cold, microseconds", 1e-3 * at["c"], 1.8),
        ("c warm, microseconds", 1e-3 * at["c warm"], 1.0),
        ("compiling the C kernel, s", max(document["compile_seconds"].values()), 3.0),
    ]
    print("\ntargets, 1 strain and 1 internal variable, 1e4 points")
    for name, value, bound in at_least:
        verdict = "yes" if value >= bound else "NO"
        print(f"{name:<30}{value:>8.2f}  at least {bound:<5g} {verdict}")
    for name, value, bound in at_most:
        verdict = "yes" if value <= bound else "NO"
        print(f"{name:<30}{value:>8.2f}  at most  {bound:<5g} {verdict}")


def draw(results: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(10, 4), sharey=True, layout="constrained")
    for ax, r in zip(axes, results, strict=True):
        for name, series in r["ns_per_point"].items():
            style = "-o" if name in COMPILED else "--s"
            ax.loglog(list(series), [t * 1e-3 for t in series.values()], style, ms=3, label=name)
        ax.set(title=f"{r['sizes'][0]} strain, {r['sizes'][1]} internal", xlabel="points per call")
    axes[0].set_ylabel("CPU time per point [µs]")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, help="default: the last that is allowed")
    parser.add_argument("--largest", type=int, default=max(BATCHES), help="points per call")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()
    core = pin(arguments.core)
    torch.set_num_threads(1)
    peak = peak_fma()
    document = {
        "machine": describe_machine(),
        "peak_fma_per_ns": peak,
        "compile_seconds": {" ".join(f): compile_seconds(f) for f in (FAST_FLAGS, PLAIN_FLAGS)},
        "rounds": arguments.rounds,
        "results": [],
    }
    print(json.dumps(document["machine"], indent=1))
    print(f"core {core}, FMA peak {peak:.2f} per ns")
    for flags, seconds in document["compile_seconds"].items():
        print(f"compiling the C kernel: {seconds:.2f} s of CPU with {flags}")
    for sizes in SIZES:
        print(f"{sizes}:")
        result = measure(sizes, arguments.rounds, not arguments.no_compile, peak, arguments.largest)
        document["results"].append(result)
    for result in document["results"]:
        print_batches(result)
    print_elsewhere(document["results"], peak)
    print_targets(document)
    if arguments.json:
        write(arguments.json, document)
    if arguments.figure:
        draw(document["results"], arguments.figure)


if __name__ == "__main__":
    main()
