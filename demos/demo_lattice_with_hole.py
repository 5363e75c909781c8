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
import lattice_meshes as meshes
import numpy as np
from lattice_comparison import Comparison, Variant, cost_line
from lattice_elements import Elements, run_elements
from lattice_pictures import draw
from lattice_reference import SHORT, Size, amplitude_of, simulate_lattice

import ibvonn_fem

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
    grid = meshes.gmsh_grid(experiment, length)
    body = Elements(model, experiment, grid)
    instants = np.linspace(0.0, duration, size.instants + 1)[[0, 1, 2]]
    start_time = time.process_time()
    run_elements(body, amplitude_of(experiment, duration), instants, 1, 1)
    seconds = MPI.COMM_WORLD.allreduce(time.process_time() - start_time)
    return LargeBody(len(grid.cells), 2, seconds)


def large_line(comparison: Comparison, large: LargeBody) -> str:
    """Seconds of the lattice and of finite elements for the larger body."""
    size, references = comparison.size, comparison.references
    lattice = sum(each.seconds for each in references)
    steps = size.instants * size.steps * len(references)
    wide = 10 * size.columns
    return (
        f"A body of {wide} × {wide} nodes: the lattice takes {100.0 * lattice:.0f} s "
        f"(extrapolated: 100 times the nodes), finite elements of the same size "
        f"{large.seconds / large.steps * steps:.0f} s ({large.triangles} triangles, "
        f"{large.seconds:.0f} s measured for {large.steps} of {steps} steps)."
    )


# ## What the demo shows
#
# Bonds open beside the hole first, and then in wide bands between it and the corners; above and
# below the hole they stay folded. The faster pull leaves less time and needs more force.


def variants(
    experiment: bodies.Experiment,
    model: ibvonn_fem.ExportedModel,
    sizes: Sequence[float],
    own: bool,
) -> list[Variant]:
    """The learned law on all triangulations that can be made here. Collective."""
    chosen = []
    if own or not sizes:
        grid = meshes.own_triangles(experiment.body)
        chosen.append(Variant("learned law", model, "the lattice's own, edge bonds whole", grid))
    for length in sizes:
        try:
            grid = meshes.gmsh_grid(experiment, length)
        except meshes.NoGmsh as error:
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
        comparison.add(Variant(other.manifest.name, other, coarse.cells, coarse.grid))
    comparison.add(Variant("no drag", model, coarse.cells, coarse.grid, drag=False))
    comparison.add_elastic(coarse)
    comparison.add_sampling_error()
    large = large_body(model, size, durations[-1], lengths[-1]) if arguments.large else None
    if MPI.COMM_WORLD.rank == 0:
        print(experiment.name)
        print(comparison.table())
        print(cost_line(comparison, row))
        if large is not None:
            print(large_line(comparison, large))
        name = experiment.kind
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
        responses = comparison.responses[coarse.name, coarse.cells]
        draw(experiment, references, responses, figure)
        comparison.check(arguments.bound)


if __name__ == "__main__":
    main()
