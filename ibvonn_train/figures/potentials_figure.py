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
from .canvas import canvas, shades

STATES = 800


def potentials(path: Path, law: Law, data: TrajectoryEnsemble, found: Evaluation) -> None:
    """Draw f against its truth, f over the envelope, and φ over the driving force.

    The truth of f is the exact one of the trap, else the decoder's own free energy.

    Args:
        path: PNG.
        law: A law of one strain component with potentials.
        data: The ensemble.
        found: Evaluation of the law on it.
    """
    rows = found.measured.strain.size // law.strain_size
    pick = np.random.default_rng(0).permutation(rows)[:STATES]
    strain = found.measured.strain.reshape(-1, law.strain_size)[pick]
    internal = found.measured.internal.reshape(-1, law.internal_size)[pick]
    with canvas(path, 1, 3, size=(11.0, 3.4)) as (_, axes):
        _energy(axes[0, 0], law, data, strain, internal, pick)
        _surface(axes[0, 1], law, strain, internal)
        _dissipation(axes[0, 2], law, strain, internal)


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
        mean = data.microstate[:, :, 0, :, 0].mean(-1, dtype=np.float64).reshape(-1)[pick]
        truth, label = exact.energy(strain[:, 0], mean), "exact f"
    elif knows_energy(law) and law.has_decoder and data.microstate.shape[-1] == 1:
        truth, label = flow_energy(law, strain, internal), "F of the decoder"
    else:
        axis.axis("off")
        return
    axis.plot(truth - truth.mean(), energy - energy.mean(), ".", ms=2)
    ends = [(truth - truth.mean()).min(), (truth - truth.mean()).max()]
    axis.plot(ends, ends, "k-", lw=0.5)
    axis.set(xlabel=f"{label} (mean removed)", ylabel="learned f (mean removed)", title="f")


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
    rest = f" (other {' and '.join(others)} at their medians)" if others else ""
    axis.set(
        xlabel="strain ε1" if law.strain_size > 1 else "strain ε",
        ylabel="α1" if law.internal_size > 1 else "α",
        title=f"f over the envelope{rest}",
    )


def _dissipation(axis: Any, law: Law, strain: FloatArray, internal: FloatArray) -> None:
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
    axis.legend(fontsize=6)
    axis.set(xlabel="driving force g", ylabel="φ", title="φ (dots: its quadratic part at g = 0)")
