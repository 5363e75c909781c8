"""A training leaves a report, of which four figures are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from short_training import short

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.figures import training_figures
from ibvonn_train.training import TrainedModel, train
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.training_report import TrainingReport
from ibvonn_train.training.validation import rollout_errors

CONFIG = short(polish_steps=0, density_steps=0)
HELD_OUT = [1]


@pytest.fixture(scope="module")
def run(ensemble: TrajectoryEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a short training."""
    out = tmp_path_factory.mktemp("run")
    train(CONFIG, ensemble, out, validation=HELD_OUT, progress=False, tensorboard=False)
    return out


def test_report_has_the_roll_outs_of_the_law(run: Path, ensemble: TrajectoryEnsemble) -> None:
    report = TrainingReport.load(run / "report.npz")
    training, validation = report.blocks
    assert (training.held_out, validation.held_out) == (False, True)
    assert training.quantities == ("stress", "internal")
    assert training.measured.shape == (2, ensemble.protocols - 1, len(ensemble.time))
    np.testing.assert_allclose(validation.measured[0, 0], ensemble.stress[HELD_OUT[0], :, 0, 0])
    # The norm of the difference, computed another way.
    law = TrainedModel.load(run / "model.pt").law
    data = prepare([ensemble], torch.device("cpu"), 0, nodes=CONFIG.expert.nodes, validation=[1])
    relative = rollout_errors(law, data.validation[0])["controlled/stress"]
    reference = validation.measured[0, 0]
    spread = np.linalg.norm(reference) / np.linalg.norm(reference - reference.mean())
    assert validation.errors[0, 0] == pytest.approx(100 * relative * spread, rel=1e-9)


def test_slow_features_are_sorted_and_named(run: Path) -> None:
    report = TrainingReport.load(run / "report.npz")
    assert (np.diff(report.time_scales) <= 0).all()
    assert report.occupancy.sum() == pytest.approx(1.0, abs=1e-6)
    assert report.variables == "as the configuration says"


def test_four_figures_are_drawn(run: Path, tmp_path: Path) -> None:
    paths = training_figures(tmp_path, run / "report.npz", run / "log.csv")
    assert [p.name for p in paths] == [
        "slow_features.png", "history.png", "rollouts.png", "errors.png",
    ]  # fmt: skip
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)
