r"""A block of an fcc lattice with a cavity, simulated whole, against finite elements in space.

The law of `exported_models/lattice_fcc` was learned from a periodic cell. Here a block with a
spherical cavity is simulated bond by bond by Langevin dynamics, and computed by tetrahedra whose
quadrature points carry that law: six strains, the fractions of open bonds of six directions.
Nothing is fitted to the body.

This demo illustrates how to

- give finite elements the axes of an anisotropic material in space,
- count bonds and nodes on free faces as the lattice has them,
- compare a continuum in space with what it replaces.

## Equation and problem definition

Nodes of an fcc lattice are joined by bonds that may be folded or open. The edges of the block are
[001], [1-10] and [110], along which it is pulled and one of the six directions of bonds lies. Two
layers of nodes at each end are gripped and move with the medium, whose displacement is
$c(t)\,(0, 0, z)$. The amplitude $c$ rises within $0.35\,T$, is held for $0.2\,T$, falls to zero
within $0.3\,T$ and rests. In finite elements, with the drag coefficient $\eta$ of a node over its
volume $V$,

$$ \int \frac{\eta}{V} (\dot u - \dot c f) \cdot v \,\mathrm dx
   + \int \sigma(\varepsilon, \alpha) : \nabla v \,\mathrm dx = 0, \qquad u = c f
   \text{ on the grips}, $$

with the first integral lumped.

A continuum that ends with the outermost layer of nodes has half of these nodes and of the bonds
between them; with layers at the distance $d$ the lattice has $d/2$ more of nodes, and
$(1 - k)\,d/2$ more of bonds that reach over $k$ layers. Along [110] these are 6 % of the bonds of
this block. The tetrahedra beside the free faces bear them (`with_faces`). The cavity is a ball of
the radius $R$ with $\tfrac43 \pi R^3 = (N_0 - N)\,V/6$, $N_0$ and $N$ being the numbers of bonds
without and with the cavity.

The demo prints the relative $L^2$ error of the force of the grips over all instants, and that of
the open fractions at the end of the hold on $4 \times 4 \times 4$ patches, weighted by their
numbers of bonds. The sampling error of the lattice is half the difference of two halves of the
replicas. *Elastic* keeps all bonds as they are at rest.

| symbol | value | unit |
| --- | --- | --- |
| edges, cavity | 15√2 × 21 × 21, radius 5: 13647 nodes | bond length |
| largest $c$ | 1.3 $z_h$ | $z_h$ = 0.1 bond lengths |
| $T$ | `--durations` 500, 4000 | drag / stiffness |
"""

# ## Implementation

from __future__ import annotations

import argparse
import json
import os
import warnings
from dataclasses import asdict
from pathlib import Path

from mpi4py import MPI

import lattice_bodies as bodies
import lattice_meshes as meshes
from lattice_comparison import Comparison, Variant, cost_line
from lattice_reference import Size, simulate_lattice
from lattice_sections import draw

import ibvonn_fem

EDGE = 2.0**0.5
BLOCK, RADIUS = (15.0 * EDGE, 21.0, 21.0), 5.0
SMALL, SMALL_RADIUS = (5.0 * EDGE, 7.0, 7.0), 2.0


def main() -> None:
    """Simulate, compute, print, draw, check."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models/lattice_fcc")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="further laws to compare")
    parser.add_argument("--durations", type=float, nargs=2, default=(500.0, 4000.0), metavar="T")
    parser.add_argument("--sizes", type=float, nargs="*", default=(1.75, 3.5), help="of tetrahedra")
    parser.add_argument("--replicas", type=int, default=32, help="a multiple of 16")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the lattice")
    parser.add_argument("--bound", type=float, default=2.5, help="largest error of the forces, %%")
    parser.add_argument("--output", type=Path, default=Path("lattice_with_cavity"))
    parser.add_argument("--figure", type=Path, help="where to write the picture as PNG")
    parser.add_argument(
        "--short", "--quick", action="store_true", help="a small body, for a quick look"
    )
    arguments = parser.parse_args()
    edges, radius, size = BLOCK, RADIUS, Size(patches=4, instants=40)
    replicas, durations, lengths = (
        arguments.replicas,
        sorted(arguments.durations),
        sorted(arguments.sizes),
    )
    if arguments.short:
        edges, radius, size = SMALL, SMALL_RADIUS, Size(patches=2, instants=20)
        replicas, durations, lengths = 32, [40.0, 1000.0], [2.0]
        arguments.bound = max(arguments.bound, 8.0)
    # Beside the cavity strains leave the range of the training: the JSON says how far.
    warnings.simplefilter("ignore", ibvonn_fem.EnvelopeWarning)

    model = ibvonn_fem.load_model(arguments.model)
    experiment = bodies.with_cavity(edges, radius)
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    try:
        grids = {length: meshes.gmsh_grid(experiment, length) for length in lengths}
    except meshes.NoGmsh as error:
        raise SystemExit(f"This demo needs gmsh: {error}") from None
    references = [
        simulate_lattice(experiment, duration, size, replicas, arguments.threads, folder)
        for duration in durations
    ]
    comparison = Comparison(experiment, references, size)
    for length, grid in grids.items():
        cells = f"{len(grid.cells)} of size {length:g}"
        row = comparison.add(Variant("learned law", model, cells, grid))
    fine = f"{len(grids[lengths[0]].cells)} of size {lengths[0]:g}"
    for path in arguments.also:
        other = ibvonn_fem.load_model(path)
        comparison.add(Variant(other.manifest.name, other, cells, grid))
    comparison.add(Variant("no drag", model, cells, grid, drag=False))
    plain = meshes.Grid(grid.nodes, grid.cells)
    comparison.add(Variant("half bonds on free faces", model, cells, plain))
    comparison.add_elastic(Variant("elastic", model, cells, grid))
    comparison.add_sampling_error()
    if MPI.COMM_WORLD.rank == 0:
        print(experiment.name)
        print(comparison.table())
        print(cost_line(comparison, row))
        results = {
            "body": experiment.name,
            "durations": durations,
            "replicas": replicas,
            "rows": [asdict(each) for each in comparison.rows],
            "time": [each.time.tolist() for each in references],
            "felt": [each.mean.tolist() for each in references],
        }
        (folder / "cavity.json").write_text(json.dumps(results, indent=1) + "\n")
        figure = arguments.figure or folder / "cavity.png"
        draw(experiment, references, comparison.responses["learned law", fine], figure)
        comparison.check(arguments.bound, fine)


# ## What the demo shows
#
# Bonds along the pull open in a belt around the cavity, and stay folded above and below it. Half
# bonds on the free faces alone would cost several per cent of the force.

if __name__ == "__main__":
    main()
