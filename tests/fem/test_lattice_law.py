"""The exported law of the lattice: symmetry, dissipation, tangent; one element against a point."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import FullStrain, InternalVariableLaw, load_model
from ibvonn_fem.model.exported_model import ExportedModel

pytestmark = [
    pytest.mark.fem,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning"),
]

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"
ROOT2 = np.sqrt(2.0)


@pytest.fixture(scope="module")
def lattice() -> ExportedModel:
    return load_model(MODEL)


def states(law: ExportedModel, count: int, seed: int) -> tuple[Any, ...]:
    """Return random strains at both ends of a step, and random α, within the envelope."""
    rng = np.random.default_rng(seed)
    envelope = law.manifest.envelope
    low, high = envelope.strain.T
    old, new = rng.uniform(low, high, (2, count, len(low)))
    first, last = envelope.statev.T
    # As often near the ends, where a fraction vanishes, as in between.
    places = rng.beta(0.3, 0.3, (count, len(first)))
    return old, new, first + places * (last - first)


def turned(strain: np.ndarray[Any, Any], angle: float) -> np.ndarray[Any, Any]:
    """Return plane tensors in Mandel order, turned."""
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array(
        [
            [c * c, s * s, -ROOT2 * s * c],
            [s * s, c * c, ROOT2 * s * c],
            [ROOT2 * s * c, -ROOT2 * s * c, c * c - s * s],
        ]
    )
    return np.asarray(strain @ rotation.T)


def test_random_steps_converge_and_dissipate(lattice: ExportedModel) -> None:
    """Over seven decades of the time step, anywhere in the envelope; the tangent is symmetric."""
    old, new, statev = states(lattice, 4000, 0)
    for dt in (1e-2, 1.0, 1e2, 1e5):
        update = lattice.update(new, old, statev, dt)
        assert np.isfinite(update.stress).all()
        size = float(np.abs(update.energy).max())
        assert update.dissipation.min() >= -1e-12 * size
        tangent = update.tangent.reshape(-1, 3, 3)
        np.testing.assert_allclose(tangent, tangent.transpose(0, 2, 1), atol=1e-9)
        assert np.linalg.eigvalsh(tangent).min() > 0.0


def test_turning_by_sixty_degrees_permutes_the_directions(lattice: ExportedModel) -> None:
    old, new, statev = states(lattice, 200, 1)
    here = lattice.update(new, old, statev, 10.0)
    # Direction a is along (a − 1) · 60°: a strain that is turned meets the next one.
    there = lattice.update(
        turned(new, np.pi / 3), turned(old, np.pi / 3), np.roll(statev, 1, axis=1), 10.0
    )
    np.testing.assert_allclose(there.stress, turned(here.stress, np.pi / 3), atol=1e-9)
    np.testing.assert_allclose(there.statev_new, np.roll(here.statev_new, 1, axis=1), atol=1e-9)


def test_tangent_is_the_derivative_of_the_stress(lattice: ExportedModel) -> None:
    old, new, statev = (values[:50] for values in states(lattice, 200, 2))
    tangent = lattice.update(new, old, statev, 20.0).tangent.reshape(-1, 3, 3).copy()
    step = 1e-6
    for column in range(3):
        ends = []
        for sign in (1.0, -1.0):
            moved = new.copy()
            moved[:, column] += sign * step
            ends.append(lattice.update(moved, old, statev, 20.0).stress.copy())
        slope = (ends[0] - ends[1]) / (2.0 * step)
        np.testing.assert_allclose(tangent[:, :, column], slope, atol=2e-4)


def test_one_element_is_a_point(lattice: ExportedModel) -> None:
    """A square under a homogeneous strain along a loop has the stress of the point, to round-off,
    and approaches that of small steps in the first order.
    """
    domain = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    corners = np.array([[0, 0, 0], [0.14, 0, 0], [0.14, 0, 0.1], [0, 0.1, 0.1], [0, 0, 0]])
    ends = []
    for steps in (40, 80, 160):
        u = fem.Function(fem.functionspace(domain, ("Lagrange", 1, (2,))))
        law = InternalVariableLaw(lattice, FullStrain(3), u, 0)
        statev = lattice.initial_state(1)
        path = np.array(
            [np.interp(np.linspace(0, 4, steps + 1), range(5), column) for column in corners.T]
        ).T
        dt = 3000.0 / steps
        series = []
        for before, strain in itertools.pairwise(path):
            e11, e22, e12 = strain[0], strain[1], strain[2] / ROOT2
            gradient = np.array([[e11, 2.0 * e12], [0.0, e22]])
            u.interpolate(lambda x, gradient=gradient: gradient @ x[:2])
            law.update(dt)
            law.commit()
            point = lattice.update(strain[None], before[None], statev, dt)
            statev = point.statev_new.copy()
            stress = law.points.rows(law.stress).get()
            initial = lattice.manifest.initial_state.stress
            np.testing.assert_allclose(
                stress, np.tile(point.stress - initial, (len(stress), 1)), atol=1e-10
            )
            series.append(point.stress[0].copy())
        ends.append(np.array(series)[steps // 40 - 1 :: steps // 40])
    first, second = (np.linalg.norm(a - b) for a, b in itertools.pairwise(ends))
    assert 1.6 < first / second < 2.6
