"""Laws of lattices at finite strain: objectivity, derivatives, small strain, refusals, bodies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
from derivatives import assert_is_derivative
from dolfinx import fem, mesh
from law_reference import random_parameters
from scipy.spatial.transform import Rotation
from solid_laws import Point, manifest_of, smooth_law

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    load_model,
)
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kinematics import DirectionStretch, LogarithmicVolumetric, PlaneStrain
from ibvonn_fem.kinematics.settings import MANDEL
from ibvonn_fem.model.exported_model import ExportedModel

pytestmark = [
    pytest.mark.fem,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning"),
]

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"
ROOT2 = np.sqrt(2.0)
FCC = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / ROOT2


def mandel(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """n⊗n in the six Mandel components."""
    x, y, z = vectors.T
    return np.stack([x * x, y * y, z * z, ROOT2 * x * y, ROOT2 * x * z, ROOT2 * y * z], -1)


def with_directions(model: ExportedModel, rows: np.ndarray[Any, Any]) -> ExportedModel:
    """Return the law with the rows (m, n_ε) declared as what its classes see."""
    classes = [{"name": f"direction {a}", "strain_basis": [list(r)]} for a, r in enumerate(rows)]
    manifest = replace(model.manifest, raw={**model.manifest.raw, "classes": classes})
    return ExportedModel(manifest, model.kernel)


def law_in_space(lengths: np.ndarray[Any, Any] | float = 1.0) -> ExportedModel:
    """An untrained law of six strains, said to be those of the six directions of fcc."""
    parameters = random_parameters(6, 2, seed=5)
    parameters["envelope"] = np.tile([-10.0, 10.0], (8, 1))
    kernel = CLibraryKernel(parameters)
    start = kernel.rates(np.zeros((1, 6)), np.zeros((1, 2)))
    manifest = manifest_of(kernel, "untrained")
    initial = replace(manifest.initial_state, stress=start.stress[0])
    model = ExportedModel(replace(manifest, initial_state=initial), kernel)
    return with_directions(model, np.reshape(lengths, (-1, 1)) * mandel(FCC))


@pytest.fixture(scope="module")
def lattice() -> ExportedModel:
    return load_model(MODEL)


CASES = {
    "plane": (lambda: load_model(MODEL), lambda m: DirectionStretch(m), 30.0, 2),
    "fcc": (
        lambda: load_model(MODEL.parent / "lattice_fcc"),
        lambda m: DirectionStretch(m),
        30.0,
        3,
    ),
    "space": (law_in_space, lambda m: DirectionStretch(m), 0.3, 3),
    "space, lengths, U(J)": (
        lambda: law_in_space(np.array([1.0, 0.5, 2.0, 1.5, 0.7, 1.2])),
        lambda m: DirectionStretch(m, volumetric=LogarithmicVolumetric(0.6)),
        0.3,
        3,
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[ExportedModel, Any, float, int]:
    """A law, its solid, a time step, the dimension."""
    law, solid, dt, dimension = CASES[request.param]
    model = law()
    return model, solid(model), dt, dimension


def gradients(dimension: int, count: int = 8, size: float = 0.12) -> np.ndarray[Any, Any]:
    """Random displacement gradients, (count, d²)."""
    return size * np.random.default_rng(4).uniform(-1, 1, (count, dimension**2))


def turned(measure: np.ndarray[Any, Any], q: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """H of Q F."""
    identity = np.eye(len(q))
    f = measure.reshape(-1, len(q), len(q)) + identity
    return np.asarray((q @ f - identity).reshape(measure.shape))


def test_a_turned_body_has_the_turned_stress_and_the_same_state(case: Any) -> None:
    """P(QF) = Q P(F) to 1e-12, with Q changing during the step."""
    model, solid, dt, dimension = case
    before, after = gradients(dimension), gradients(dimension)[::-1]
    for number in range(4):
        q = Rotation.random(2, rng=number).as_matrix()
        if dimension == 2:
            q = Rotation.from_euler("z", [[0.7 + number], [2.0 * number]]).as_matrix()[:, :2, :2]
        still, moved = (Point(model, solid, len(before)) for _ in range(2))
        still.step(before, dt)
        moved.step(turned(before, q[0]), dt)
        here, there = still.step(after, dt), moved.step(turned(after, q[1]), dt)
        stress = here.stress.reshape(-1, dimension, dimension)
        size = np.abs(stress).max()
        moved_stress = there.stress.reshape(stress.shape)
        np.testing.assert_allclose(moved_stress, q[1] @ stress, rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(there.energy, here.energy, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(there.statev, here.statev, rtol=0, atol=1e-12)
        # Kirchhoff's stress P Fᵀ is symmetric, which is the balance of moments.
        f = after.reshape(stress.shape) + np.eye(dimension)
        kirchhoff = stress @ f.transpose(0, 2, 1)
        assert np.abs(kirchhoff - kirchhoff.transpose(0, 2, 1)).max() < 1e-12 * size


def test_small_strain_law_alone_is_not_objective(lattice: ExportedModel) -> None:
    """Guards the test above: a turn by 0.3 strains ``FullStrain``."""
    q = Rotation.from_euler("z", 0.3).as_matrix()[:2, :2] - np.eye(2)
    strain = np.array([[q[0, 0], q[1, 1], (q[0, 1] + q[1, 0]) / ROOT2]])
    assert np.abs(Point(lattice, FullStrain(3)).step(strain, 0.0).stress).max() > 1e-2
    still = Point(lattice, DirectionStretch(lattice)).step(q.reshape(1, 4), 0.0)
    assert np.abs(still.stress).max() < 1e-15


def test_the_tangent_is_the_derivative_of_the_stress(case: Any) -> None:
    """With the geometric part, in a step with inelastic flow, from a state that is not at rest."""
    model, solid, dt, dimension = case
    for before, after in zip(gradients(dimension, 3), gradients(dimension, 6)[3:], strict=True):
        point = Point(model, solid)
        point.step(before, dt)
        answer = point.respond(after, dt)
        slack = 1e-7 * np.abs(answer.tangent).max()  # of the kernel's tangent, whose test it is
        assert_is_derivative(
            answer.tangent[0],
            lambda h, point=point: point.respond(h, dt).stress[0],
            after,
            slack=slack,
        )
        elastic = point.respond(after, 0.0)
        assert_is_derivative(
            elastic.stress[0], lambda h, p=point: p.respond(h, 0.0).energy[0], after
        )


def test_stress_is_the_sum_over_the_directions(case: Any) -> None:
    """P = Σ_a (∂f/∂e_a) l_a (F n_a)⊗n_a/|F n_a|, written out, and U(J) beside it."""
    model, solid, dt, dimension = case
    if solid.volumetric is not None:
        solid = DirectionStretch(model)
    basis = model.manifest.strain_basis[:, 0]
    rows = np.zeros((len(basis), dimension, dimension))
    for column, (i, j) in enumerate(MANDEL[k] for k in solid.setting.strains):
        rows[:, i, j] = rows[:, j, i] = basis[:, column] / (1.0 if i == j else ROOT2)
    values, vectors = np.linalg.eigh(rows)
    lengths, normals = values[:, -1], vectors[:, :, -1]
    for before, after in zip(gradients(dimension), gradients(dimension)[::-1], strict=True):
        point = Point(model, solid)
        point.step(before, dt)
        answer = point.respond(after, dt)
        e = []
        for h in (after, before):
            stretched = normals @ (h.reshape(dimension, dimension) + np.eye(dimension)).T
            e.append(lengths * (np.linalg.norm(stretched, axis=1) - 1.0))
        stretched = normals @ (after.reshape(dimension, dimension) + np.eye(dimension)).T
        strain = [np.linalg.solve(basis, values)[None] for values in e]
        update = model.update(strain[0], strain[1], point.statev, dt)
        tension = np.linalg.solve(basis.T, update.stress[0] - model.manifest.initial_state.stress)
        unit = stretched / np.linalg.norm(stretched, axis=1)[:, None]
        expected = np.einsum("a,ai,aj->ij", tension * lengths, unit, normals)
        np.testing.assert_allclose(
            answer.stress[0].reshape(expected.shape),
            expected,
            rtol=0,
            atol=1e-12 * np.abs(expected).max(),
        )


def test_small_strains_are_those_of_full_strain(case: Any) -> None:
    """P − σ is of the second order in H, where the reference state bears no stress."""
    model, _, dt, dimension = case
    if dimension == 3:
        dt = 0.0  # the untrained law is not at rest: it would bear a stress of the zeroth order
    solid, small = DirectionStretch(model), FullStrain(model.manifest.strain_size)
    direction = gradients(dimension, 1, 1.0)[0].reshape(dimension, dimension)
    pairs = [MANDEL[a] for a in small.setting.strains]
    differences = []
    for size in (4e-3, 2e-3, 1e-3):
        h = size * direction
        e = np.array([h[i, j] if i == j else (h[i, j] + h[j, i]) / ROOT2 for i, j in pairs])
        here = Point(model, solid).respond(h.reshape(1, -1), dt)
        there = Point(model, small).respond(e[None], dt)
        stress = np.zeros((dimension, dimension))
        for (i, j), value in zip(pairs, there.stress[0], strict=True):
            stress[i, j] = stress[j, i] = value if i == j else value / ROOT2
        differences.append(np.abs(here.stress.reshape(stress.shape) - stress).max())
    assert differences[-1] < 1e-2 * np.abs(stress).max()
    ratios = np.array(differences[:-1]) / np.array(differences[1:])
    assert (np.abs(ratios - 4.0) < 0.5).all(), ratios


def test_turned_axes_and_turned_body_agree(lattice: ExportedModel) -> None:
    """Axes along Q give Q P(Qᵀ F Q) Qᵀ; sixty degrees change nothing of a triangular lattice."""
    domain = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    gradient = np.array([[0.1, -0.08], [0.05, -0.02]])

    def stress(h: np.ndarray[Any, Any], axes: float | None) -> np.ndarray[Any, Any]:
        u = fem.Function(fem.functionspace(domain, ("Lagrange", 1, (2,))))
        law = InternalVariableLaw(lattice, DirectionStretch(lattice, axes=axes), u, 0)
        u.interpolate(lambda x: h @ x[:2])
        law.update(30.0)
        evaluate = law.points.evaluator(law.kinematics.tensor(law.stress))
        return np.asarray(evaluate().reshape(-1, 3, 3)[0, :2, :2])

    q = Rotation.from_euler("z", 0.4).as_matrix()[:2, :2]
    still = stress(gradient, None)
    moved = stress(q @ gradient @ q.T, 0.4)
    np.testing.assert_allclose(moved, q @ still @ q.T, atol=1e-12)
    np.testing.assert_allclose(stress(gradient, np.pi / 3), still, atol=1e-9)
    assert np.abs(stress(gradient, np.pi / 6) - still).max() > 1e-3


def test_plane_strain_of_a_law_in_space_is_the_law_in_space() -> None:
    model = law_in_space()
    here = Point(model, PlaneStrain(DirectionStretch(model)))
    there = Point(model, DirectionStretch(model))
    kept = [0, 1, 3, 4, 8]
    for measure in gradients(2):
        inside = np.array([*measure, 0.0])
        whole = np.zeros(9)
        whole[kept] = inside
        a, b = here.step(inside, 0.2), there.step(whole, 0.2)
        np.testing.assert_allclose(a.stress[0], b.stress[0, kept], atol=1e-13)
        np.testing.assert_allclose(a.tangent[0], b.tangent[0][np.ix_(kept, kept)], atol=1e-12)


def plate(model: ExportedModel, comm: MPI.Comm) -> np.ndarray[Any, Any]:
    """Reaction, stored energy, dissipation and iterations while a sheared square is pulled."""
    domain = mesh.create_unit_square(comm, 3, 3)
    space = fem.functionspace(domain, ("Lagrange", 2, (2,)))
    u, pulled = fem.Function(space), fem.Function(space)
    ends = []
    for position, value in ((0.0, fem.Function(space)), (1.0, pulled)):
        facets = mesh.locate_entities_boundary(
            domain, 1, lambda x, position=position: np.isclose(x[0], position)
        )
        ends.append(fem.dirichletbc(value, fem.locate_dofs_topological(space, 1, facets)))
    law = InternalVariableLaw(model, DirectionStretch(model, axes=0.2), u, 2)
    problem = InternalVariableProblem(law, u, ends, options={"snes_rtol": 1e-13})
    rows = []

    def load(t: float) -> None:
        pulled.interpolate(lambda x: t * np.stack([0.15 + 0 * x[0], 0.1 + 0 * x[0]]))

    def record(step: Any) -> None:
        balance = step.balance
        rows.append([*problem.reaction(ends[1]), balance.stored, balance.dissipated])
        rows[-1].append(step.iterations)

    TimeStepping(problem, lambda t: load(t / 1000.0)).run(np.linspace(0, 1000, 6), record)
    return np.array(rows)


@pytest.mark.mpi
def test_one_rank_and_many_give_the_same_body(lattice: ExportedModel) -> None:
    """Newton's method converges quadratically, which needs the geometric part."""
    alone, together = plate(lattice, MPI.COMM_SELF), plate(lattice, MPI.COMM_WORLD)
    np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-13)
    assert alone[:, -1].max() <= 6
    assert (alone[1:, 3] > 0.0).all()


