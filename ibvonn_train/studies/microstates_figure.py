"""Picture of the microstates at a point of an analysis: decoder, re-run, and both in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection

from ..figures.canvas import canvas
from ..simulation.systems.chain_cell import ChainCell
from ..simulation.systems.lattice_geometry import tensor
from ..simulation.systems.lattice_stretch import stretch_tensor
from ..simulation.systems.periodic_lattice import PeriodicLattice
from ..simulation.systems.system import MicroscopicSystem
from .sampled_microstates import BoolArray, FloatArray, Microstates, opened

FOLDED, OPEN = "#9fb4c7", "#c8352b"
DECODER, SIMULATION = "#2e6f95", "0.35"
OBLIQUE = np.array([[1.0, 0.42, 0.0], [0.0, 0.27, 1.0]])
"""Oblique view of a cell in space."""
SPRINGS_IN_ROW = 25
MOST_PARTICLES = 300


def microstates_figure(path: Path, system: MicroscopicSystem, sample: Microstates) -> None:
    """Draw a cell, a chain or particles as the decoder and as the re-run have them.

    A lattice whose bonds have true lengths is drawn with its nodes on the affine motion, because
    their displacements do not follow from the lengths of the bonds.

    Args:
        path: PNG file.
        system: The microscopic system.
        sample: Its microstates.
    """
    with canvas(path, 1, 3, size=(12.0, 4.3), gridspec_kw={"width_ratios": (1, 1, 0.85)}) as (
        figure,
        axes,
    ):
        panels = axes[0]
        sources = (("decoder of the law", sample.decoded), ("re-run along the strain",
                   sample.simulated))  # fmt: skip
        for ax, (title, states) in zip(panels[:2], sources, strict=True):
            if isinstance(system, PeriodicLattice):
                _draw_lattice(ax, system, sample, sample.of_replica(states))
            elif isinstance(system, ChainCell):
                _draw_chain(ax, system, sample, sample.of_replica(states))
            else:
                _draw_particles(ax, system, sample, states)
            ax.set_title(title)
        if isinstance(system, PeriodicLattice):
            _draw_fractions(panels[2], system, sample)
        else:
            _draw_densities(panels[2], sample)
        if isinstance(system, PeriodicLattice | ChainCell):
            for colour, name in ((FOLDED, "folded"), (OPEN, "open")):
                panels[0].plot([], [], color=colour, lw=2.5, label=name)
            panels[0].legend(loc="upper left", fontsize=8)
        strain = ", ".join(f"{value:.3g}" for value in sample.strain)
        stress = ", ".join(f"{value:.3g}" for value in sample.stress)
        again = ", ".join(f"{value:.3g}" for value in sample.simulated_stress)
        figure.suptitle(
            f"point {sample.point}, t = {sample.time:.6g}: strain ({strain}); stress of the "
            f"analysis ({stress}), of the re-run ({again})",
            fontsize=10,
        )


def _draw_lattice(
    ax: Any, system: PeriodicLattice, sample: Microstates, states: FloatArray
) -> None:
    begins, ends = lattice_bonds(system, sample.control, states)
    if begins.shape[-1] == 3:
        begins, ends = begins @ OBLIQUE.T, ends @ OBLIQUE.T
    open_ones = opened(system, states, sample.control)
    assert open_ones is not None  # noqa: S101 (bonds of a lattice have two states)
    for mask, colour, width in ((~open_ones, FOLDED, 1.2), (open_ones, OPEN, 2.4)):
        lines = np.stack([begins[mask], ends[mask]], 1)
        ax.add_collection(LineCollection(list(lines), colors=colour, linewidths=width))
    nodes = begins[0]
    ax.plot(nodes[:, 0], nodes[:, 1], "o", ms=2.0, color="0.25")
    ax.set_aspect("equal")
    ax.autoscale_view()
    ax.axis("off")


def lattice_bonds(
    system: PeriodicLattice, control: FloatArray, states: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return where the bonds of one cell begin and end, ``(n_direction, n_node, d)`` each.

    The displacements of the nodes are those that fit the elongations of the bonds best; bonds of
    the re-run fit exactly, and bonds of the decoder, which are drawn independently, nearly.

    Args:
        system: The lattice.
        control: Its strain, ``(n_ε,)``.
        states: Microstates of one cell, ``(n_direction, n_node, n_x)``.
    """
    geometry, cells = system.lattice, system.cells
    size = geometry.dimension
    index = np.indices((cells,) * size).reshape(size, -1).T
    if system.true_lengths:
        motion = stretch_tensor(torch.from_numpy(control)[None].double(), geometry)[0].numpy()
        moved = np.zeros((system.nodes, size))
    else:
        motion = np.eye(size) + tensor(control, size)
        degrees = system.positions(
            torch.from_numpy(states)[None], torch.from_numpy(control)[None]
        ).numpy()
        moved = degrees[0, : size * system.nodes, 0].reshape(system.nodes, size)
    begins = index @ geometry.vectors @ motion.T
    far = moved[geometry.neighbours(cells)]
    spans = (geometry.bonds @ motion.T)[:, None]
    return np.broadcast_to(begins + moved, far.shape), begins + spans + far


