r"""A body cut out of a lattice, simulated whole, against finite elements with the learned law.

The law of `exported_models/lattice` was learned from a periodic cell. Here a body with a hole, or
with a notch, is simulated bond by bond by Langevin dynamics, and computed by finite elements whose
quadrature points carry that law. Nothing is fitted to the body.

This demo illustrates how to

- simulate a finite lattice with grips,
- give an overdamped body the drag of a medium that moves,
- compare a continuum with what it replaces: forces, fields and cost.

## Equation and problem definition

Nodes of a triangular lattice are joined by bonds that may be folded or open, as in the cell from
which the law was learned. The first and the last row are gripped. The medium around the nodes has
the displacement $c(t)\,f(X)$ and the grips move with it: $f = (0, y)$ pulls the body with a hole,
$f = \frac{2}{B}\,(y'^2/2,\; -x'y')$ bends the body of width $B$ with a notch about its middle. The
amplitude $c$ rises within $0.35\,T$, is held for $0.2\,T$, falls to zero within $0.3\,T$ and rests.

In finite elements, with the drag coefficient $\eta$ of a node over its area $V$,

$$ \int \frac{\eta}{V} (\dot u - \dot c f) \cdot v \,\mathrm dx
   + \int \sigma(\varepsilon, \alpha) : \nabla v \,\mathrm dx = 0, \qquad u = c f
   \text{ on the grips}, $$

with the first integral lumped and $\alpha$ the fractions of open bonds of three directions.

A bond on a free edge counts whole in the lattice, but half in the triangle beside it. On the
lattice's own triangles such a bond is counted whole: the triangle's tension along it is taken
twice, with the open fraction of the triangle (`WholeBonds`). Unstructured triangles cover instead
the area that has as many bonds as the lattice: a hole of the radius $R$ with
$\pi R^2 = (N_0 - N)\,V/3$, $N_0$ and $N$ being the numbers of bonds without and with the hole.

The demo prints, for each kind of finite elements and each duration $T$, the relative $L^2$ error of
what the grips feel over all instants, and that of the open fractions at the end of the hold on
$8 \times 8$ patches, weighted by their numbers of bonds. The sampling error of the lattice is half
the difference of two halves of the replicas. *Elastic* keeps all bonds as they are at rest.

| symbol | value | unit |
| --- | --- | --- |
| nodes, hole, notch | 60 × 60, radius 8, depth 12 | bond length |
| largest $c$ | 1.3 $z_h$ (hole), 1 $z_h$ (notch) | $z_h$ = 0.1 bond lengths |
| $T$ | `--durations` 2000, 10000 | drag / stiffness |
"""

# ## Implementation

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

import lattice_bodies as bodies
import numpy as np
from lattice_elements import Elements, Response, elastic_stiffness, run_elements
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.files.c_compiler import CompilerError
from ibvonn_train.simulation.simulate_body import simulate_body

CORNERS = np.array([0.0, 0.35, 0.55, 0.85, 1.0])
"""Ends of load, hold, unload and rest, as fractions of T."""
WINDOW = 0.25
"""Reactions of the lattice are means over this part of the interval between two instants."""


@dataclass(frozen=True)
class Size:
    """How large the bodies are and how finely all is resolved.

    Attributes:
        columns: Nodes in a row, and rows.
        radius: Of the hole.
        depth: Of the notch.
        patches: Along each side.
        instants: Stored, without the first; whole twentieths of T.
        steps: Of the finite elements between two instants.
    """

    columns: int = 60
    radius: float = 8.0
    depth: float = 12.0
    patches: int = 8
    instants: int = 100
    steps: int = 1


SHORT = Size(columns=20, radius=3.0, depth=5.0, patches=3, instants=20, steps=1)


# ### The lattice
#
# Rank 0 simulates it, and all ranks get the results, or the reason why there are none.


