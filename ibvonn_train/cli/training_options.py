"""What `ibvonn train` is asked for: data, a TOML or none, and the internal variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..training.training_config import ConfigError, TrainingConfig


def training_sources(
    sources: Sequence[Path], data: Sequence[Path]
) -> tuple[Path | None, list[Path]]:
    """Return the TOML among the files, or None, and the data.

    Args:
        sources: Files in any order; a TOML is known by its name, and where ``data`` are given a
            single file is one whatever its name.
        data: More data.

    Raises:
        ConfigError: If there are two TOMLs, or no data.
    """
    tables = [path for path in sources if path.suffix.lower() == ".toml"]
    if not tables and data and len(sources) == 1:
        tables = list(sources)
    if len(tables) > 1:
        raise ConfigError(
            f"train: must be given one TOML at most; found {[str(path) for path in tables]}."
        )
    files = [path for path in sources if path not in tables] + list(data)
    if not files:
        raise ConfigError(
            f"train: needs data; found {tables[0]} alone. Name the files that `ibvonn simulate` "
            "has written: `ibvonn train STUDY.toml data/train.h5`."
        )
    return (tables[0] if tables else None), files


def training_config(
    study: Path | None, data: Path, *, seed: int | None, internal: str | None
) -> TrainingConfig:
    """Return the configuration of a TOML, or without one that of a law named after its data.

    Args:
        study: The TOML.
        data: First file of the data.
        seed: Other than that of the TOML.
        internal: Other internal variables, such as "populations=2" or "auto".
    """
    config = TrainingConfig() if study is None else TrainingConfig.from_toml(study)
    if study is None:
        try:
            config = dataclasses.replace(config, name=data.stem)
        except ConfigError:
            config = dataclasses.replace(config, name="model")  # no name of a folder
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    if internal is not None:
        config = dataclasses.replace(config, internal=internal_of(internal))
    return config


def internal_of(text: str) -> str | dict[str, Any]:
    """Return "auto", or the table of internal variables that a text names.

    Args:
        text: "auto", "populations=2", "means=1", "populations=2,means=1"; several populations are
            named one by one.

    Raises:
        ConfigError: If it is none of these.
    """
    if text == "auto":
        return text
    populations: list[int] = []
    means = 0
    for part in text.split(","):
        kind, _, number = part.strip().partition("=")
        if kind not in ("populations", "means") or not number.strip().isdecimal():
            raise ConfigError(
                "--internal: must be auto, populations=STATES, means=NUMBER, or several of the "
                f"latter with commas; got {text!r}."
            )
        if kind == "means":
            means += int(number)
        else:
            populations.append(int(number))
    table: dict[str, Any] = {"populations": populations} if populations else {}
    return table | ({"means": means} if means or not populations else {})
