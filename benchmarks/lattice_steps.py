"""A million random steps of the exported law of the lattice: refused points, dissipation, Newton.

    python benchmarks/lattice_steps.py [MODEL] [--steps N] [--json FILE]

Every path starts anywhere in the envelope and takes eight steps to other strains of the envelope,
within times that are drawn over seven decades; the state is that of the step before. Printed are
the points that were refused, the smallest dissipation of a step over the largest energy, the
largest asymmetry of the tangent over its largest entry, its smallest eigenvalue over its largest,
and the passes of Newton's iteration, counted in the same update in torch.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import torch
from machine import describe_machine
from records import write

from ibvonn_fem import load_model
from ibvonn_fem.kernels.base import Kernel
from ibvonn_train.export import ConstitutiveLaw

FloatArray = npt.NDArray[np.float64]

BATCH, PATH_STEPS = 5000, 8
DECADES = (-2.0, 5.0)
"""Of the time step."""


@dataclass
class Totals:
    """What all steps so far have shown.

    Attributes:
        steps: Their number.
        refused: Points whose residual is beyond the tolerance, or which are not finite.
        dissipation: Smallest.
        energy: Largest magnitude.
        asymmetry: Largest |C − Cᵀ| over the largest |C|.
        definiteness: Smallest eigenvalue of a tangent over its largest.
        passes: Of Newton's iteration, of all points together.
        most_passes: Largest number of a point.
        seconds: CPU time of the update.
    """

    steps: int = 0
    refused: int = 0
    dissipation: float = np.inf
    energy: float = 0.0
    asymmetry: float = 0.0
    definiteness: float = np.inf
    passes: int = 0
    most_passes: int = 0
    seconds: float = 0.0


def passes_of(law: ConstitutiveLaw, inputs: list[FloatArray]) -> FloatArray:
    """Return how often the loop evaluates the law at each point."""
    update = law.update()
    with torch.no_grad():
        prepared = update.prepare(*(torch.tensor(each) for each in inputs))
        state = update.start(*prepared[:-1])
        count = torch.zeros_like(state[-1])
        while bool((state[-1] > 0.5).any()):
            count += state[-1]
            state = update.newton(*prepared[:-1], *state)
    passes: FloatArray = count.numpy()[:, 0]
    return passes


def take_batch(
    kernel: Kernel,
    law: ConstitutiveLaw,
    box: FloatArray,
    tolerance: float,
    rng: np.random.Generator,
    totals: Totals,
) -> None:
    """Walk along ``BATCH`` paths and count; a refused point keeps its state."""
    size = law.strain_size
    old = rng.uniform(*box[:size].T, (BATCH, size))
    # As often near the ends, where a fraction vanishes, as in between.
    low, high = box[size:].T
    statev = low + rng.beta(0.3, 0.3, (BATCH, len(low))) * (high - low)
    for _ in range(PATH_STEPS):
        new = rng.uniform(*box[:size].T, old.shape)
        dt = 10.0 ** rng.uniform(*DECADES, BATCH)
        start = time.process_time()
        result = kernel.update(new, old, statev, dt)
        totals.seconds += time.process_time() - start
        good = result.residual <= tolerance
        tangent = result.tangent[good].reshape(-1, size, size)
        apart = np.abs(tangent - tangent.transpose(0, 2, 1)).max((1, 2))
        stiffness = np.linalg.eigvalsh(tangent)
        passes = passes_of(law, [new, old, statev, dt[:, None]])
        totals.steps += BATCH
        totals.refused += int((~good).sum())
        totals.dissipation = min(totals.dissipation, float(result.dissipation[good].min()))
        totals.energy = max(totals.energy, float(np.abs(result.energy[good]).max()))
        totals.asymmetry = max(totals.asymmetry, float((apart / np.abs(tangent).max((1, 2))).max()))
        totals.definiteness = min(
            totals.definiteness, float((stiffness[:, 0] / stiffness[:, -1]).min())
        )
        totals.passes += int(passes.sum())
        totals.most_passes = max(totals.most_passes, int(passes.max()))
        statev = np.where(good[:, None], result.statev_new, statev)
        old = new


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=Path("exported_models/lattice"))
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    with np.load(arguments.model / "parameters.npz") as arrays:
        law = ConstitutiveLaw.of_arrays(dict(arrays))
    envelope = model.manifest.envelope
    box = np.concatenate([envelope.strain, envelope.statev])
    rng, totals = np.random.default_rng(0), Totals()
    while totals.steps < arguments.steps:
        take_batch(model.kernel, law, box, model.manifest.residual_tolerance, rng, totals)
    print(f"steps                  {totals.steps}")
    print(f"points refused         {totals.refused}")
    print(f"smallest dissipation   {totals.dissipation / totals.energy:.1e} of the largest energy")
    print(f"asymmetry of tangents  {totals.asymmetry:.1e}")
    print(f"stiffness, least/most  {totals.definiteness:.3f}")
    print(
        f"passes of Newton       mean {totals.passes / totals.steps:.2f}, most {totals.most_passes}"
    )
    spent = 1e6 * totals.seconds / totals.steps
    print(f"CPU time of a point    {spent:.1f} µs (kernel {model.kernel.codename})")
    if arguments.json:
        write(arguments.json, {"machine": describe_machine(), **asdict(totals)})


if __name__ == "__main__":
    main()
