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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mpi4py import MPI

import lattice_bodies as bodies
import numpy as np
from lattice_elements import Elements, Response, elastic_stiffness, run_elements
from lattice_pictures import draw
from lattice_reference import (
    SHORT,
    Reference,
    Size,
    amplitude_of,
    shown_instant,
    simulate_lattice,
)
from tabulate import tabulate

import ibvonn_fem

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
                of_elements = bodies.patches_of_triangles(
                    self.experiment, response.corners, response.opened, self.size.patches
                )
                opened.append(bodies.percent(of_elements, patches, self.bonds))
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
        f"({rate / 1e9:.2f}e9 node updates per second), finite elements with triangles "
        f"{row.triangles} {row.seconds:.0f} s."
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
# Bonds open beside the hole first, and then in wide bands between it and the corners; above and
# below the hole they stay folded. The faster pull leaves less time and needs more force.


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
    chosen = []
    if own or not sizes:
        grid = bodies.own_triangles(experiment.body)
        chosen.append(Variant("learned law", model, "the lattice's own, edge bonds whole", grid))
    for length in sizes:
        try:
            grid = bodies.gmsh_triangles(experiment, length)
        except bodies.NoGmsh as error:
            if MPI.COMM_WORLD.rank == 0:
                print(f"unstructured triangles are left out: {error}")
            break
        chosen.append(Variant("learned law", model, f"{len(grid.cells)} of size {length:g}", grid))
    return chosen or variants(experiment, model, (), True)


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
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    references = [
        simulate_lattice(experiment, duration, size, replicas, arguments.threads, folder)
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
        (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        figure = arguments.figure or folder / f"{name}.png"
        responses = comparison.responses[coarse.name, coarse.triangles]
        draw(experiment, references, responses, figure)
        check(comparison, arguments.bound)


if __name__ == "__main__":
    main()
