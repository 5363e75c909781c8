"""Hookean dumbbells at small strain, exact in the plane and in space, through every runtime.

The closed forms are those of the discrete step, of the law in continuous time, of dumbbells at any
strain (the law is their limit), and of Langevin dynamics; a turn of the frame changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
import torch
from dolfinx import fem, mesh
from scipy.linalg import expm
from scipy.spatial.transform import Rotation
from solid_laws import Point

from ibvonn_fem import FullStrain, InternalVariableLaw, InternalVariableProblem, load_model
from ibvonn_fem.kernels import LocalUpdate
from ibvonn_fem.kernels.onnx import Graph
from ibvonn_train.closed_form.dumbbell_law import DumbbellLaw, mandel_of, matrix_of
from ibvonn_train.closed_form.exact_models import EXPORTS
from ibvonn_train.closed_form.small_strain_dumbbells import small_strain_dumbbells
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.interfaces import OUTPUTS
from ibvonn_train.export.runtimes import torchscript
from ibvonn_train.export.runtimes.agreement import verify_all
from ibvonn_train.simulation.systems.lattice_geometry import mandel_rotation

pytestmark = [
    pytest.mark.fem,
    pytest.mark.export,
    pytest.mark.filterwarnings(
        "ignore::ibvonn_fem.errors.EnvelopeWarning"
    ),  # long and sudden steps
]

Array = np.ndarray[Any, Any]
Update = Callable[..., LocalUpdate]
SIZES = {2: 3, 3: 6}
RELAXATION = 0.5
"""λ = η/2H of the exported laws, whose H, η and k_BT are one."""
RUNTIMES = ("torch", "torchscript", "onnx", "c")


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("dumbbells")
    return {d: EXPORTS[f"dumbbells_{d}d"](folder / f"{d}d") for d in SIZES}


def update_of(directory: Path, dimension: int, runtime: str) -> Update:
    """A step of the law in one runtime: strain, strain_old, statev, Δt → outputs."""
    if runtime in ("onnx", "c"):
        return load_model(directory, kernel=runtime).update
    module: Any = (
        ConstitutiveLaw.of(small_strain_dumbbells(dimension)).update()
        if runtime == "torch"
        else torchscript.load((directory / "constitutive.pt").read_bytes())
    )

    def update(strain: Array, old: Array, statev: Array, dt: Any) -> LocalUpdate:
        steps = np.full((len(strain), 1), dt)
        with torch.no_grad():
            values = module(*(torch.tensor(x) for x in (strain, old, statev, steps)))
        rows = {name: value.numpy() for name, value in zip(OUTPUTS, values, strict=True)}
        flat = ("energy", "dissipation", "residual", "validity")
        return LocalUpdate(**{k: v[:, 0] if k in flat else v for k, v in rows.items()})

    return update


def steps(dimension: int, count: int = 40) -> tuple[Array, Array, Array]:
    size = SIZES[dimension]
    strain, old, statev = np.random.default_rng(dimension).uniform(-0.1, 0.1, (3, count, size))
    return strain, old, 2.0 * statev


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("dimension", SIZES)
@pytest.mark.parametrize("dt", [0.0, 1e-3, 0.2, 1e4])
def test_a_step_is_that_of_the_closed_form(directories, dimension, runtime, dt):
    """α⁺ = (α − 2r ε)/(1 + r) with r = Δt/λ; σ, f, g⁺·Δα and the tangent follow."""
    strain, old, statev = steps(dimension)
    result = update_of(directories[dimension], dimension, runtime)(strain, old, statev, dt)
    ratio = dt / RELAXATION
    moments = (statev - 2.0 * ratio * strain) / (1.0 + ratio)
    elastic = strain + 0.5 * moments
    expected = {
        "statev_new": moments,
        "stress": 2.0 * elastic,
        "energy": np.sum(elastic**2, 1),
        "dissipation": -np.sum(elastic * (moments - statev), 1),
        "tangent": np.tile(2.0 / (1.0 + ratio) * np.eye(strain.shape[1]), (len(strain), 1, 1)),
    }
    assert np.max(result.residual) <= 1e-10
    for name, right in expected.items():
        value = getattr(result, name).reshape(right.shape)
        np.testing.assert_allclose(value, right, rtol=1e-11, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("dimension", SIZES)
def test_all_files_of_all_runtimes_agree(directories, dimension):
    """The C file too, which is written and compiled for the purpose."""
    rows = verify_all(directories[dimension], n_points=300)
    assert {"onnx", "torchscript", "c -O2", "c scalar -O2"} <= {row.runtime for row in rows}
    assert all(row.agrees for row in rows)


@pytest.mark.parametrize("dimension", SIZES)
def test_stress_and_dissipation_of_a_ramp_converge_to_the_closed_form(directories, dimension):
    """σ = 2 k_BT λ ε̇ (1 − e^(−t/λ)) and D of a Maxwell solid, in the first order of the step."""
    update = update_of(directories[dimension], dimension, "c")
    rate = np.random.default_rng(1).uniform(-0.05, 0.05, (1, SIZES[dimension]))
    duration, λ = 1.5, RELAXATION
    decay = np.exp(-duration / λ)
    stress = 2.0 * λ * rate[0] * (1.0 - decay)
    time = duration - 2.0 * λ * (1.0 - decay) + 0.5 * λ * (1.0 - decay**2)
    dissipated = 2.0 * λ * np.sum(rate**2) * time
    errors = []
    for count in (50, 100, 200):
        dt, state, old, total = duration / count, np.zeros_like(rate), np.zeros_like(rate), 0.0
        for n in range(1, count + 1):
            new = rate * dt * n
            result = update(new, old, state, dt)
            state, old, total = result.statev_new.copy(), new, total + result.dissipation[0]
        errors.append([np.abs(result.stress[0] - stress).max(), abs(total - dissipated)])
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.15)
    assert errors[-1][1] < 0.02 * dissipated


@pytest.mark.parametrize("dimension", SIZES)
def test_the_law_is_the_limit_of_dumbbells_at_any_strain(directories, dimension):
    """Errors of σ, g and α̇ fall with the square of strain and moments; S = H A − k_BT C⁻¹."""
    law, exact = load_model(directories[dimension]), DumbbellLaw()
    strain, _, statev = steps(dimension)
    errors = []
    for amplitude in (0.2, 0.1, 0.05):
        here, moments = amplitude * strain, np.eye(dimension) + matrix_of(amplitude * statev)
        result = law.rates(here, amplitude * statev)
        expected = (
            mandel_of(moments - np.linalg.inv(exact.metric(here))),
            mandel_of(exact.driving_force(here, moments)),
            mandel_of(exact.rate(here, moments)),
        )
        values = (result.stress, result.driving_force, result.rate)
        errors.append([np.abs(a - b).max() for a, b in zip(values, expected, strict=True)])
    np.testing.assert_allclose(np.array(errors[:-1]) / np.array(errors[1:]), 4.0, atol=0.3)


def test_moments_in_space_are_those_of_langevin_dynamics():
    """η dq = −H C q dt + noise after a sudden strain, its steps exact; 15 % of drag are seen."""
    law, rng, count = DumbbellLaw(), np.random.default_rng(0), 40_000
    strain = np.array([0.3, -0.2, 0.1, 0.2, -0.1, 0.15])
    metric, step = law.metric(strain), 0.05
    move = expm(-metric * step)
    # ∫ e^(−2Cs) 2 k_BT/η ds = (1 − e^(−2C Δt)) C⁻¹ k_BT/H
    noise = np.linalg.cholesky((np.eye(3) - move @ move) @ np.linalg.inv(metric))
    q = rng.normal(size=(count, 3))
    for _ in range(6):
        q = q @ move.T + rng.normal(size=(count, 3)) @ noise.T
    products = np.einsum("ri,rj->rij", q, q)
    mean, error = products.mean(0), products.std(0) / np.sqrt(count)
    path, time = np.tile(strain, (2, 1)), np.array([0.0, 6 * step])
    scores = []
    for friction in (1.0, 1.15):
        exact = DumbbellLaw(friction=friction).moments(time, path, np.eye(3))[-1]
        scores.append(np.abs((mean - exact) / error).max())
    assert scores[0] < 4.0 < scores[1], scores


@pytest.mark.parametrize("dimension", SIZES)
def test_the_encoder_gives_the_moments_of_samples(directories, dimension):
    q = np.random.default_rng(0).normal(size=(4, 50, dimension)).astype(np.float32)
    graph = Graph((directories[dimension] / "encoder.onnx").read_bytes(), "encoder.onnx")
    result = graph.run(("statev",), {"microstate": q.astype(np.float64)})
    expected = mandel_of(np.einsum("nri,nrj->nij", q, q, dtype=np.float64) / 50 - np.eye(dimension))
    np.testing.assert_allclose(result[0], expected, rtol=1e-12, atol=1e-13)


def turn(dimension: int) -> Array:
    """A rotation that maps no axis on an axis."""
    angle = Rotation.from_euler("z", 0.7) if dimension == 2 else Rotation.from_rotvec([0.4, -1, 2])
    matrix: Array = angle.as_matrix()[:dimension, :dimension]
    return matrix


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("dimension", SIZES)
def test_a_turned_frame_turns_stress_and_moments(directories, dimension, runtime):
    """σ, α⁺ and C turn with ε, ε_n and α; with the strain alone they do not."""
    update = update_of(directories[dimension], dimension, runtime)
    inputs, rotation = steps(dimension), mandel_rotation(turn(dimension))
    here = update(*inputs, 0.3)
    kept = {name: np.array(getattr(here, name)) for name in OUTPUTS}
    there = update(*(x @ rotation.T for x in inputs), 0.3)
    close: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose(there.stress, kept["stress"] @ rotation.T, **close)
    np.testing.assert_allclose(there.statev_new, kept["statev_new"] @ rotation.T, **close)
    for name in ("energy", "dissipation"):
        np.testing.assert_allclose(getattr(there, name), kept[name], **close)
    size = SIZES[dimension]
    tangent = rotation @ kept["tangent"].reshape(-1, size, size) @ rotation.T
    np.testing.assert_allclose(there.tangent.reshape(-1, size, size), tangent, **close)
    alone = update(inputs[0] @ rotation.T, inputs[1] @ rotation.T, inputs[2], 0.3)
    assert np.abs(alone.stress - kept["stress"] @ rotation.T).max() > 0.01


@pytest.mark.parametrize("dimension", SIZES)
def test_at_finite_strain_a_turned_body_bears_the_turned_stress(directories, dimension):
    """With the strain of Green and Lagrange: P(Q F) = Q P(F), α the same; τ is symmetric."""
    model = load_model(directories[dimension])
    point = Point(model, FullStrain(SIZES[dimension], finite=True))
    size = int(np.sqrt(point.measure.shape[1]))
    rng = np.random.default_rng(5)
    point.step(0.05 * rng.normal(size=point.measure.shape[1]), 0.2)
    deformation = np.eye(size) + 0.05 * rng.normal(size=(size, size))
    q = turn(size)
    here = point.respond((deformation - np.eye(size)).ravel(), 0.3)
    there = point.respond((q @ deformation - np.eye(size)).ravel(), 0.3)
    nominal = here.stress.reshape(size, size)
    np.testing.assert_allclose(there.stress.reshape(size, size), q @ nominal, atol=1e-13)
    np.testing.assert_allclose(there.statev, here.statev, atol=1e-13)
    kirchhoff = nominal @ deformation.T
    np.testing.assert_allclose(kirchhoff, kirchhoff.T, atol=1e-14)


@pytest.mark.parametrize("kernel", ["c", "onnx"])
@pytest.mark.parametrize("dimension", SIZES)
def test_a_body_in_dolfinx_has_moments_stress_and_dissipation_of_the_closed_form(
    directories, dimension, kernel
):
    """Quadratic elements whose boundary follows a strain and a turn; the inside is solved for."""
    comm = MPI.COMM_SELF
    body = (
        mesh.create_unit_square(comm, 2, 2)
        if dimension == 2
        else mesh.create_unit_cube(comm, 1, 1, 1)
    )
    space = fem.functionspace(body, ("Lagrange", 2, (dimension,)))
    u, prescribed = fem.Function(space), fem.Function(space)
    body.topology.create_connectivity(dimension - 1, dimension)
    facets = mesh.exterior_facet_indices(body.topology)
    bc = fem.dirichletbc(prescribed, fem.locate_dofs_topological(space, dimension - 1, facets))
    law = InternalVariableLaw(
        load_model(directories[dimension], kernel=kernel), FullStrain(SIZES[dimension]), u, 2
    )
    problem = InternalVariableProblem(law, u, [bc])
    rng = np.random.default_rng(7)
    symmetric = matrix_of(0.05 * rng.normal(size=SIZES[dimension]))
    spin = 0.02 * np.triu(np.ones((dimension, dimension)), 1)
    gradient, moments, ratio = symmetric + spin - spin.T, np.zeros_like(symmetric), 0.1 / RELAXATION
    for n in range(1, 6):
        level = min(n, 3) / 3.0  # a ramp, then a hold
        prescribed.interpolate(lambda x, level=level: level * np.asarray(gradient) @ x[:dimension])
        problem.solve(0.1)
        before = moments
        moments = (before - 2.0 * ratio * level * symmetric) / (1.0 + ratio)
        elastic = level * symmetric + 0.5 * moments
        stress = np.asarray(law.points.rows(law.stress).get())
        assert np.abs(stress - mandel_of(2.0 * elastic)).max() < 1e-10
        dissipated = -np.sum(elastic * (moments - before))
        assert law.step_dissipation() == pytest.approx(dissipated, rel=1e-8, abs=1e-14)
        assert law.stored_energy() == pytest.approx(np.sum(elastic**2), rel=1e-8)
        assert problem.commit().numerical >= -1e-12
        assert np.abs(np.asarray(law.internal) - mandel_of(moments)).max() < 1e-10


def test_a_dimension_that_is_none_is_refused():
    with pytest.raises(ValueError, match="must be 2"):
        small_strain_dumbbells(1)
