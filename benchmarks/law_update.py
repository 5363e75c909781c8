"""What one update of a law costs: C against ONNX Runtime, torch and NumPy, on one core.

    python benchmarks/law_update.py [--json FILE] [--figure FILE] [--repeats 7] [--no-compile]

Laws with random weights, two hidden layers of 20 (energy and context network) and 8 ridges;
float64, tolerance 1e-10. Every runtime takes the same steps from the same states; "cold" starts
Newton's method at the old state, "warm" from the solution of a strain that differs by 1e-3, as in
the second global iteration of a finite-element step. CPU time of the thread, median of the
repeats; other jobs on the machine disturb it little.
The baselines:

* onnx: ``constitutive.onnx`` in ONNX Runtime, one thread;
* torch eager, torch.compile, NumPy: derivatives written out by hand, with exactly as many plain
  Newton steps as the slowest point needs (``hand_written.py``), in the best of several block sizes;
* torch export: the module that is exported, in eager mode.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cffi
import numpy as np
import torch
from hand_written import HandWritten
from machine import describe_machine

from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kernels.compiler import FAST_FLAGS, PLAIN_FLAGS, find_compiler, source_directory
from ibvonn_fem.kernels.onnx import OnnxKernel
from ibvonn_train.export.law import Law
from ibvonn_train.export.onnx import constitutive_model, rates_model
from ibvonn_train.untrained import untrained_law

SIZES = ((1, 1), (6, 2))
BATCHES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
MAIN_BATCH = 10_000
LARGEST_BASELINE = 10_000
TIME_STEP = 0.05
BLOCKS = (512, 2048, 10_000)


def cpu_time(run: Callable[[], object], repeats: int) -> float:
    """Median CPU nanoseconds of one call; short calls are repeated until they are measurable."""
    run()
    start = time.thread_time_ns()
    run()
    count = max(1, int(2e6 / max(time.thread_time_ns() - start, 1)))
    found = []
    for _ in range(repeats):
        start = time.thread_time_ns()
        for _ in range(count):
            run()
        found.append((time.thread_time_ns() - start) / count)
    return statistics.median(found)


def random_steps(sizes: tuple[int, int], n: int) -> tuple[np.ndarray, ...]:
    """States of the training box, strain increments of 5 per cent of its half width."""
    rng = np.random.default_rng(1)
    strain_old = 0.5 * rng.normal(size=(n, sizes[0]))
    statev = 0.5 * rng.normal(size=(n, sizes[1]))
    return strain_old + 0.05 * rng.normal(size=strain_old.shape), strain_old, statev


def newton_steps(law: HandWritten, states: tuple[np.ndarray, ...]) -> int:
    """Plain Newton steps after which every point has converged to 1e-10."""
    for count in range(1, 30):
        if np.all(law.update(*states, TIME_STEP, count)[5] <= 1e-10):
            return count
    raise ArithmeticError("plain Newton steps do not converge")


class Runtimes:
    """Every runtime of one law.

    Args:
        sizes: n_ε and n_α.
        compile_torch: Include ``torch.compile`` (a minute).
    """

    def __init__(self, sizes: tuple[int, int], compile_torch: bool) -> None:
        self.sizes = sizes
        parameters = untrained_law(*sizes, context=(20, 20), seed=3)
        arrays = parameters.arrays()
        law = Law.of(parameters)
        self.fast = CLibraryKernel(arrays)
        self.plain = CLibraryKernel(arrays, flags=PLAIN_FLAGS)
        self.onnx = OnnxKernel(
            constitutive_model(law.update()).SerializeToString(),
            rates_model(law.rates(), sizes[1]).SerializeToString(),
        )
        self.export = law.update()
        self.numpy, self.torch = HandWritten(arrays, np), HandWritten(arrays, torch)
        self.steps = newton_steps(self.numpy, random_steps(sizes, 1000))
        self.compiled = torch.compile(self.torch.update, dynamic=True) if compile_torch else None

    def runs(self, n: int, block: int | None = None) -> dict[str, Callable[[], object]]:
        """Name and one call of each runtime at ``n`` points; baselines in blocks."""
        strain, old, statev = states = random_steps(self.sizes, n)
        dt, out = np.array(TIME_STEP), LocalUpdate.empty(n, *self.sizes)
        near = self.fast.update(strain - 1e-3, old, statev, dt).statev_new
        exact = self.fast.update(*states, dt).statev_new.copy()

        def cold(kernel: CLibraryKernel | OnnxKernel) -> Callable[[], object]:
            return lambda: kernel.update(*states, dt, out=out)

        runs: dict[str, Callable[[], object]] = {
            "c": cold(self.fast),
            "c warm": lambda: self.fast.update(*states, dt, guess=near, out=out),
            "c converged guess": lambda: self.fast.update(*states, dt, guess=exact, out=out),
            "c one evaluation": lambda: self.fast.rates(strain, statev),
            "c -O2": cold(self.plain),
        }
        if n > LARGEST_BASELINE:
            return runs
        pieces = [slice(i, i + (block or n)) for i in range(0, n, block or n)]
        tensors = [torch.from_numpy(array) for array in states]
        column = torch.full((n, 1), TIME_STEP, dtype=torch.float64)

        def by_hand(update: Callable[..., object], arrays: object) -> Callable[[], object]:
            return lambda: [update(*(a[p] for a in arrays), TIME_STEP, self.steps) for p in pieces]

        def exported() -> None:
            with torch.no_grad():
                for p in pieces:
                    self.export(*(t[p] for t in tensors), column[p])

        def in_onnx() -> None:
            for p in pieces:
                self.onnx.update(*(a[p] for a in states), dt)

        runs |= {
            "onnx": in_onnx,
            "torch eager": by_hand(self.torch.update, tensors),
            "torch export": exported,
            "numpy": by_hand(self.numpy.update, states),
        }
        if self.compiled is not None:
            runs["torch.compile"] = by_hand(self.compiled, tensors)
        return runs


def evaluation_products(law: CLibraryKernel) -> int:
    """Multiply-adds of the matrix-vector products in one evaluation, with its context."""
    ne, n, layers, context, ridges = (int(size) for size in law.law.sizes[:5])
    widths = law.law.sizes[5 : 5 + layers].tolist()
    inner = law.law.sizes[5 + layers :].tolist()
    d = ne + n
    count = sum(2 * width * d for width in widths)  # skip connections, forward and back
    count += sum(a * b * (d + 2) for a, b in zip(widths[1:], widths, strict=False))
    columns = [d, *inner, n * (n + 1) // 2 + ridges]
    assert context == len(columns) - 1
    return count + sum(a * b for a, b in zip(columns[1:], columns, strict=False)) + 2 * ridges * n


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


def measure(sizes: tuple[int, int], repeats: int, compile_torch: bool, peak: float) -> dict:
    """Nanoseconds per point of every runtime, by batch size."""
    runtimes = Runtimes(sizes, compile_torch)
    found: dict[str, dict[int, float]] = {}
    for n in BATCHES:
        for name, run in runtimes.runs(n).items():
            found.setdefault(name, {})[n] = cpu_time(run, repeats) / n
        print(f"  {n} points done", flush=True)
    for block in BLOCKS:  # baselines may choose the block that suits their cache best
        for name, run in runtimes.runs(MAIN_BATCH, block).items():
            if not name.startswith("c"):
                best = min(found[name][MAIN_BATCH], cpu_time(run, repeats) / MAIN_BATCH)
                found[name][MAIN_BATCH] = best
    products = evaluation_products(runtimes.fast)
    share = products / peak / found["c one evaluation"][MAIN_BATCH]
    return {
        "sizes": sizes,
        "newton_steps_of_baselines": runtimes.steps,
        "ns_per_point": found,
        "products_of_one_evaluation": products,
        "share_of_fma_peak": share,
    }


def print_table(results: list[dict]) -> None:
    print(f"\nns per point at {MAIN_BATCH} points" + " " * 13 + "times the cold C kernel")
    header = "".join(f"{r['sizes']!s:>10}" for r in results)
    print(f"{'runtime':<20}{header}{'':>8}{header}")
    for name in results[0]["ns_per_point"]:
        times = [r["ns_per_point"][name][MAIN_BATCH] for r in results]
        ratios = [
            t / r["ns_per_point"]["c"][MAIN_BATCH] for t, r in zip(times, results, strict=True)
        ]
        row = "".join(f"{t:>10.0f}" for t in times)
        print(f"{name:<20}{row}{'':>8}" + "".join(f"{x:>10.2f}" for x in ratios))
    for r in results:
        print(
            f"{r['sizes']}: matrix-vector products of one evaluation at "
            f"{100 * r['share_of_fma_peak']:.0f} % of the measured FMA peak"
        )


def draw(results: list[dict], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(10, 4), sharey=True, layout="constrained")
    for ax, r in zip(axes, results, strict=True):
        for name, series in r["ns_per_point"].items():
            style = "-o" if name.startswith("c") and "." not in name else "--s"
            ax.loglog(list(series), [t * 1e-3 for t in series.values()], style, ms=3, label=name)
        ax.set(title=f"{r['sizes'][0]} strain, {r['sizes'][1]} internal", xlabel="points per call")
    axes[0].set_ylabel("CPU time per point [µs]")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peak = peak_fma()
    document = {
        "machine": describe_machine(),
        "peak_fma_per_ns": peak,
        "compile_seconds": {" ".join(f): compile_seconds(f) for f in (FAST_FLAGS, PLAIN_FLAGS)},
        "repeats": arguments.repeats,
        "results": [],
    }
    print(json.dumps(document["machine"], indent=1))
    print(f"FMA peak {peak:.2f} per ns; compile seconds {document['compile_seconds']}")
    for sizes in SIZES:
        print(f"{sizes}:")
        result = measure(sizes, arguments.repeats, not arguments.no_compile, peak)
        document["results"].append(result)
    print_table(document["results"])
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.figure:
        draw(document["results"], arguments.figure)


if __name__ == "__main__":
    main()
