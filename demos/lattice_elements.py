"""Finite elements that carry the law of a lattice, of a body that was cut out of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mpi4py import MPI

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, la, mesh
from lattice_bodies import Experiment
from lattice_meshes import Grid
from numpy.typing import NDArray

import ibvonn_fem
from ibvonn_fem.kernels.base import FloatArray, LocalUpdate
from ibvonn_train.simulation.systems.lattice_geometry import LatticeGeometry, mandel


class WholeBonds(ibvonn_fem.FullStrain):
    """The law of a cell on the edge of a lattice, where some bonds count whole.

    A triangle of the lattice has half of each of its three bonds; the other half belongs to the
    neighbour. Where there is none, the bond counts twice: of the stress σ = Σ_a s_a n_a⊗n_a / V
    the tension s_a of that direction. Other cells beside an edge have other weights.

    Args:
        lattice: Directions of the bonds.
        weights: How often bonds of each direction count.
        axes: Axes of the lattice, as in ``FullStrain``.
    """

    def __init__(self, lattice: LatticeGeometry, weights: FloatArray, axes: Any = None) -> None:
        n = lattice.directions
        products = mandel(n[:, :, None] * n[:, None, :]).T
        super().__init__(len(products), axes=axes)
        self._weights = products @ np.diag(weights) @ np.linalg.inv(products)

    def gather(
        self, measure: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Stress and stiffness with the weights of the directions."""
        super().gather(measure, update, stress, tangent)
        stress[...] = stress @ self._weights.T
        tangent[...] = (self._weights @ tangent.reshape(-1, *self._weights.shape)).reshape(
            len(tangent), -1
        )


CELLS = {2: "triangle", 3: "tetrahedron"}
TOLERANCE = 1e-6
"""Of the balance of forces, relative to the forces: far below the errors that are compared."""


@dataclass(frozen=True, eq=False)
class Response:
    """What finite elements give; complete on rank 0.

    Attributes:
        felt: By the grips at the instants, ``(n_time,)``.
        corners: Of all cells, ``(n, d + 1, d)``.
        moved: The same under the displacement at the end of the hold.
        opened: Open fractions of the directions in all cells then, ``(n, n_direction)``.
        seconds: Of processor time, of all ranks together.
        steps: Number of time steps.
        validity: Largest excursion from the range of the training, in half widths.
    """

    felt: FloatArray
    corners: FloatArray
    moved: FloatArray
    opened: FloatArray
    seconds: float
    steps: int
    validity: float