def _draw_chain(ax: Any, system: ChainCell, sample: Microstates, states: FloatArray) -> None:
    """Draw the springs of one ring in rows; their order is that of the samples."""
    strain = states[0, :, 0]
    open_ones = opened(system, states, sample.control)
    assert open_ones is not None  # noqa: S101 (springs have two wells)
    for row, first in enumerate(range(0, len(strain), SPRINGS_IN_ROW)):
        part = slice(first, first + SPRINGS_IN_ROW)
        ends = np.concatenate([[0.0], np.cumsum(system.reference_length * (1.0 + strain[part]))])
        lines = np.zeros((len(ends) - 1, 2, 2))
        lines[:, 0, 0], lines[:, 1, 0], lines[..., 1] = ends[:-1], ends[1:], -row
        colours = [OPEN if is_open else FOLDED for is_open in open_ones[0, part]]
        ax.add_collection(LineCollection(list(lines), colors=colours, linewidths=4))
        ax.plot(ends, np.full(len(ends), -row), "o", ms=2.5, color="0.25")
    ax.autoscale_view()
    ax.margins(0.05, 0.3)
    ax.set(xlabel="length along the chain", yticks=[])


def _draw_particles(
    ax: Any, system: MicroscopicSystem, sample: Microstates, states: FloatArray
) -> None:
    """Draw particles on their energy, where it is known of one component; else as a cloud."""
    flat = states.reshape(-1, states.shape[-1])[:MOST_PARTICLES]
    if flat.shape[1] > 1:
        ax.plot(flat[:, 0], flat[:, 1], ".", color=OPEN, ms=3)
        ax.set(xlabel="first component", ylabel="second component")
        return
    every = np.concatenate([sample.decoded.ravel(), sample.simulated.ravel()])
    if system.microscopic_energy is None:
        ax.hist(flat[:, 0], bins=30, range=(every.min(), every.max()), color=FOLDED)
        ax.set(xlabel="microstate", ylabel="number of elements")
        return
    x = np.linspace(every.min(), every.max(), 200)
    ax.plot(x, _energy(system, x, sample.control), color=FOLDED, label="energy")
    at = flat[:, 0]
    ax.plot(at, _energy(system, at, sample.control), ".", color=OPEN, ms=4, label="particles")
    ax.set(xlabel="position", ylabel="energy")
    ax.legend(fontsize=8)


def _energy(system: MicroscopicSystem, x: FloatArray, control: FloatArray) -> FloatArray:
    assert system.microscopic_energy is not None  # noqa: S101 (the caller has asked)
    strain = torch.from_numpy(np.broadcast_to(control, (len(x), len(control))).copy())
    energy = system.microscopic_energy(torch.from_numpy(x.copy())[:, None, None], strain)
    return np.asarray(energy.numpy()[:, 0])


def _draw_fractions(ax: Any, system: PeriodicLattice, sample: Microstates) -> None:
    decoded = _fractions(system, sample, sample.decoded)
    simulated = _fractions(system, sample, sample.simulated)
    places = np.arange(len(system.classes))
    error = 2.0 * simulated.std(1, ddof=1) / np.sqrt(sample.replicas)
    ax.bar(places - 0.2, decoded.mean(1), 0.36, color=DECODER, label="decoder")
    ax.bar(places + 0.2, simulated.mean(1), 0.36, yerr=error, capsize=3, color=SIMULATION,
           label="re-run ± 2 s.e.")  # fmt: skip
    ax.set(ylabel="fraction of open bonds", ylim=(0.0, None))
    ax.set_xticks(places, system.classes, rotation=20 if len(places) > 3 else 0)
    ax.set_title(f"all {sample.replicas} replicas")
    ax.legend(fontsize=8)


def _fractions(system: PeriodicLattice, sample: Microstates, states: FloatArray) -> FloatArray:
    """Return the open fraction of each class and replica, ``(n_class, n_replica)``."""
    open_ones: BoolArray | None = opened(system, states, sample.control)
    assert open_ones is not None  # noqa: S101 (bonds of a lattice have two states)
    return np.asarray(open_ones.reshape(len(open_ones), sample.replicas, -1).mean(2))


def _draw_densities(ax: Any, sample: Microstates) -> None:
    decoded, simulated = sample.decoded[..., 0].ravel(), sample.simulated[..., 0].ravel()
    span = (min(decoded.min(), simulated.min()), max(decoded.max(), simulated.max()))
    count = int(np.clip(np.sqrt(len(decoded)), 8, 40))
    ax.hist(simulated, count, range=span, density=True, color="0.75", label="re-run")
    ax.hist(decoded, count, range=span, density=True, histtype="step", lw=1.8, color=DECODER,
            label="decoder")  # fmt: skip
    ax.set(xlabel="microstate", ylabel="density")
    ax.set_title(f"{len(decoded)} microstates each")
    ax.legend(fontsize=8)
