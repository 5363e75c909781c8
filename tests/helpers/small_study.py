"""A study of seconds, as TOML, and its simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibvonn_train.cli import main

STUDY = """
[simulation]
system = "tethered_particle"
time_step = 0.01
replicas = 10

[[simulation.sets]]
name = "train"
seed = 1
duration = 0.2
protocols = [{ kind = "ramp", rate = [0.5, 1.0] }]

[training]
name = "small"

[training.expert]
nodes = 32
identify_steps = 2
polish_steps = 0
density_steps = 0
"""


def simulated(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and errors of `ibvonn simulate` in a folder."""
    (folder / "study.toml").write_text(text)
    code = main(["simulate", str(folder / "study.toml"), "--out", str(folder / "data"), "-q"])
    return code, capsys.readouterr().err