@dataclass(frozen=True, eq=False)
class Reference:
    """Results of the full lattice for one duration.

    Attributes:
        duration: T.
        time: Stored instants.
        felt: By the grips, of each replica, ``(n_time, n_replica)``.
        opened: Fraction of the replicas in which each bond is open at the end of the hold, of two
            halves of the replicas, ``(2, n_bond)``.
        displacements: Mean of the nodes then, ``(n_node, 2)``.
        node_steps: Nodes × replicas × steps.
        seconds: Of processor time.
    """

    duration: float
    time: FloatArray
    felt: FloatArray
    opened: FloatArray
    displacements: FloatArray
    node_steps: int
    seconds: float

    @property
    def mean(self) -> FloatArray:
        """What the grips feel, the mean over the replicas."""
        return np.asarray(self.felt.mean(1))


def amplitude_of(experiment: bodies.Experiment, duration: float) -> Callable[[Any], Any]:
    """Amplitude c as a function of time."""
    levels = experiment.strain * np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    return lambda t: np.interp(t, CORNERS * duration, levels)


def shown_instant(size: Size) -> int:
    """Number of the instant at the end of the hold."""
    return round(CORNERS[2] * size.instants)


def simulate_lattice(
    experiment: bodies.Experiment, duration: float, size: Size, replicas: int, threads: int
) -> Reference:
    """Simulate all replicas on rank 0. Collective.

    Raises:
        SystemExit: On every rank, if the simulation fails on rank 0.
    """
    found: Reference | str | None = None
    if MPI.COMM_WORLD.rank == 0:
        amplitude = amplitude_of(experiment, duration)
        try:
            record = simulate_body(
                experiment.lattice,
                lambda t: amplitude(t)[:, None],
                np.linspace(0.0, duration, size.instants + 1),
                replicas=replicas,
                window=WINDOW * duration / size.instants,
                seed=round(duration),
                threads=threads,
            )
            shown = shown_instant(size)
            found = Reference(
                duration=duration,
                time=record.time,
                felt=experiment.felt(record.reactions),
                opened=record.opened[:, shown],
                displacements=record.displacements[shown],
                node_steps=record.node_steps,
                seconds=record.cpu_seconds,
            )
        except (CompilerError, ValueError, MemoryError) as error:
            found = f"the lattice could not be simulated: {error}"
    found = MPI.COMM_WORLD.bcast(found)
    if isinstance(found, str):
        raise SystemExit(found)
    assert found is not None
    return found


# ### Comparison


@dataclass(frozen=True)
class Row:
    """One line of the table: errors in per cent for each duration, on rank 0.

    Attributes:
        name: Of the law.
        triangles: In words.
        felt: Error of what the grips feel.
        opened: Error of the open fractions on patches.
        seconds: Processor time of all durations.
        validity: Largest excursion from the range of the training, in half widths.
    """

    name: str
    triangles: str
    felt: list[float]
    opened: list[float]
    seconds: float = 0.0
    validity: float = 0.0


@dataclass(frozen=True)
class Variant:
    """A kind of finite elements."""

    name: str
    model: ibvonn_fem.ExportedModel
    triangles: str
    grid: bodies.Triangulation
    drag: bool = True


