"""Why the bonds of the lattice are in series with a spring: plain bonds under the same loading.

    python benchmarks/plain_bonds.py [--figure PNG] [--json FILE]

One cell is pulled along its first direction by 1.7 z_h, held, unloaded and left at rest, in three
durations, which span two decades of rate: with bonds in series with a spring, with plain bonds
that are as soft, and with plain bonds whose wells are those of the inner coordinate. Printed are
the open fraction of the first direction at the end of the loading, its largest value, and that at
the end; how far it is from that of the slowest loading at the same strain, root mean square over
the path; and the work done along the closed path, in k_BT per node.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from machine import describe_machine
from records import write

from ibvonn_train.figures.canvas import canvas, shades
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload
from ibvonn_train.simulation.systems.system import Preparation
from ibvonn_train.studies.tables import text_table

DURATIONS = (300.0, 3000.0, 30000.0)
STRETCH, INSTANTS, REPLICAS = 1.7, 100, 16
LOADED = 0.35
"""Part of a duration at which the loading ends."""
SERIES = PeriodicLattice()
SOFT = SERIES.stiffness * SERIES.well_stiffness / (SERIES.stiffness + SERIES.well_stiffness)
STIFF_STEP = 0.02
SYSTEMS = {
    "in series with a spring": (SERIES, 0.1),
    "plain, as soft": (PeriodicLattice(series=False, stiffness=SOFT), 0.1),
    "plain, as high a barrier": (
        PeriodicLattice(
            series=False,
            stiffness=SERIES.well_stiffness,
            preparation=(Preparation(2000, STIFF_STEP),),
        ),
        STIFF_STEP,
    ),
}
"""Systems and their time steps."""


@dataclass(frozen=True)
class Loading:
    """What a cell shows along the path.

    Attributes:
        strain: Mean elongation of the bonds of the first direction over z_h, ``(n_time,)``.
        fraction: Open fraction of these bonds, ``(n_time,)``.
        work: Done along the path, which ends where it began, over k_BT and per node.
    """

    strain: npt.NDArray[np.float64]
    fraction: npt.NDArray[np.float64]
    work: float


def load(system: PeriodicLattice, duration: float, time_step: float) -> Loading:
    """Simulate the path."""
    target = [STRETCH * system.well_distance, 0.0, 0.0]
    data = simulate(
        system,
        load_hold_unload(duration, [target]),
        duration=duration,
        time_step=time_step,
        stride=round(duration / time_step) // INSTANTS,
        replicas=REPLICAS,
        record="samples",
        seed=0,
        progress=False,
    )
    strain, stress = data.strain[0, :, 0], data.stress[0, :, 0]
    elongation = strain @ system.lattice.strain_basis[0]
    samples = data.samples[0, :, 0].astype(float)
    position = samples[..., 1] if system.series else samples[..., 0] + elongation[:, None]
    mean_stress = 0.5 * (stress[1:] + stress[:-1])
    work = float((mean_stress * np.diff(strain, axis=0)).sum()) * system.reference_volume
    return Loading(
        elongation / system.well_distance,
        (position > system.crossing).mean(1),
        work / system.thermal_energy,
    )


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/plain_bonds.png"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    record: dict[str, Any] = {"machine": describe_machine()}
    rows = []
    with canvas(arguments.figure, 1, len(SYSTEMS), size=(7.0, 2.5), sharey=True) as (_, axes):
        for axis, (name, (system, time_step)) in zip(axes[0], SYSTEMS.items(), strict=True):
            series = {duration: load(system, duration, time_step) for duration in DURATIONS}
            slowest = series[DURATIONS[-1]]
            for colour, (duration, loading) in zip(shades(3), series.items(), strict=True):
                away = float(np.sqrt(np.square(loading.fraction - slowest.fraction).mean()))
                numbers = {
                    "loaded": float(loading.fraction[round(LOADED * INSTANTS)]),
                    "largest": float(loading.fraction.max()),
                    "at the end": float(loading.fraction[-1]),
                    "from the slowest": away,
                    "work": loading.work,
                }
                record[f"{name}, {duration:g}"] = numbers
                rows.append([name, f"{duration:g}", *(f"{x:.3f}" for x in numbers.values())])
                axis.plot(loading.strain, loading.fraction, color=colour, lw=1.2,
                          label=f"T = {duration:g}")  # fmt: skip
            axis.set_title(name, fontsize=9)
            axis.set(xlabel="mean elongation e₁ / z_h [–]")
        axes[0, 0].set(ylabel="open fraction p₁ [–]")
        axes[0, 0].legend(fontsize=7)
    head = ["bonds", "T", "loaded", "largest", "at the end", "from the slowest", "work"]
    print(text_table(head, rows))
    if arguments.json:
        write(arguments.json, record)


if __name__ == "__main__":
    main()
