"""The update in ONNX Runtime: adaptive Loop against unrolled passes, batches from 1 to a million.

Untrained laws with two hidden layers of 20 and 8 ridges, steps of 1 to 10 % of the strain range
from states inside the envelope; one thread, CPU time per point, median of repeats. The million in
one call runs once, for the smallest law and the Loop only: it needs several GB::

    python benchmarks/onnx_update.py

An unrolled graph refuses the points that need more passes than it has; the Loop has up to 100 and
stops when the last point has converged. The second table is that of the blocks in which
``ibvonn_fem`` passes a large batch to the Loop.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
import onnxruntime

from ibvonn_fem.kernels import onnx as kernel
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import Law
from ibvonn_train.export.runtimes.onnx_files import constitutive_model, rates_model
from ibvonn_train.export.runtimes.onnx_session import session

SIZES = ((1, 1), (1, 2), (6, 2))
BATCHES = (1, 100, 2_000, 20_000, 1_000_000)
BLOCKS = (512, 2_048, 8_192, 50_000)
IN_BLOCKS = 50_000
VARIANTS = {"loop": None, "unrolled 5": 5, "unrolled 8": 8}


def steps(
    rng: np.random.Generator, n: int, n_strain: int, n_internal: int
) -> dict[str, np.ndarray]:
    old = rng.uniform(-1.0, 1.0, size=(n, n_strain))
    return {
        "strain": old + 10.0 ** rng.uniform(-2.0, -1.0, size=(n, 1)) * rng.normal(size=old.shape),
        "strain_old": old,
        "statev": rng.uniform(-1.0, 1.0, size=(n, n_internal)),
        "dt": 10.0 ** rng.uniform(-2.0, 0.0, size=(n, 1)),
    }


def print_blocks(repeats: int) -> None:
    """Nanoseconds per point of ``OnnxKernel`` at one batch, by points per call of the runtime."""
    print(f"\nOnnxKernel at {IN_BLOCKS} points, ns per point by points per block")
    print(f"{'sizes':<10}" + "".join(f"{block:>10}" for block in BLOCKS))
    for n_strain, n_internal in SIZES:
        law = Law.of(untrained_law(n_strain, n_internal))
        opened = kernel.OnnxKernel(
            constitutive_model(law.update()).SerializeToString(),
            rates_model(law.rates(), n_internal).SerializeToString(),
        )
        inputs = steps(np.random.default_rng(0), IN_BLOCKS, n_strain, n_internal)
        dt = inputs.pop("dt")[:, 0]
        times: dict[int, list[float]] = {block: [] for block in BLOCKS}
        for _ in range(repeats):  # interleaved: a disturbance meets all sizes of block alike
            for block in BLOCKS:
                kernel.BLOCK = block
                start = time.process_time()
                opened.update(**inputs, dt=dt)
                times[block].append(time.process_time() - start)
        cells = "".join(f"{np.median(t) / IN_BLOCKS * 1e9:>10.0f}" for t in times.values())
        print(f"{f'({n_strain}, {n_internal})':<10}" + cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=BATCHES[-1])
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, onnxruntime {onnxruntime.__version__}")
    print(
        f"{'sizes':<8}{'graph':<12}{'kB':>6}" + "".join(f"{n:>12}" for n in BATCHES) + "  refused"
    )
    for n_strain, n_internal in SIZES:
        update = Law.of(untrained_law(n_strain, n_internal)).update()
        for name, passes in VARIANTS.items():
            model = constitutive_model(update, unrolled_passes=passes).SerializeToString()
            opened = session(model)
            cells, refused = [], "-"
            for n in BATCHES:
                if n > (chosen.largest if passes is None and n_internal == 1 else 20_000):
                    cells.append(f"{'-':>12}")
                    continue
                inputs = steps(np.random.default_rng(0), n, n_strain, n_internal)
                times = []
                for _ in range(chosen.repeats if n < 100_000 else 1):
                    start = time.process_time()
                    residual = opened.run(["residual"], inputs)[0]
                    times.append(time.process_time() - start)
                cells.append(f"{np.median(times) / n * 1e9:>9.0f} ns")
                if n == 20_000:
                    refused = f"{np.sum(~(residual <= 1e-10))} of {n}"
            sizes = f"({n_strain}, {n_internal})"
            print(f"{sizes:<8}{name:<12}{len(model) / 1e3:>6.0f}" + "".join(cells) + f"  {refused}")
    print_blocks(chosen.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.1f} GB")


if __name__ == "__main__":
    main()
