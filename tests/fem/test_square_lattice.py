"""A square lattice with both diagonals, four directions and three strains, from bonds to a point.

The training is far too short for a good law; that all parts take four populations under three
strains, and keep the symmetry of the square, is what is tested.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.model.check import check_model
from ibvonn_fem.model.exported_model import ExportedModel
from ibvonn_train.audits import certify
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.export import export_trained
from ibvonn_train.export.runtimes import agreement
from ibvonn_train.figures import report
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload
from ibvonn_train.simulation.systems.system import Preparation
from ibvonn_train.training import TrainingConfig, train
from ibvonn_train.training.training_config import ExpertConfig

pytestmark = [
    pytest.mark.fem,
    pytest.mark.export,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning"),
]

TARGETS = [
    [0.16, 0.0, 0.0],
    [0.0, 0.16, 0.0],
    [0.1, 0.1, 0.1],
    [0.0, 0.0, -0.16],
    [0.1, -0.05, 0.0],
]
STEPS = dataclasses.replace(
    ExpertConfig(), width=12, nodes=32, batch=16,
    identify_steps=30, polish_steps=2, density_steps=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the law, trained, evaluated and certified on records of its lattice."""
    system = PeriodicLattice(
        geometry="square_with_diagonals", cells=4, preparation=(Preparation(500, 0.1),)
    )
    data, unseen = (
        simulate(
            system, load_hold_unload(1000.0, targets), duration=1000.0, time_step=0.1, stride=200,
            replicas=16, record=kind, seed=seed, progress=False,
        )
        for kind, seed, targets in (
            ("histogram", 1, TARGETS), ("samples", 2, [[0.12, 0.02, 0.08], [0.0, 0.1, -0.06]])
        )
    )  # fmt: skip
    assert data.strain_basis.shape == (4, 1, 3)
    folder = tmp_path_factory.mktemp("square")
    config = TrainingConfig(name="square", internal={"populations": 2}, expert=STEPS)
    model = train(config, data, folder / "run", validation=[1], progress=False, tensorboard=False)
    path = export_trained(model, folder / "model", name="square")
    law = open_law(path)
    assert (law.strain_size, law.internal_size, law.classes) == (3, 4, 4)
    result = evaluate(law, unseen)
    assert np.isfinite(list(result.errors.values())).all()
    certificate = certify(law, unseen, result)
    assert {each.audit for each in certificate} >= {"equilibrium of the cell", "dissipation sign"}
    report(folder / "figures", law, {"unseen": unseen}, {"unseen": result})
    assert (folder / "figures" / "densities.png").is_file()
    return path


@pytest.fixture(scope="module")
def square(exported: Path) -> ExportedModel:
    return load_model(exported)


def test_all_runtimes_agree_and_the_point_passes_its_checks(exported: Path) -> None:
    assert all(row.agrees for row in agreement.verify_all(exported, n_points=100))
    assert all(check.passed for check in check_model(exported, ["onnx"]))


def test_a_point_dissipates_and_keeps_the_symmetry_of_the_square(square: ExportedModel) -> None:
    """Turned by 90°, directions 1 and 2 (along the axes) and both diagonals change places."""
    rng = np.random.default_rng(0)
    envelope = square.manifest.envelope
    old, new = rng.uniform(*envelope.strain.T, (2, 200, 3))
    low, high = envelope.statev.T
    statev = rng.uniform(low.max(), high.min(), (200, 4))
    here = square.update(new, old, statev, 10.0)
    assert here.dissipation.min() >= -1e-12 * np.abs(here.energy).max()
    tangent = here.tangent.reshape(-1, 3, 3)
    np.testing.assert_allclose(tangent, tangent.transpose(0, 2, 1), atol=1e-9)
    places, signs = [1, 0, 2], np.array([1.0, 1.0, -1.0])
    there = square.update(
        new[:, places] * signs, old[:, places] * signs, statev[:, [1, 0, 3, 2]], 10.0
    )
    np.testing.assert_allclose(there.stress, here.stress[:, places] * signs, atol=1e-9)
    np.testing.assert_allclose(there.statev_new, here.statev_new[:, [1, 0, 3, 2]], atol=1e-9)
    # Not every permutation is one of the square: the diagonals are longer.
    other = square.update(new, old, statev[:, [2, 3, 0, 1]], 10.0)
    assert np.abs(other.stress - here.stress).max() > 1e-3 * np.abs(here.stress).max()
