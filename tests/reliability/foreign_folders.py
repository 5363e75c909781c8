"""From simulation to fields in folders with spaces and letters of many alphabets; read-only model.

The model is loaded by a user who may not write there (root reads and writes everything).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ibvonn_fem import FieldWriter, load_model, read_checkpoint, write_checkpoint
from ibvonn_fem.model.exported_model import ExportedModel
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.export import export_trained
from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.training import TrainingConfig, train

from .bodies import MODEL, pulled_bar

TABLE = {
    "internal": {"means": 1},
    "expert": {
        "nodes": 64,
        "identify_steps": 2,
        "polish_steps": 10,
        "density_steps": 2,
    },
}
NOBODY = 65534


def whole_way(folder: Path) -> None:
    """Simulate, train, export, run and restart."""
    data = simulate(
        TetheredParticle(), trap_of_paper().train[:2], duration=3.0, time_step=0.01, stride=2,
        replicas=50, seed=1, progress=False,
    )  # fmt: skip
    data.save(folder / "données 1.h5")
    data = TrajectoryEnsemble.load(folder / "données 1.h5")
    config = TrainingConfig.from_dict(TABLE)
    trained = train(config, data, folder / "entraînement", progress=False, tensorboard=False)
    export_trained(trained, folder / "loi α")
    stepping = pulled_bar(load_model(shutil.copytree(MODEL, folder / "модель")))
    with FieldWriter(folder / "champs ε.xdmf", stepping.problem.laws, stepping.problem.u) as fields:
        stepping.run([0.0, 0.1, 0.2], lambda step: fields.write(step.time))
    write_checkpoint(folder / "停 止.h5", stepping, 0.2)
    assert read_checkpoint(folder / "停 止.h5", pulled_bar()) == 0.2


def read_only(model: Path) -> ExportedModel:
    """Load without the right to write."""
    for path in (model, *model.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        assert not os.access(model, os.W_OK, effective_ids=True)
        return load_model(model)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
            os.setegid(0)


def displacement(model: ExportedModel) -> np.ndarray:
    stepping = pulled_bar(model)
    stepping.run([0.0, 0.1])
    return stepping.problem.u.x.array.copy()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "été 測試 \N{GREEK SMALL LETTER OMEGA}'s")
        folder.mkdir()
        Path(name).chmod(0o755)
        os.environ["IBVONN_CACHE"] = str(folder / "cache ç")
        whole_way(folder)
        before = sorted(path.name for path in (folder / "модель").iterdir())
        result = read_only(folder / "модель")
        assert sorted(path.name for path in (folder / "модель").iterdir()) == before
        np.testing.assert_array_equal(displacement(result), displacement(load_model(MODEL)))
    print("simulated, trained, exported, run, restarted; model loaded without the right to write")


if __name__ == "__main__":
    main()