class Comparison:
    """All kinds of finite elements against the lattice.

    Args:
        experiment: The body.
        references: Its lattice, for each duration.
        size: Resolution.
    """

    def __init__(
        self, experiment: bodies.Experiment, references: Sequence[Reference], size: Size
    ) -> None:
        self.experiment, self.references, self.size = experiment, references, size
        self.bonds = bodies.bonds_on_patches(experiment, size.patches)
        self.patches = [
            bodies.patches_of_bonds(experiment, each.opened.mean(0), size.patches)
            for each in references
        ]
        self.rows: list[Row] = []
        self.responses: dict[tuple[str, str], list[Response]] = {}

    def add_sampling_error(self) -> None:
        """The line of the lattice itself."""
        felt, opened = [], []
        for each in self.references:
            halves = [each.felt[:, k::2].mean(1) for k in (0, 1)]
            felt.append(0.5 * bodies.percent(halves[0], halves[1]))
            patches = [
                bodies.patches_of_bonds(self.experiment, half, self.size.patches)
                for half in each.opened
            ]
            opened.append(0.5 * bodies.percent(patches[0], patches[1], self.bonds))
        seconds = sum(each.seconds for each in self.references)
        self.rows.append(Row("sampling error of the lattice", "", felt, opened, seconds))

    def add(self, variant: Variant) -> Row:
        """Run one kind of finite elements for all durations. Collective."""
        responses = []
        for each in self.references:
            body = Elements(variant.model, self.experiment, variant.grid, drag=variant.drag)
            amplitude = amplitude_of(self.experiment, each.duration)
            shown = shown_instant(self.size)
            responses.append(run_elements(body, amplitude, each.time, shown, self.size.steps))
        self.responses[variant.name, variant.triangles] = responses
        row = self._row(variant, responses)
        self.rows.append(row)
        if MPI.COMM_WORLD.rank == 0:
            errors = ", ".join(f"{error:.2f}" for error in row.felt)
            print(f"{row.name}, {row.triangles}: {errors} %, {row.seconds:.0f} s", flush=True)
        return row

    def add_elastic(self, variant: Variant) -> None:
        """The line of bonds that stay as they are at rest. Collective."""
        body = Elements(variant.model, self.experiment, variant.grid, drag=False)
        stiffness = elastic_stiffness(body)
        felt = [
            bodies.percent(
                stiffness * amplitude_of(self.experiment, each.duration)(each.time), each.mean
            )
            for each in self.references
        ]
        nothing = [100.0] * len(self.references)
        self.rows.append(Row("elastic", variant.triangles, felt, nothing))

    def _row(self, variant: Variant, responses: list[Response]) -> Row:
        felt, opened = [], []
        if MPI.COMM_WORLD.rank == 0:
            pairs = zip(responses, self.references, self.patches, strict=True)
            for response, reference, patches in pairs:
                felt.append(bodies.percent(response.felt, reference.mean))
                found = bodies.patches_of_triangles(
                    self.experiment, response.corners, response.opened, self.size.patches
                )
                opened.append(bodies.percent(found, patches, self.bonds))
        return Row(
            variant.name,
            variant.triangles,
            felt,
            opened,
            sum(each.seconds for each in responses),
            max(each.validity for each in responses),
        )

    def table(self) -> str:
        """The lines."""
        quantity = "moment" if self.experiment.bends else "force"
        times = [f"{each.duration:g}" for each in self.references]
        header = [
            "law",
            "triangles",
            *(f"{quantity} %, T = {t}" for t in times),
            *(f"open fractions %, T = {t}" for t in times),
            "CPU s",
        ]
        lines = [
            [row.name, row.triangles, *row.felt, *row.opened, row.seconds or None]
            for row in self.rows
        ]
        formats = ("", "", *[".2f"] * len(times), *[".1f"] * len(times), ".1f")
        return tabulate(lines, header, floatfmt=formats)


# ### Cost
#
# The cost of the lattice grows with its nodes; that of the finite elements, of one size, with their
# number. The larger body is ten times as wide, and so is its hole.


@dataclass(frozen=True)
class LargeBody:
    """A step of finite elements on a body ten times as large."""

    triangles: int
    steps: int
    seconds: float


def large_body(
    model: ibvonn_fem.ExportedModel, size: Size, duration: float, length: float
) -> LargeBody:
    """Measure some steps of the load on a body of ten times the size. Collective."""
    experiment = bodies.with_hole(10 * size.columns, 10.0 * size.radius)
    grid = bodies.gmsh_triangles(experiment, length)
    body = Elements(model, experiment, grid)
    instants = np.linspace(0.0, duration, size.instants + 1)[[0, 1, 2]]
    began = time.process_time()
    run_elements(body, amplitude_of(experiment, duration), instants, 1, 1)
    seconds = MPI.COMM_WORLD.allreduce(time.process_time() - began)
    return LargeBody(len(grid.cells), 2, seconds)


