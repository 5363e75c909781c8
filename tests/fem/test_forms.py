"""Loads, tags and mixed spaces: what UFL writes down is what is solved."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("dolfinx")

from mpi4py import MPI

import basix.ufl
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    PlaneStrain,
    Uniaxial,
    load_model,
)

pytestmark = pytest.mark.fem

SQUARE = mesh.create_unit_square(MPI.COMM_SELF, 3, 3)
V = fem.functionspace(SQUARE, ("Lagrange", 1, (2,)))
v = ufl.TestFunction(V)
x = ufl.SpatialCoordinate(SQUARE)
RIGHT = ufl.conditional(ufl.gt(x[0], 1.0 - 1e-6), 1.0, 0.0)
LEFT = ufl.conditional(ufl.lt(x[0], 1e-6), 1.0, 0.0)
PULL = 1e-3 * v[0] * RIGHT * ufl.ds
CELLS = np.arange(SQUARE.topology.index_map(2).size_local, dtype=np.int32)
HALF = np.where(mesh.compute_midpoints(SQUARE, 2, CELLS)[:, 1] < 0.5, 1, 2).astype(np.int32)
TAGS = mesh.meshtags(SQUARE, 2, CELLS, HALF)


def clamp(space, value=(0.0, 0.0)):
    dofs = fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 0.0))
    return fem.dirichletbc(np.array(value), dofs, space)


@pytest.fixture(scope="module")
def model():
    return load_model("exported_models/exact_sls")


def law(model, u, **options):
    return InternalVariableLaw(model, PlaneStrain(FullStrain(6)), u, 0, **options)


def solved(laws, u, loads, bcs=None, *, steps=(0.0, 0.1, 0.1), **options):
    problem = InternalVariableProblem(
        laws, u, [clamp(u.function_space)] if bcs is None else bcs, loads, **options
    )
    for dt in steps:
        report = problem.solve(dt)
        assert report.converged, report.message
        problem.commit()
    return u.x.array.copy()


def elastic(model, form):
    """Displacement of the first, elastic step by plain UFL: moduli K = 1.5 and G = 1."""
    du = ufl.TrialFunction(V)
    strain = [
        ufl.sym(
            ufl.as_matrix(
                [[ufl.grad(w)[i, j] if max(i, j) < 2 else 0.0 for j in range(3)] for i in range(3)]
            )
        )
        for w in (du, v)
    ]
    stress = 1.5 * ufl.tr(strain[0]) * ufl.Identity(3) + 2.0 * ufl.dev(strain[0])
    A = ufl.inner(stress, strain[1]) * ufl.dx
    left, right = ufl.system(A - form(du))
    matrix = fem.assemble_matrix(fem.form(left)).to_dense()
    return np.linalg.solve(matrix, fem.assemble_vector(fem.form(right)).array)


def test_a_part_of_u_in_the_loads_depends_on_u(model):
    results = []
    for part in (lambda u: u[0], lambda u: u.sub(0), lambda u: ufl.split(u)[0]):
        u = fem.Function(V)
        loads = (0.01 - 1.0 * part(u)) * v[0] * RIGHT * ufl.ds
        results.append(solved(law(model, u), u, loads))
    assert results[0].max() == pytest.approx(0.0029747, rel=1e-4)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-12)


def test_a_jump_between_cells_in_the_loads_is_in_the_stiffness(model):
    def form(w):
        jump = 10.0 * ufl.inner(ufl.jump(ufl.grad(w)), ufl.jump(ufl.grad(v))) * ufl.dS
        return PULL - jump - 1e3 * ufl.inner(w, v) * LEFT * ufl.ds

    u = fem.Function(V)
    problem = InternalVariableProblem(law(model, u), u, [], form(u))
    report = problem.solve(0.0)
    assert report.converged, report.message
    assert report.iterations == 1
    np.testing.assert_allclose(u.x.array, elastic(model, form), rtol=1e-8, atol=1e-12)
    without = fem.Function(V)
    solved(law(model, without), without, PULL, steps=(0.0,))
    assert np.abs(u.x.array - without.x.array).max() > 0.01 * np.abs(u.x.array).max()


def test_loads_of_a_linear_potential_are_dead_loads(model):
    results = []
    for loads in (lambda _: PULL, lambda u: ufl.derivative(1e-3 * u[0] * RIGHT * ufl.ds, u, v)):
        u = fem.Function(V)
        results.append(solved(law(model, u), u, loads(u)))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_loads_made_of_the_stress_follow_it(model):
    """Loads −s σ·δε on an elastic step are a body that is stiffer by 1 + s."""
    u, w = fem.Function(V), fem.Function(V)
    stiffer, plain = law(model, u), law(model, w)
    loads = PULL - 0.5 * stiffer.virtual_work(v)
    solved(stiffer, u, loads, steps=(0.0,), options={"snes_max_it": 80})
    solved(plain, w, PULL, steps=(0.0,))
    np.testing.assert_allclose(u.x.array, w.x.array / 1.5, rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["one set", pytest.param("sets of their own", marks=pytest.mark.slow), "a tuple", "a list"],
)
def test_laws_on_tagged_cells_are_one_body(model, kind):
    def tags(number):
        own = CELLS[number == HALF]
        return mesh.meshtags(SQUARE, 2, own, np.full(len(own), number, dtype=np.int32))

    subdomains = {
        "one set": [(TAGS, 1), (TAGS, 2)],
        "sets of their own": [(tags(1), 1), (tags(2), 2)],
        "a tuple": [(TAGS, (1, 2))],
        "a list": [(TAGS, [2, 1])],
    }[kind]
    u, whole = fem.Function(V), fem.Function(V)
    gravity = {"body_force": ufl.as_vector([0.0, -1e-3]), "drag": 0.1}
    laws = [law(model, u, subdomain=subdomain) for subdomain in subdomains]
    expected = solved(law(model, whole), whole, PULL, **gravity)
    np.testing.assert_allclose(solved(laws, u, PULL, **gravity), expected, rtol=1e-9, atol=1e-14)


def test_loads_may_use_several_sets_of_tags(model):
    other = mesh.meshtags(SQUARE, 2, CELLS, HALF + 5)
    one, two = (ufl.Measure("dx", domain=SQUARE, subdomain_data=tags) for tags in (TAGS, other))
    u, whole = fem.Function(V), fem.Function(V)
    expected = solved(law(model, whole), whole, 1e-3 * v[1] * ufl.dx)
    actual = solved(law(model, u, subdomain=(TAGS, (1, 2))), u, 1e-3 * v[1] * (one(1) + two(7)))
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.parametrize("order", ["u first", "u second"])
@pytest.mark.parametrize("strained", ["ufl.split", "sub"])
def test_a_displacement_in_a_mixed_space_is_the_displacement(model, order, strained):
    scalar = basix.ufl.element("Lagrange", "triangle", 1)
    vector = basix.ufl.element("Lagrange", "triangle", 1, shape=(2,))
    first = order == "u first"
    element = basix.ufl.mixed_element([vector, scalar] if first else [scalar, vector])
    W = fem.functionspace(SQUARE, element)
    w, (i, j) = fem.Function(W), ((0, 1) if first else (1, 0))
    parts, tests = ufl.split(w), ufl.split(ufl.TestFunction(W))
    part, _ = W.sub(i).collapse()
    dofs = fem.locate_dofs_geometrical((W.sub(i), part), lambda x: np.isclose(x[0], 0.0))
    grip = fem.dirichletbc(fem.Function(part), dofs, W.sub(i))
    tied = (parts[j] - 0.1 * x[0]) * tests[j] * ufl.dx
    loads = 1e-3 * tests[i][0] * RIGHT * ufl.ds - tied
    of_part = law(model, w.sub(i) if strained == "sub" else parts[i])
    gravity = ufl.as_vector([0.0, -2e-3])
    problem = InternalVariableProblem(of_part, w, [grip], loads, body_force=gravity)
    assert problem.solve(0.5).converged

    u = fem.Function(V)
    alone = InternalVariableProblem(law(model, u), u, [clamp(V)], PULL, body_force=gravity)
    assert alone.solve(0.5).converged
    collapsed = w.sub(i).collapse()
    at = [f.function_space.tabulate_dof_coordinates() for f in (collapsed, u)]
    sort = [np.lexsort(np.round(points, 6).T) for points in at]
    values = [f.x.array.reshape(-1, 2)[s] for f, s in zip((collapsed, u), sort, strict=True)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        problem.reaction(grip), alone.reaction(alone.bcs[0]), rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(problem.reaction(grip), [-1e-3, 2e-3], rtol=1e-8)


def test_a_body_of_which_a_part_has_no_law_is_named(model):
    u = fem.Function(V)
    half = law(model, u, subdomain=(TAGS, 1))
    problem = InternalVariableProblem(half, u, [clamp(V)], PULL)
    with pytest.raises(ValueError, match=r"nothing resists the motion of \d+ of 32 dofs"):
        problem.solve(0.0)


def test_a_part_without_a_law_may_be_prescribed_or_borne_by_the_loads(model):
    u = fem.Function(V)
    half = law(model, u, subdomain=(TAGS, 1))
    problem = InternalVariableProblem(half, u, [clamp(V)], PULL - ufl.inner(u, v) * ufl.dx)
    assert problem.solve(0.0).converged
    touched = np.unique(V.dofmap.list[half.points.cells])
    loose = np.setdiff1d(np.arange(16), touched).astype(np.int32)
    rest = fem.dirichletbc(np.zeros(2), loose, V)
    assert InternalVariableProblem(half, u, [clamp(V), rest], PULL).solve(0.0).converged


OTHER = mesh.create_unit_square(MPI.COMM_SELF, 3, 3)
OTHER_V = fem.functionspace(OTHER, ("Lagrange", 1, (2,)))
OTHER_CELLS = mesh.meshtags(OTHER, 2, CELLS, HALF)
FACETS = mesh.meshtags(SQUARE, 1, np.arange(3, dtype=np.int32), np.ones(3, dtype=np.int32))
OTHER_FACETS = mesh.meshtags(OTHER, 1, np.arange(3, dtype=np.int32), np.ones(3, dtype=np.int32))
P2 = fem.functionspace(SQUARE, ("Lagrange", 2, (2,)))


@pytest.mark.parametrize(
    ("subdomain", "error", "sentence"),
    [
        ((OTHER_CELLS, 1), ValueError, "subdomain: the cell tags must be of the mesh of u"),
        ((FACETS, 1), ValueError, "needs cell tags, of entities of dimension 2; found tags of"),
        ((TAGS, 3), ValueError, "no cell has the tag 3; the tags are 1, 2"),
        ((TAGS, "1"), TypeError, "a tag must be a whole number, or several in a tuple; found '1'"),
        ((TAGS, ()), TypeError, "a tag must be a whole number"),
        ((TAGS, True), TypeError, "a tag must be a whole number"),
        ((TAGS, None), TypeError, "a tag must be a whole number"),
        ((HALF, 1), TypeError, "needs tags from dolfinx.mesh.meshtags; found ndarray"),
        (TAGS, TypeError, "must be cell tags and a tag, (tags, 1) or (tags, (1, 2)); found Mesh"),
        (1, TypeError, "must be cell tags and a tag"),
    ],
)
def test_a_subdomain_that_does_not_fit_is_refused(model, subdomain, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        law(model, fem.Function(V), subdomain=subdomain)


def _ds(tags, number=1):
    return ufl.Measure("ds", domain=SQUARE, subdomain_data=tags)(number)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            {"loads": ufl.TestFunction(P2)[0] * ufl.dx},
            ValueError,
            "must be in the function space of u",
        ),
        ({"loads": ufl.TestFunction(OTHER_V)[0] * ufl.dx}, ValueError, "another function space"),
        ({"loads": ufl.TrialFunction(V)[0] * ufl.dx}, ValueError, "a form with one TrialFunction"),
        ({"loads": v[0] * ufl.dx(domain=OTHER)}, ValueError, "found a measure or coordinate of"),
        (
            {"loads": ufl.SpatialCoordinate(OTHER)[0] * v[0] * ufl.dx(domain=SQUARE)},
            ValueError,
            "found a measure or coordinate of another",
        ),
        (
            {"loads": fem.Function(OTHER_V, name="wind")[0] * v[0] * ufl.dx(domain=SQUARE)},
            ValueError,
            "found the Function 'wind' on another one",
        ),
        (
            {"loads": v[0] * _ds(OTHER_FACETS)},
            ValueError,
            "the facet tags must be of the mesh of u",
        ),
        ({"loads": v[0] * _ds(TAGS)}, ValueError, "needs facet tags, of entities of dimension 1"),
        ({"loads": v[0] * _ds(FACETS, 7)}, ValueError, "no facet has the tag 7"),
        ({"body_force": 1.0}, ValueError, "body_force: must have the shape (2,); found ()"),
        ({"body_force": ufl.as_vector([1.0] * 3)}, ValueError, "must have the shape (2,); found ("),
        ({"body_force": [0.0, 1.0]}, TypeError, "a Constant, a Function or a UFL expression of sh"),
        ({"body_force": "gravity"}, TypeError, "body_force: must be a number, a Constant"),
        ({"body_force": fem.Function(OTHER_V)}, ValueError, "body_force: must be on the mesh of u"),
        ({"drag": "water"}, TypeError, "drag: must be a number, a Constant"),
        ({"drag": 1.0 + 1.0j}, TypeError, "drag: must be a number, a Constant"),
        ({"drag": np.nan}, ValueError, "drag: must be finite; found nan"),
        ({"drag": fem.Constant(SQUARE, np.nan)}, ValueError, "drag: must be finite and not negati"),
        ({"drag": fem.Constant(SQUARE, [1.0, 2.0])}, ValueError, "drag: must have the shape ()"),
        ({"drag": fem.Function(OTHER_V)[0]}, ValueError, "drag: must be on the mesh of u"),
    ],
)
def test_what_does_not_belong_to_the_body_is_refused(model, arguments, error, sentence):
    u = fem.Function(V)
    with pytest.raises(error, match=re.escape(sentence)):
        InternalVariableProblem(law(model, u), u, [clamp(V)], **arguments)


def test_drag_that_depends_on_u_is_refused(model):
    u = fem.Function(V)
    for part in (u[0], u.sub(0)):
        with pytest.raises(ValueError, match="drag: the coefficient must not depend on u"):
            InternalVariableProblem(law(model, u), u, [clamp(V)], drag=1.0 + part**2)


def test_laws_that_share_cells_are_refused(model):
    u = fem.Function(V)
    whole, half = law(model, u), law(model, u, subdomain=(TAGS, 1), name="half")
    for laws in ([whole, half], [half, half]):
        with pytest.raises(ValueError, match=r"laws must have cells of their own; .* share \d+"):
            InternalVariableProblem(laws, u, [clamp(V)])


def test_the_unknown_is_a_whole_function_in_double_precision(model):
    u = fem.Function(V)
    body_law = law(model, u)
    for wrong, error, sentence in (
        (u.sub(0), ValueError, "u must be the whole Function; found the part [0]"),
        (ufl.split(u)[0], TypeError, "u must be a dolfinx.fem.Function"),
        (None, TypeError, "u must be a dolfinx.fem.Function; found NoneType"),
    ):
        with pytest.raises(error, match=re.escape(sentence)):
            InternalVariableProblem(body_law, wrong, [])
    single = mesh.create_unit_square(MPI.COMM_SELF, 1, 1, dtype=np.float32)
    w = fem.Function(fem.functionspace(single, ("Lagrange", 1, (2,))), dtype=np.float32)
    with pytest.raises(TypeError, match="u must hold float64; found float32"):
        law(model, w)
    with pytest.raises(ValueError, match="mesh must be that of u; the Function"):
        law(model, u, mesh=OTHER)
    for wrong in (None, "u", 3.0):
        with pytest.raises(TypeError, match=r"u must be a dolfinx.fem.Function or a part of one"):
            law(model, wrong)


def test_an_eigenstrain_that_follows_u_through_a_part_is_refused(zener):
    bar = mesh.create_unit_interval(MPI.COMM_SELF, 2)
    element = basix.ufl.element("Lagrange", "interval", 1)
    w = fem.Function(fem.functionspace(bar, basix.ufl.mixed_element([element, element])))
    with pytest.raises(ValueError, match="eigenstrain: must not depend on the displacement"):
        InternalVariableLaw(zener(), Uniaxial(), ufl.split(w)[0], 0, eigenstrain=w.sub(0))


def test_an_eigenstrain_that_is_no_number_is_named(zener):
    bar = mesh.create_unit_interval(MPI.COMM_SELF, 2)
    u = fem.Function(fem.functionspace(bar, ("Lagrange", 1)))
    swelling = fem.Constant(bar, 0.0)
    body_law = InternalVariableLaw(zener(), Uniaxial(), u, 0, eigenstrain=swelling)
    swelling.value = np.nan
    with pytest.raises(ValueError, match="eigenstrain: must be finite at all points"):
        body_law.update(0.1)
    with pytest.raises(TypeError, match="eigenstrain: must be a number, a Constant"):
        InternalVariableLaw(zener(), Uniaxial(), u, 0, eigenstrain="0.1")


@pytest.mark.mpi
@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="needs two ranks")
@pytest.mark.parametrize("ghosts", ["shared_facet", "none"])
def test_loads_between_cells_are_whole_on_several_ranks_or_refused(model, ghosts):
    square = mesh.create_unit_square(MPI.COMM_WORLD, 3, 3, ghost_mode=mesh.GhostMode[ghosts])
    w = fem.Function(fem.functionspace(square, ("Lagrange", 1, (2,))))
    u, ends = fem.Function(V), []
    for f in (w, u) if ghosts == "shared_facet" else (w,):
        test = ufl.TestFunction(f.function_space)
        jumps = ufl.inner(ufl.jump(ufl.grad(f)), ufl.jump(ufl.grad(test))) * ufl.dS
        loads = 1e-3 * test[0] * ufl.ds - 10.0 * jumps
        bcs = [clamp(f.function_space)]
        if ghosts == "none":
            with pytest.raises(ValueError, match="integrals over interior facets need ghost cells"):
                InternalVariableProblem(law(model, f), f, bcs, loads)
            continue
        solved(law(model, f), f, loads, bcs, steps=(0.0,))
        ends.append(MPI.COMM_WORLD.allreduce(np.abs(f.x.array).max(), op=MPI.MAX))
    assert ends == pytest.approx(ends[:1] * len(ends), rel=1e-9)
