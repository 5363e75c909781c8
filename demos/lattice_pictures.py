"""The figure of `demo_lattice_with_hole.py`: open fractions of lattice and finite elements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lattice_bodies as bodies
import numpy as np
from lattice_elements import Response
from lattice_meshes import triangles
from lattice_reference import Reference, amplitude_of

from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.simulation.systems.lattice_body import LatticeBody


def draw(
    experiment: bodies.Experiment,
    references: Sequence[Reference],
    responses: Sequence[Response],
    path: Path,
) -> None:
    """Open fractions of lattice and finite elements side by side, and what the grips feel."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection

    body, shown, response = experiment.body, references[-1], responses[-1]
    cells = triangles(body)
    moved = (body.nodes + shown.displacements)[cells]
    of_bonds = shown.opened.mean(0)
    lattice = at_nodes(body, of_bonds)[cells].mean(1)
    elements = response.opened.mean(1)
    top = float(np.quantile(np.concatenate([lattice, elements]), 0.995))
    with plt.rc_context({"font.size": 10.5, "axes.titlesize": 11}):
        figure = plt.figure(figsize=(12.4, 4.5), layout="constrained")
        figure.get_layout_engine().set(wspace=0.05)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.12))
        style = {"cmap": "magma_r", "clim": (0.0, top), "antialiased": True}
        for ax, polygons, values, line, title in (
            (left, moved, lattice, 0.12, f"lattice: {len(body.nodes)} nodes, "
             f"mean of {shown.felt.shape[1]} replicas"),
            (middle, response.moved, elements, 0.3,
             f"learned law: {len(elements)} triangles"),
        ):  # fmt: skip
            drawn = PolyCollection(
                polygons, array=values, linewidths=line, edgecolors=(1, 1, 1, 0.55), **style
            )
            ax.add_collection(drawn)
            ax.set_aspect("equal")
            ax.autoscale_view()
            ax.margins(0.01)
            ax.axis("off")
            ax.set_title(title)
        bar = figure.colorbar(drawn, ax=[left, middle], shrink=0.82, pad=0.015, aspect=28)
        bar.set_label("fraction of open bonds")
        bar.outline.set_visible(False)
        draw_felt(right, experiment, references, responses)
        figure.savefig(path, dpi=170)
        plt.close(figure)


def at_nodes(body: LatticeBody, of_bonds: FloatArray) -> FloatArray:
    """Mean over the directions of the mean of a node's bonds, ``(n_node,)``."""
    sums, counts = np.zeros((3, len(body.nodes))), np.zeros((3, len(body.nodes)))
    for end in body.bonds.T:
        np.add.at(sums, (body.directions, end), of_bonds)
        np.add.at(counts, (body.directions, end), 1.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(sums / counts, 0))


def draw_felt(
    ax: Any,
    experiment: bodies.Experiment,
    references: Sequence[Reference],
    responses: Sequence[Response],
) -> None:
    """What the grips feel over the amplitude, for each duration."""
    colours = ["#d1495b", "#2e6f95"]
    for each, response, colour in zip(references, responses, colours, strict=False):
        strain = amplitude_of(experiment, each.duration)(each.time) / bodies.WELL
        ax.plot(strain, response.felt, color=colour, lw=1.6, zorder=2)
        ax.plot(
            strain[::2], each.mean[::2], "o", ms=3.6, mfc="white", mec=colour, mew=0.9, zorder=3
        )
        ax.plot(
            [], [], "-o", color=colour, mfc="white", ms=4, lw=1.6, label=f"T = {each.duration:g}"
        )
    ax.plot([], [], "o", mfc="white", mec="0.3", ms=4, label="lattice")
    ax.plot([], [], color="0.3", lw=1.6, label="learned law")
    ax.axhline(0.0, color="0.8", lw=0.8, zorder=1)
    quantity = "moment of the grips" if experiment.bends else "force of the grips"
    units = "[k × length²]" if experiment.bends else "[k × length]"
    ax.set(xlabel=r"mean strain [$z_h$]", ylabel=f"{quantity} {units}")
    if experiment.bends:
        ax.set_xlabel(r"strain of the edges [$z_h$]")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", frameon=False)
    ax.set_title("load, hold, unload, rest")
