"""From the configuration of a study to its system, its protocols and its data."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from ..data.ensemble import TrajectoryEnsemble
from ..files.toml_tables import ConfigError, build, convert, shown
from . import families, protocols, strain_paths
from .protocols import Protocol
from .simulate_ensemble import Engine, simulate
from .simulation_config import SetConfig, SimulationConfig
from .systems.registry import SYSTEMS
from .systems.system import MicroscopicSystem

KINDS: dict[str, Callable[..., Protocol]] = {
    "ramp": protocols.ramp,
    "hold": protocols.hold,
    "sinusoid": protocols.sinusoid,
    "piecewise_linear": protocols.piecewise_linear,
    "ramp_and_hold": protocols.ramp_and_hold,
    "step_and_hold": protocols.step_and_hold,
    "triangle": protocols.triangle,
    "random_walk": protocols.random_walk,
    "smooth_pull": protocols.smooth_pull,
}
PATHS: dict[str, Callable[..., Protocol]] = {
    "strain_path": strain_paths.strain_path,
    "strain_walk": strain_paths.strain_walk,
    "strain_from_file": strain_paths.strain_from_file,
}
"""Kinds whose strains are lists of one number for each component, and no lists of protocols."""
FAMILIES: dict[str, Callable[..., tuple[Protocol, ...]]] = {
    "training_set": families.protocols_for_training,
    "test_set": families.protocols_for_testing,
    "strain_training_set": strain_paths.strain_training_set,
    "strain_test_set": strain_paths.strain_test_set,
    "load_hold_unload": strain_paths.load_hold_unload,
    "strain_loops": strain_paths.strain_loops,
}
"""Kinds that stand for several protocols; their duration is that of the set."""
FORMER_KINDS = {"rich_family": "training_set", "unseen_family": "test_set"}


def run_set(
    config: SimulationConfig,
    chosen: SetConfig,
    *,
    folder: Path,
    engine: Engine = "auto",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    progress: bool = True,
) -> TrajectoryEnsemble:
    """Simulate one set.

    Args:
        config: The study.
        chosen: One of its sets.
        folder: Where the file of a system of one's own is looked for.
        engine: "auto", "torch" or "compiled".
        device: Device of the torch engine.
        dtype: Precision of the positions.
        progress: Show a progress bar.
    """
    return simulate(
        build_system(config, folder),
        build_protocols(config, chosen),
        duration=chosen.duration,
        time_step=config.time_step,
        replicas=config.replicas if chosen.replicas is None else chosen.replicas,
        seed=chosen.seed,
        stride=chosen.stride,
        dtype=dtype,
        device=device,
        engine=engine,
        record=chosen.record,
        progress=progress,
    )


def build_system(config: SimulationConfig, folder: Path) -> MicroscopicSystem:
    """Return the system of a study.

    Raises:
        ConfigError: If the system or one of its parameters is unknown.
    """
    if ":" in config.system:
        maker: Callable[..., MicroscopicSystem] = own_system(config.system, folder)
    elif config.system in SYSTEMS:
        maker = SYSTEMS[config.system].make
    else:
        raise ConfigError(
            f"simulation.system: {config.system!r} is not known; write "
            f"{', '.join(map(repr, SYSTEMS))}, or 'FILE.py:CLASS'."
        )
    system: MicroscopicSystem = build(maker, config.parameters, "simulation.parameters")
    return system


@contextmanager
def running(path: Path) -> Iterator[None]:
    """Say in a sentence where the code of a user's file fails, or ends the program.

    Raises:
        ConfigError: With the file and line.
    """
    try:
        yield
    except (KeyboardInterrupt, ConfigError):
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if Path(frame.filename) == path]  # fmt: skip
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
        text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise ConfigError(
            f"{path}{f':{line}' if line else ''}: must run; it stops with "
            f"{type(error).__name__}{f': {text}' if text else ''}."
        ) from error


def system_of_record(
    maker: type[MicroscopicSystem], system: str, recorded: dict[str, Any], drive: str, place: str
) -> MicroscopicSystem:
    """Return the system of a user's class with the parameters that its data record.

    Args:
        maker: The class.
        system: Name of the system in the record.
        recorded: Its parameters there.
        drive: Its drive there.
        place: How the class was named, for messages.

    Raises:
        ConfigError: If the record does not fit the class, or the class the record.
    """
    try:
        built = maker.of_record(system, recorded, drive)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(f"{place}: {error}") from error
    require_system(built, system, recorded, place)
    return built


def require_system(
    system_made: MicroscopicSystem, system: str, recorded: dict[str, Any], place: str
) -> None:
    """Raise :class:`ConfigError` where a system is not the one that data record."""
    try:
        system_made.require_recorded(system, recorded)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def own_system(name: str, folder: Path) -> type[MicroscopicSystem]:
    """Return the class ``FILE.py:CLASS``, FILE relative to ``folder``. Runs the file.

    Raises:
        ConfigError: If there is no such file or class.
    """
    file, _, member = name.partition(":")
    path = folder / file
    if not path.is_file():
        raise ConfigError(f"simulation.system: there is no file {path}.")
    if not member.isidentifier():
        raise ConfigError(f"simulation.system: must be FILE.py:CLASS; got {shown(name)}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"simulation.system: {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    with running(path):
        spec.loader.exec_module(module)
    maker = getattr(module, member, None)
    if not (isinstance(maker, type) and issubclass(maker, MicroscopicSystem)):
        raise ConfigError(
            f"simulation.system: {path} must define a class {member!r} derived from "
            "ibvonn_train.simulation.MicroscopicSystem."
        )
    return maker


def build_protocols(config: SimulationConfig, chosen: SetConfig) -> list[Protocol]:
    """Return the protocols of a set.

    Raises:
        ConfigError: If a kind or one of its arguments is unknown.
    """
    protocols: list[Protocol] = []
    for number, table in enumerate(chosen.protocols):
        place = f"simulation.sets.{chosen.name}.protocols[{number}]"
        arguments = dict(table)
        kind = arguments.pop("kind", None)
        kind = kind if isinstance(kind, str) else shown(kind)
        if kind == "paper":
            protocols += _paper(config.system, arguments, place)
        elif kind in FAMILIES:
            protocols += build(FAMILIES[kind], {"duration": chosen.duration, **arguments}, place)
        elif kind in KINDS:
            direction, origin = arguments.pop("direction", None), arguments.pop("origin", None)
            scalars = [
                build(KINDS[kind], table, place) for table in _expanded(kind, arguments, place)
            ]
            protocols += _directed(scalars, direction, origin, place)
        elif kind in PATHS:
            seeds = arguments.get("seed")
            each = [{**arguments, "seed": s} for s in seeds] if isinstance(seeds, list) else None
            protocols += [build(PATHS[kind], table, place) for table in each or [arguments]]
        elif kind in FORMER_KINDS:
            raise ConfigError(f"{place}: kind {kind!r} is now called {FORMER_KINDS[kind]!r}.")
        else:
            kinds = ["paper", *FAMILIES, *KINDS, *PATHS]
            raise ConfigError(f"{place}: kind must be one of {kinds}; got {kind!r}.")
    return protocols


def _paper(system: str, arguments: dict[str, Any], place: str) -> tuple[Protocol, ...]:
    parts = [item.name for item in fields(families.Split)]
    papers = {name: entry.paper for name, entry in SYSTEMS.items() if entry.paper is not None}
    if system not in papers or set(arguments) != {"part"} or arguments["part"] not in parts:
        raise ConfigError(
            f"{place}: kind 'paper' needs one of the systems {list(papers)} and a part, one of "
            f"{parts}; got {arguments} for {system!r}."
        )
    split: tuple[Protocol, ...] = getattr(papers[system](), arguments["part"])
    return split


def _directed(
    scalars: list[Protocol], direction: object, origin: object, place: str
) -> list[Protocol]:
    """Return protocols of a number along a direction in the space of strains, if there is one."""
    if direction is None:
        if origin is not None:
            raise ConfigError(f"{place}: origin goes with a direction; there is none.")
        return scalars
    towards = convert(Sequence[float], direction, f"{place}.direction")
    start = None if origin is None else convert(Sequence[float], origin, f"{place}.origin")
    try:
        return [strain_paths.along(scalar, towards, start) for scalar in scalars]
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def _expanded(kind: str, arguments: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """Return one table for each entry of the lists in a table; all lists are of one length."""
    if kind == "piecewise_linear":  # its lists are arguments
        return [arguments]
    lists = {key: value for key, value in arguments.items() if isinstance(value, list)}
    lengths = {len(value) for value in lists.values()}
    if not lists:
        return [arguments]
    if len(lengths) > 1:
        raise ConfigError(f"{place}: lists must be of one length; got {sorted(lengths)}.")
    return [
        {**arguments, **{key: value[i] for key, value in lists.items()}}
        for i in range(lengths.pop())
    ]