PLANE_ROWS = np.array([[1, 0, 0], [0.25, 0.75, np.sqrt(0.375)], [0.25, 0.75, -np.sqrt(0.375)]])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, "has no strain_basis"),
        (PLANE_ROWS[:2], "2 classes of 1 strain each"),
        (np.eye(3), "the strain of class 3 is not that of a direction"),
        (-PLANE_ROWS, "the strain of class 1 is not that of a direction"),
        (PLANE_ROWS[[0, 1, 1]], "not independent"),
    ],
)
def test_a_law_without_directions_is_refused(
    lattice: ExportedModel, rows: np.ndarray[Any, Any] | None, words: str
) -> None:
    if rows is None:
        raw = {key: value for key, value in lattice.manifest.raw.items() if key != "classes"}
        model = ExportedModel(replace(lattice.manifest, raw=raw), lattice.kernel)
    else:
        model = with_directions(lattice, rows)
    with pytest.raises(ValueError, match=words):
        DirectionStretch(model)


def test_laws_of_one_strain_and_other_laws_are_refused(lattice: ExportedModel) -> None:
    with pytest.raises(ValueError, match="Microsphere or Microcircle"):
        DirectionStretch(smooth_law())
    exact = load_model(MODEL.parent / "exact_sls")
    with pytest.raises(ValueError, match=r"1 class of 6 strains each\. Use FullStrain"):
        DirectionStretch(exact)
    domain = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    u = fem.Function(fem.functionspace(domain, ("Lagrange", 1, (2,))))
    other = with_directions(lattice, 2.0 * PLANE_ROWS)
    with pytest.raises(ValueError, match="has another"):
        InternalVariableLaw(lattice, DirectionStretch(other), u, 0)
