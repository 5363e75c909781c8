"""What several files train on (those that need others have one of the same name), or need."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_files import record
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.files.c_compiler import CompilerError
from ibvonn_train.simulation import TetheredParticle, trap_of_paper
from ibvonn_train.simulation.compiler import library
from ibvonn_train.simulation.protocols import ramp


@pytest.fixture(scope="session")
def ensemble() -> TrajectoryEnsemble:
    """Four pulls of the paper with few replicas."""
    return small_ensemble(
        TetheredParticle(), trap_of_paper().train[:4], duration=3.0, stride=2, replicas=200,
        engine="torch",
    )  # fmt: skip


@pytest.fixture(scope="session")
def data() -> TrajectoryEnsemble:
    """Three ramps of a particle in its trap."""
    return record(TetheredParticle(), [ramp(height) for height in (0.5, 1.0, 2.0)])


@pytest.fixture
def file(data: TrajectoryEnsemble, tmp_path: Path) -> Path:
    """The file of these."""
    path = tmp_path / "trap with spaces é.h5"
    data.save(path)
    return path


@pytest.fixture(scope="session")
def c_compiler() -> None:
    """For comparisons of the two engines, of which one needs a C compiler."""
    try:
        library()
    except CompilerError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in another one, to which nothing may be written."""
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside
