"""Free energy and dual dissipation potential over the states of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audits.audit_data import knows_energy
from ..audits.energy_consistency import flow_energy
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation, Law
from ..evaluation.interface import FloatArray
from ..evaluation.noise_free import exact_trap_of
from .canvas import canvas, shades, unit_of

STATES = 800


def potentials(path: Path, law: Law, data: TrajectoryEnsemble, evaluation: Evaluation) -> None:
    """Draw f against a reference, f over the envelope, and φ over the driving force.

    The reference of f is the exact one of the trap, or else the decoder free energy.

    Args:
        path: PNG file.
        law: Law with potentials.
        data: Ensemble.
        evaluation: Evaluation of the law on this ensemble.
    """
    rows = evaluation.measured.strain.size // law.strain_size
    pick = np.random.default_rng(0).permutation(rows)[:STATES]
    strain = evaluation.measured.strain.reshape(-1, law.strain_size)[pick]
    internal = evaluation.measured.internal.reshape(-1, law.internal_size)[pick]
    with canvas(path, 1, 3, size=(11.0, 4.0)) as (_, axes):
        _energy(axes[0, 0], law, data, strain, internal, pick)
        _surface(axes[0, 1], law, strain, internal)
        _dissipation(axes[0, 2], law, strain, internal, unit_of(data.units, "energy"))


def _energy(
    axis: Any,
    law: Law,
    data: TrajectoryEnsemble,
    strain: FloatArray,
    internal: FloatArray,
    pick: npt.NDArray[np.int64],
) -> None:
    energy = law.rates(strain, internal).energy
    exact = exact_trap_of(data)
    if exact is not None and law.internal_size == 1:
        mean = data.samples[:, :, 0, :, 0].mean(-1, dtype=np.float64).reshape(-1)[pick]
        reference, label = exact.energy(strain[:, 0], mean), "exact f"
    elif knows_energy(law) and law.has_decoder and data.microstate_size == 1:
        reference, label = flow_energy(law, strain, internal), "decoder free energy"
    else:
        axis.axis("off")
        return
    reference = reference - reference.mean()
    axis.plot(reference, energy - energy.mean(), ".", ms=2)
    ends = [reference.min(), reference.max()]
    axis.plot(ends, ends, "k-", lw=0.5)
    unit = unit_of(data.units, "energy")
    axis.set(
        xlabel=f"{label} − mean [{unit}]",
        ylabel=f"learned f − mean [{unit}]",
        title="free energy f",
    )


def _surface(axis: Any, law: Law, strain: FloatArray, internal: FloatArray) -> None:
    low, high = law.envelope.T
    eps, alpha = np.meshgrid(
        np.linspace(low[0], high[0], 60),
        np.linspace(low[law.strain_size], high[law.strain_size], 60),
    )
    other = np.tile(np.median(internal, axis=0), (eps.size, 1))
    other[:, 0] = alpha.ravel()
    columns = np.tile(np.median(strain, axis=0), (eps.size, 1))
    columns[:, 0] = eps.ravel()
    energy = law.rates(columns, other).energy.reshape(eps.shape)
    levels = energy.min() + (energy.max() - energy.min()) * np.linspace(0, 1, 16) ** 2
    axis.contour(eps, alpha, energy, levels=levels, linewidths=0.8)
    axis.plot(strain[:, 0], internal[:, 0], "k.", ms=1)
    others = [s for s, n in (("ε", law.strain_size), ("α", law.internal_size)) if n > 1]
    rest = f"\n(other {' and '.join(others)} at their medians)" if others else ""
    axis.set(
        xlabel=f"strain {'ε1' if law.strain_size > 1 else 'ε'} [–]",
        ylabel=f"internal variable {'α1' if law.internal_size > 1 else 'α'} [–]",
        title=f"f over the envelope{rest}",
    )


def _dissipation(
    axis: Any, law: Law, strain: FloatArray, internal: FloatArray, energy_unit: str
) -> None:
    force = law.rates(strain, internal).driving_force
    reach = np.quantile(np.abs(force), 0.99, axis=0)
    grid = np.linspace(-1, 1, 101)[:, None] * reach
    order = np.argsort(force[:, 0])[np.linspace(0, len(force) - 1, 4).astype(int)]
    for colour, at in zip(shades(len(order)), order, strict=True):
        states = np.tile(strain[at], (101, 1)), np.tile(internal[at], (101, 1))
        value, mobility = law.dual_dissipation(grid, *states)
        axis.plot(grid[:, 0], value, color=colour,
                  label=f"ε = {strain[at, 0]:.2g}, α = {internal[at, 0]:.2g}")  # fmt: skip
        quadratic = 0.5 * np.einsum("ni,ij,nj->n", grid, mobility[50], grid)
        axis.plot(grid[:, 0], quadratic, color=colour, ls=":", lw=1)
    axis.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    power = "–" if energy_unit == "–" else f"{energy_unit}/time"
    axis.set(
        xlabel=f"driving force g [{energy_unit}]",
        ylabel=f"dual dissipation potential φ [{power}]",
        title="φ (dotted: quadratic part at g = 0)",
    )
