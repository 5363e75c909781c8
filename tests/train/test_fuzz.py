"""Fuzz: damaged data and configurations give a sentence of ours, or load; nothing is executed."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.files.toml_tables import ConfigError
from ibvonn_train.simulation import TetheredParticle
from ibvonn_train.simulation.protocols import ramp
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.training.training_config import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES: tuple[Any, ...] = (
    b"\xff\xfe",
    "",
    "x",
    "[]",
    "[" * 20_000,
    "9" * 5000,
    '{"friction":' + "9" * 400 + ',"thermal_energy":1}',
    '{"friction": {"a": 1}, "thermal_energy": NaN}',
    -1,
    10**18,
    np.nan,
    np.inf,
    1e300,
    1j,
    np.bool_(True),
    np.zeros((2, 3)),
    np.zeros(0),
    np.array(["a", "b"], dtype="S1"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    h5py.Empty("f"),
)
DATASETS: tuple[Any, ...] = (*ATTRIBUTES, np.float16(1), h5py.SoftLink("/nowhere"))
TOML = (
    "9" * 400,
    "9" * 5000,
    "nan",
    "inf",
    "-1",
    "true",
    '"x"',
    '"' + "a" * 5000 + '"',
    '"\\u0000"',
    "'''a\nb'''",
    "[]",
    "[1, 'a']",
    "[" * 3000 + "]" * 3000,
    "{}",
    "{a = 1}",
    "1979-05-27",
)


@pytest.fixture(autouse=True)
def nothing_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def executed(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a file was executed: {arguments}")

    for module, name in ((pickle, "loads"), (pickle, "load"), (os, "system")):
        monkeypatch.setattr(module, name, executed)
    monkeypatch.setattr(subprocess, "Popen", executed)


def refusal(read: Callable[[], object], kind: type[Exception], path: Path) -> str | None:
    """The one sentence with which a reader refuses; None if it accepts."""
    try:
        read()
    except kind as error:
        text = str(error)
        assert "\n" not in text
        assert text.startswith(str(path))
        assert len(text) < 800
        return text
    return None


def read_all(path: Path) -> None:
    data = TrajectoryEnsemble.load(path)
    assert data.strain.shape == data.stress.shape
    data.sha256()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "trap.h5"
    protocols = [ramp(0.5), ramp(1.0)]
    small_ensemble(TetheredParticle(), protocols, duration=0.2, replicas=20).save(path)
    return path.read_bytes()


def replacements(path: Path, whole: bytes) -> Iterator[None]:
    """Each attribute and each dataset in turn is missing, or replaced by something else."""
    path.write_bytes(whole)
    with h5py.File(path) as file:
        places = [(name, True) for name in file.attrs] + [(name, False) for name in file]
    for name, is_attribute in places:
        for value in (None, *(ATTRIBUTES if is_attribute else DATASETS)):
            path.write_bytes(whole)
            with h5py.File(path, "r+") as file:
                target = file.attrs if is_attribute else file
                del target[name]
                if value is not None:
                    target[name] = value
            yield


def test_a_data_file_with_any_entry_replaced_is_refused_or_read(
    whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "fuzz.h5"
    result = [refusal(lambda: read_all(path), ValueError, path) for _ in replacements(path, whole)]
    assert sum(text is not None for text in result) > 200


def test_a_data_file_with_changed_bytes_is_refused_or_read(whole: bytes, tmp_path: Path) -> None:
    """Seeds of which none sends the HDF5 library itself into an endless loop (1 in 2000 does)."""
    path, refused = tmp_path / "fuzz.h5", 0
    for seed in range(200):
        path.write_bytes(damaged(whole, seed))
        refused += refusal(lambda: read_all(path), ValueError, path) is not None
    assert refused > 50


def damaged(content: bytes, seed: int) -> bytes:
    """Some bytes replaced, an end cut off, or a part overwritten by noise."""
    rng = np.random.default_rng(seed)
    data, kind = bytearray(content), seed % 3
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
    elif kind == 1:
        del data[rng.integers(len(data)) :]
    else:
        length = int(rng.integers(1, 64))
        at = int(rng.integers(len(data) - length))
        data[at : at + length] = rng.bytes(length)
    return bytes(data)


@pytest.mark.parametrize("config", [TrainingConfig, SimulationConfig])
@pytest.mark.parametrize(
    "source",
    [ROOT / "configs/trap.toml", ROOT / "ibvonn_train/cli/templates/own.toml"],
    ids=lambda path: path.stem,
)
def test_a_damaged_configuration_is_refused_or_read(
    source: Path, config: type[TrainingConfig] | type[SimulationConfig], tmp_path: Path
) -> None:
    path, content = tmp_path / "fuzz.toml", source.read_bytes()
    lines = content.decode().split("\n")
    versions = [damaged(content, seed) for seed in range(60)]
    # Where each key stands last.
    places = {line.split("=")[0].strip(): index for index, line in enumerate(lines) if "=" in line}
    for key, index in places.items():
        for value in TOML:
            changed = [*lines[:index], f"{key} = {value}", *lines[index + 1 :]]
            versions.append("\n".join(changed).encode())
    refused = 0
    for version in versions:
        path.write_bytes(version)
        refused += refusal(lambda: config.from_toml(path), ConfigError, path) is not None
    assert refused > 100


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a regular file; it is a folder"):
        TrainingConfig.from_toml(tmp_path)
    for path, words in (
        ("/dev/zero", "it is a device"),
        (tmp_path / "large.toml", "may have at most"),
    ):
        (tmp_path / "large.toml").write_bytes(b" " * (2**22 + 1))
        with pytest.raises(ConfigError, match=words):
            SimulationConfig.from_toml(path)
