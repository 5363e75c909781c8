"""A checkpoint goes on, on another number of ranks than wrote it: the state is the same to 1e-12.

On two ranks a checkpoint of both is read by each alone, and one of rank 0 alone by both.
"""

from mpi4py import MPI

import h5py
import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    Microcircle,
    TimeStepping,
    read_checkpoint,
    write_checkpoint,
)
from ibvonn_fem.errors import CheckpointError
from ibvonn_fem.stepping.redistribution import _positions

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

WORLD, ALONE = MPI.COMM_WORLD, MPI.COMM_SELF
TIMES = np.linspace(0.0, 1.0, 7)


@pytest.fixture
def folder(tmp_path):
    """The same folder on all ranks."""
    return WORLD.bcast(tmp_path)


def plate(model, comm, *, order=3, stretch=0.0, density=1.0, tags=((1, 3), (2,))):
    """A plate of two laws, the first on cells of two tags, that is pulled and bears a load.

    Elements of third order have two dofs on an edge, whose order depends on the ranks.
    """
    body = mesh.create_unit_square(comm, 3, 2)
    body.geometry.x[:, 0] += stretch * body.geometry.x[:, 1]
    owned = body.topology.index_map(2)
    cells = np.arange(owned.size_local + owned.num_ghosts, dtype=np.int32)
    which = 1 + np.asarray(body.topology.original_cell_index) % 3
    marked = mesh.meshtags(body, 2, cells, which.astype(np.int32))
    space = fem.functionspace(body, ("Lagrange", order, (2,)))
    u, pulled = fem.Function(space), fem.Constant(body, np.zeros(2))
    bcs = [
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[1], a)), space
        )
        for value, a in ((fem.Constant(body, np.zeros(2)), 0.0), (pulled, 1.0))
    ]
    laws = [
        InternalVariableLaw(
            model,
            Microcircle(3, density=density),
            u,
            2 * (order - 1),
            subdomain=(marked, tag),
            name=f"of tag {tag}",
        )
        for tag in tags
    ]
    x = ufl.SpatialCoordinate(body)
    problem = InternalVariableProblem(laws, u, bcs, body_force=0.1 * ufl.as_vector([x[1], x[0]]))

    def loading(time):
        pulled.value[:] = 0.1 * time, 0.3 * np.sin(4.0 * time)

    return TimeStepping(problem, loading)


def state(stepping):
    """Displacement in each cell and state at its points, in the order of the mesh as given."""
    problem = stepping.problem
    space, comm = problem.u.function_space, problem.comm
    original = np.asarray(space.mesh.topology.original_cell_index)
    owned = space.mesh.topology.index_map(2).size_local
    x = space.tabulate_dof_coordinates()
    rows = []
    for cell in range(owned):
        dofs = space.dofmap.list[cell]
        dofs = dofs[np.lexsort(np.round(x[dofs], 9).T)]  # not the order of the ranks
        values = [
            function.x.array.reshape(-1, 2)[dofs].reshape(-1)
            for function in (problem.u, problem.internal_force, problem.external_force)
        ]
        rows.append((original[cell], np.concatenate(values)))
    for number, law in enumerate(problem.laws):
        for at, cell in enumerate(law.points.cells):
            points = slice(at * law.points.per_cell, (at + 1) * law.points.per_cell)
            values = (law.internal, law.measure, law.dissipated, law.committed()["stress"])
            rows.append(
                (
                    original[cell] + 1000 * (number + 1),
                    np.concatenate([value[points].reshape(-1) for value in values]),
                )
            )
    everything = [row for part in comm.allgather(rows) for row in part]
    everything.sort(key=lambda row: row[0])
    return np.concatenate([values for _, values in everything])


@pytest.mark.parametrize("writer", ["one rank", "all ranks"])
def test_a_run_goes_on_on_another_number_of_ranks(zener, folder, writer):
    first, then = (ALONE, WORLD) if writer == "one rank" else (WORLD, ALONE)
    whole = plate(zener(quartic=2.0), then)
    whole.run(TIMES)
    expected = state(whole)
    stopped = plate(zener(quartic=2.0), first)
    stopped.run(TIMES[:4])
    if first is WORLD or WORLD.rank == 0:
        write_checkpoint(folder / "plate.h5", stopped, TIMES[3])
    WORLD.barrier()
    resumed = plate(zener(quartic=2.0), then)
    assert np.abs(state(stopped) - state(resumed)).max() > 1e-3  # control: there is a state to read
    assert read_checkpoint(folder / "plate.h5", resumed) == TIMES[3]
    np.testing.assert_array_equal(state(resumed), state(stopped))
    resumed.run(TIMES[3:], elastic=False)
    np.testing.assert_allclose(state(resumed), expected, rtol=1e-12, atol=1e-12)
    WORLD.barrier()


def relabelled(stepping, folder):
    """A checkpoint of all ranks that every rank must read by the places of its values."""
    path = folder / "plate.h5"
    write_checkpoint(path, stepping, 0.5)
    if WORLD.rank == 0:
        with h5py.File(path, "r+") as file:
            for rank in range(WORLD.size):
                file[f"rank_{rank}"].attrs["mesh"] = "of other ranks"
    WORLD.barrier()
    return path


def test_places_are_read_on_as_many_ranks_too(zener, folder):
    stepping = plate(zener(), WORLD)
    stepping.run(TIMES[:2])
    path = relabelled(stepping, folder)
    other = plate(zener(), WORLD)
    assert read_checkpoint(path, other) == 0.5
    np.testing.assert_array_equal(state(other), state(stepping))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stretch": 1e-6}, "another mesh"),
        ({"order": 2}, "another element"),
        ({"density": 2.0}, r"another law \(number 1\)"),
        ({"tags": ((1,), (2, 3))}, "other cells of the law 'of tag"),
        ({"tags": ((1, 2, 3),)}, r"law \(number 2\) too"),
    ],
)
def test_another_problem_is_refused_and_changes_nothing(zener, folder, changed, words):
    stepping = plate(zener(), WORLD)
    stepping.run(TIMES[:2])
    path = relabelled(stepping, folder)
    other = plate(zener(), WORLD, **changed)
    before = state(other)
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(path, other)
    np.testing.assert_array_equal(state(other), before)


def test_an_altered_value_is_refused(zener, folder):
    path = relabelled(plate(zener(), WORLD), folder)
    if WORLD.rank == 0:
        with h5py.File(path, "r+") as file:
            file[f"rank_{WORLD.size - 1}/law_1/stress"][0] += 1e-9
    WORLD.barrier()
    with pytest.raises(CheckpointError, match="its values are not those that were written"):
        read_checkpoint(path, plate(zener(), WORLD))


def test_dofs_that_are_no_values_at_points_have_no_position():
    import basix.ufl

    body = mesh.create_unit_square(ALONE, 1, 1)
    line = basix.ufl.element("Lagrange", "triangle", 1)
    mixed = fem.functionspace(body, basix.ufl.mixed_element([line, line]))
    edges = fem.functionspace(body, ("N1curl", 1))
    assert _positions(mixed) is None
    assert _positions(edges) is None
    assert _positions(fem.functionspace(body, ("Lagrange", 1))).shape == (4, 3)