def cost_lines(comparison: Comparison, row: Row, large: LargeBody | None) -> list[str]:
    """Seconds of both, and how they grow."""
    references, size = comparison.references, comparison.size
    lattice = sum(each.seconds for each in references)
    rate = sum(each.node_steps for each in references) / lattice
    replicas = references[0].felt.shape[1]
    lines = [
        f"cost: the lattice takes {lattice:.0f} s of processor time for {replicas} replicas "
        f"({rate / 1e9:.2f}e9 node updates per second); {row.triangles}, {row.seconds:.0f} s."
    ]
    if large is not None:
        steps = size.instants * size.steps * len(references)
        wide = 10 * size.columns
        lines.append(
            f"A body of {wide} × {wide} nodes: the lattice takes {100.0 * lattice:.0f} s "
            f"(extrapolated: 100 times the nodes), finite elements of the same size "
            f"{large.seconds / large.steps * steps:.0f} s ({large.triangles} triangles, "
            f"{large.seconds:.0f} s measured for {large.steps} of {steps} steps)."
        )
    return lines


# ## What the demo shows
#
# Bonds open in four arms from the hole towards the corners, where the grips hold the body. The
# faster pull leaves less time to open bonds and needs the larger force.


def draw(comparison: Comparison, best: tuple[str, str], path: Path) -> None:
    """Open fractions of lattice and finite elements side by side, and what the grips feel."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection

    experiment, shown = comparison.experiment, comparison.references[-1]
    body = experiment.body
    cells = bodies.triangles(body)
    moved = (body.nodes + shown.displacements)[cells]
    response = comparison.responses[best][-1]
    of_bonds = shown.opened.mean(0)
    at_nodes = [
        np.bincount(body.bonds.ravel(), np.repeat(values, 2), len(body.nodes))
        for values in (of_bonds, np.ones(len(of_bonds)))
    ]
    lattice = (at_nodes[0] / at_nodes[1])[cells].mean(1)
    elements = response.opened.mean(1)
    top = float(np.quantile(np.concatenate([lattice, elements]), 0.995))
    with plt.rc_context({"font.size": 10.5, "axes.titlesize": 11}):
        figure = plt.figure(figsize=(12.4, 4.5), layout="constrained")
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
        draw_felt(right, comparison, best)
        figure.savefig(path, dpi=170)
        plt.close(figure)


def draw_felt(ax: Any, comparison: Comparison, best: tuple[str, str]) -> None:
    """What the grips feel over the amplitude, for each duration."""
    experiment = comparison.experiment
    colours = ["#d1495b", "#2e6f95"]
    for each, response, colour in zip(
        comparison.references, comparison.responses[best], colours, strict=False
    ):
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


def check(comparison: Comparison, bound: float) -> None:
    """The learned law agrees with the lattice, and nothing that was left out does."""
    rows = {(row.name, row.triangles): row for row in comparison.rows}
    learned = [row for row in comparison.rows if row.name == "learned law"]
    elastic = next(row for row in comparison.rows if row.name == "elastic")
    for row in learned:
        assert max(row.felt) < bound, f"{row.triangles}: {row.felt} %"
        assert max(row.felt) < 0.5 * max(elastic.felt), "bonds that open must matter"
    undragged = [row for (name, _), row in rows.items() if name == "no drag"]
    for row in undragged:
        same = rows["learned law", row.triangles]
        assert row.felt[0] > 1.2 * same.felt[0], "drag must matter at the faster rate"
    first, last = comparison.references[0], comparison.references[-1]
    assert first.mean.max() > last.mean.max(), "the faster load must need the larger force"


def variants(
    experiment: bodies.Experiment,
    model: ibvonn_fem.ExportedModel,
    sizes: Sequence[float],
    own: bool,
) -> list[Variant]:
    """The learned law on all triangulations that can be made here. Collective."""
    found = []
    if own or not sizes:
        grid = bodies.own_triangles(experiment.body)
        found.append(Variant("learned law", model, "the lattice's own, edge bonds whole", grid))
    for length in sizes:
        try:
            grid = bodies.gmsh_triangles(experiment, length)
        except bodies.NoGmsh as error:
            if MPI.COMM_WORLD.rank == 0:
                print(f"unstructured triangles are left out: {error}")
            break
        found.append(Variant("learned law", model, f"{len(grid.cells)} of size {length:g}", grid))
    return found or variants(experiment, model, (), True)


def main() -> None:
    """Simulate, compute, print, draw, check."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models/lattice")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="further laws to compare")
    parser.add_argument("--notch", action="store_true", help="a notch in bending, not a hole")
    parser.add_argument("--durations", type=float, nargs=2, default=(2000.0, 10000.0), metavar="T")
    parser.add_argument("--sizes", type=float, nargs="*", default=(1.5, 3.0), help="of triangles")
    parser.add_argument("--no-own", action="store_true", help="without the lattice's triangles")
    parser.add_argument("--replicas", type=int, default=96, help="a multiple of 16")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the lattice")
    parser.add_argument("--large", action="store_true", help="measure a body of 600 × 600 nodes")
    parser.add_argument("--bound", type=float, default=3.0, help="largest error of the forces, %%")
    parser.add_argument("--output", type=Path, default=Path("lattice_with_hole"))
    parser.add_argument("--figure", type=Path, help="where to write the picture as PNG")
    parser.add_argument(
        "--short", "--quick", action="store_true", help="a small body, for a quick look"
    )
    arguments = parser.parse_args()
    size, replicas, durations, lengths = (
        Size(),
        arguments.replicas,
        sorted(arguments.durations),
        arguments.sizes,
    )
    if arguments.short:
        size, replicas, durations, lengths = SHORT, 32, [200.0, 1000.0], [1.5]
        arguments.bound = max(arguments.bound, 8.0)
    # Beside the hole strains leave the range of the training: the table of the JSON says how far.
    warnings.simplefilter("ignore", ibvonn_fem.EnvelopeWarning)

    model = ibvonn_fem.load_model(arguments.model)
    made = bodies.with_notch if arguments.notch else bodies.with_hole
    experiment = made(size.columns, size.depth if arguments.notch else size.radius)
    references = [
        simulate_lattice(experiment, duration, size, replicas, arguments.threads)
        for duration in durations
    ]
    comparison = Comparison(experiment, references, size)
    learned = variants(experiment, model, lengths, not arguments.no_own)
    for variant in learned:
        row = comparison.add(variant)
    coarse = learned[-1]
    for path in arguments.also:
        other = ibvonn_fem.load_model(path)
        comparison.add(Variant(other.manifest.name, other, coarse.triangles, coarse.grid))
    comparison.add(Variant("no drag", model, coarse.triangles, coarse.grid, drag=False))
    comparison.add_elastic(coarse)
    comparison.add_sampling_error()
    large = large_body(model, size, durations[-1], lengths[-1]) if arguments.large else None
    if MPI.COMM_WORLD.rank == 0:
        print(experiment.name)
        print(comparison.table())
        print(*cost_lines(comparison, row, large), sep="\n")
        arguments.output.mkdir(parents=True, exist_ok=True)
        name = "notch" if arguments.notch else "hole"
        results = {
            "body": experiment.name,
            "durations": durations,
            "replicas": replicas,
            "rows": [asdict(each) for each in comparison.rows],
            "large_body": None if large is None else asdict(large),
            "time": [each.time.tolist() for each in references],
            "felt": [each.mean.tolist() for each in references],
        }
        (arguments.output / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        figure = arguments.figure or arguments.output / f"{name}.png"
        draw(comparison, (coarse.name, coarse.triangles), figure)
        check(comparison, arguments.bound)


if __name__ == "__main__":
    main()