class Elements:
    """A body in finite elements: linear triangles or tetrahedra, grips and medium of the lattice.

    Args:
        model: The law.
        experiment: The body.
        grid: Its cells, on every rank.
        drag: Whether the medium drags.
    """

    def __init__(
        self,
        model: ibvonn_fem.ExportedModel,
        experiment: Experiment,
        grid: Grid,
        *,
        drag: bool = True,
    ) -> None:
        self.experiment, comm = experiment, MPI.COMM_WORLD
        first = slice(None) if comm.rank == 0 else slice(0)
        size, shape = experiment.size, CELLS[experiment.size]
        element = basix.ufl.element("Lagrange", shape, 1, shape=(size,))
        domain = mesh.create_mesh(comm, grid.cells[first], x=grid.nodes[first], e=ufl.Mesh(element))
        self.domain = domain
        space = fem.functionspace(domain, ("Lagrange", 1, (size,)))
        self.u, self.medium = fem.Function(space), fem.Function(space)
        self.motion = fem.Function(space)
        self.motion.interpolate(lambda x: experiment.motion(x[:size].T).T)
        ends = [
            fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[size - 1], at))
            for at in experiment.ends
        ]
        self.grips = [fem.dirichletbc(self.medium, dofs) for dofs in ends]
        owned = domain.topology.index_map(size).size_local
        own = np.zeros(owned, np.int32)
        if grid.weights is not None:
            own[:] = grid.kinds[domain.topology.original_cell_index[:owned]]
        tags = mesh.meshtags(domain, size, np.arange(owned, dtype=np.int32), own)
        kinds = sorted({int(k) for part in comm.allgather(np.unique(own)) for k in part})
        lattice, axes = experiment.body.lattice, experiment.frame
        plain = ibvonn_fem.FullStrain(lattice.strain_basis.shape[1], axes=axes)
        self.laws = [
            ibvonn_fem.InternalVariableLaw(
                model,
                plain if grid.weights is None else WholeBonds(lattice, grid.weights[kind], axes),
                self.u,
                0,
                subdomain=(tags, kind),
                name=f"{model.manifest.name} {kind}",
            )
            for kind in kinds
        ]
        self.problem = ibvonn_fem.InternalVariableProblem(
            self.laws,
            self.u,
            self.grips,
            drag=self._coefficient(grid, own) if drag else None,
            medium=self.medium if drag else None,
            options={"snes_rtol": TOLERANCE},
        )

    def _coefficient(self, grid: Grid, kinds: NDArray[np.int32]) -> Any:
        """Drag 1 of a node over its volume: that of the lattice, or its share of the mesh."""
        volume = self.experiment.body.lattice.volume
        if grid.kinds is None:
            return 1.0 / volume
        if grid.drags is not None:
            of_cells = fem.Function(fem.functionspace(self.domain, ("DG", 0)))
            of_cells.x.array[: len(kinds)] = grid.drags[kinds] / volume
            of_cells.x.scatter_forward()
            return of_cells
        space = fem.functionspace(self.domain, ("Lagrange", 1))
        areas, coefficient = fem.Function(space), fem.Function(space)
        form = fem.form(ufl.TestFunction(space) * ufl.dx)
        areas.x.array[:] = fem.assemble_vector(form).array
        areas.x.scatter_reverse(la.InsertMode.add)
        areas.x.scatter_forward()
        coefficient.x.array[:] = 1.0 / areas.x.array
        return coefficient

    def load(self, amplitude: float) -> None:
        """Set medium and grips to c f(X); the first guess goes on as in the last step."""
        self.medium.x.array[:] = amplitude * self.motion.x.array
        committed = self.problem.committed()
        self.u.x.array[:] = 2.0 * committed["u"] - committed["u_before"]

    def felt(self) -> float:
        """Force or moment of the grips. Collective."""
        problem, space = self.problem, self.u.function_space
        force = problem.internal_force.x.array - problem.external_force.x.array
        if problem.drag is not None:
            force = force + problem.drag.force.x.array
        size = self.experiment.size
        x, force = space.tabulate_dof_coordinates()[:, :size], force.reshape(-1, size)
        frame = np.eye(size) if self.experiment.frame is None else self.experiment.frame
        turned = [(0, 1)] if size == 2 else [(1, 2), (2, 0), (0, 1)]
        sums = np.zeros((1, 2, size + len(turned)))
        for number, grip in enumerate(self.grips):
            dofs, owned = grip.dof_indices()
            nodes = np.unique(dofs[:owned] // size)
            nodes = nodes[nodes < space.dofmap.index_map.size_local]
            place, own = x[nodes] @ frame, force[nodes] @ frame
            sums[0, number, :size] = own.sum(0)
            for axis, (i, j) in enumerate(turned, start=size):
                sums[0, number, axis] = (place[:, i] * own[:, j] - place[:, j] * own[:, i]).sum()
        self.domain.comm.Allreduce(MPI.IN_PLACE, sums, op=MPI.SUM)
        return float(self.experiment.felt(sums)[0])

    def opened(self) -> tuple[FloatArray, ...]:
        """Corners, moved corners and open fractions of all cells, on rank 0. Collective."""
        corners, moved, fractions = [], [], []
        size = self.experiment.size
        u, dofs = self.u.x.array.reshape(-1, size), self.u.function_space.dofmap.list
        for law in self.laws:
            rest = -law.model.manifest.bounds[:, 0]  # α counts from the fractions at rest
            cells = law.points.cells
            place = self.domain.geometry.x[self.domain.geometry.dofmap[cells], :size]
            corners.append(place)
            moved.append(place + u[dofs[cells]])
            fractions.append(law.internal[:, 0] + rest)
        part = tuple(np.concatenate(each) for each in (corners, moved, fractions))
        parts = self.domain.comm.gather(part)
        if parts is None:
            return tuple(each[:0] for each in part)
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def run_elements(
    body: Elements,
    amplitude: Callable[[float], float],
    instants: FloatArray,
    shown: int,
    parts: int,
) -> Response:
    """Load a body; ``parts`` steps between two instants, open fractions at the instant ``shown``.

    Collective.
    """
    start_time = time.process_time()
    fine = np.unique(
        np.concatenate([np.linspace(a, b, parts + 1) for a, b in itertools.pairwise(instants)])
    )
    felt: list[float] = []
    seen: list[tuple[FloatArray, ...]] = []
    validity = [0.0]
    taken = iter(range(len(fine)))

    def record(step: Any) -> None:
        number = next(taken)
        validity.append(max(report.excursion for report in step.ranges))
        if number % parts == 0:
            felt.append(body.felt())
            if number // parts == shown:
                seen.append(body.opened())

    stepping = ibvonn_fem.TimeStepping(body.problem, lambda t: body.load(amplitude(t)))
    steps = stepping.run(fine, record)
    seconds = body.domain.comm.allreduce(time.process_time() - start_time)
    return Response(np.array(felt), *seen[0], seconds, len(steps), max(validity))


def elastic_stiffness(body: Elements) -> float:
    """What the grips feel for c = 1 while all bonds stay as they are at rest. Collective."""
    small = 1e-3
    body.load(small)
    assert body.problem.solve(0.0).converged
    felt = body.felt() / small
    body.problem.restore()
    body.load(0.0)
    return felt
