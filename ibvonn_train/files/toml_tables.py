"""From the tables of a TOML file to frozen dataclasses, with messages that name the key."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from .plain_files import read_text

T = TypeVar("T")

MOST_BYTES = 2**22
"""Largest TOML that is read."""
_PLAIN = re.compile(r"\w[\w .+-]{0,99}")


class ConfigError(ValueError):
    """A configuration that cannot be used: the message names the key and what to write instead."""


def read_table(path: str | Path, name: str) -> dict[str, Any]:
    """Return one top-level table of a TOML file; the other tables belong to other commands.

    Raises:
        ConfigError: If the file is missing, is not TOML, or has no such table.
    """
    content = _content(path)
    table = content.get(name)
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: must have a [{name}] table; its tables are {sorted(content)}.")
    return table


def has_table(path: str | Path, name: str) -> bool:
    """Return whether a TOML file has a top-level table.

    Raises:
        ConfigError: If the file is missing or is not TOML.
    """
    return name in _content(path)


def _content(path: str | Path) -> dict[str, Any]:
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Write one with `ibvonn init`.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be TOML; {error}.") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or what Python limits
        raise ConfigError(f"{path}: must be TOML; {error}.") from None


def build(maker: Callable[..., T], table: object, place: str) -> T:
    """Call a dataclass, class or function with the keys of a table as its arguments.

    Values are checked against the annotations that a TOML can give (numbers, text, lists, choices
    and tables that are dataclasses); arguments with other annotations are passed as they are.
    A class may name keys of earlier versions in ``FORMER_KEYS``: key → what became of it.

    Raises:
        ConfigError: If a key is unknown (the nearest known one is named), is missing, or has a
            value that cannot be used.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"[{place}]: must be a table; got {shown(table)}.")
    parameters = inspect.signature(maker).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in table:
        if key not in parameters and not open_ended:
            raise unknown_key(f"[{place}]", key, parameters, getattr(maker, "FORMER_KEYS", {}))
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = {n for n, p in parameters.items() if p.default is p.empty and p.kind not in variadic}
    if missing := sorted(needed - table.keys()):
        raise ConfigError(f"[{place}]: the keys {missing} are required.")
    hints = _hints(maker)
    values = {
        key: convert(hints[key], value, f"{place}.{key}") if key in hints else value
        for key, value in table.items()
    }
    try:
        return maker(**values)
    except (TypeError, AttributeError, IndexError, KeyError) as error:
        raise ConfigError(
            f"[{place}]: cannot be used; {type(error).__name__}: {error}. Got {shown(table)}."
        ) from error


def unknown_key(
    place: str, key: str, known: Iterable[str], former: Mapping[str, str]
) -> ConfigError:
    """Return the error of a key that is not known, which names what to write instead."""
    if key in former:
        return ConfigError(f"{place}: {shown(key)} {former[key]}.")
    names = sorted(known)
    if not names:
        return ConfigError(f"{place}: takes no keys; got {shown(key)}.")
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)[0]
    return ConfigError(
        f"{place}: unknown key {shown(key)}; did you mean {near!r}? Known keys: {names}."
    )


def _hints(maker: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of what a table calls, none where they name what is not there."""
    described: Any = maker
    if isinstance(maker, type) and not is_dataclass(maker):
        described = inspect.getattr_static(maker, "__init__")
    try:
        return typing.get_type_hints(described)
    except (NameError, TypeError, AttributeError):  # of a user-defined class
        return {}


def require_plain_name(place: str, name: str) -> None:
    """Raise :class:`ConfigError` unless a name can be that of a file in a chosen folder."""
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"{place}: must be up to 100 letters, digits, spaces and the signs _ . + -, beginning "
            f"with a letter, digit or _, as files are called by it; got {shown(name)}."
        )


def shown(value: object) -> str:
    """Return a value as a message shows it: one line, not a long one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def plain(value: Any) -> Any:
    """Return tuples as lists, all through nested values."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def convert(hint: Any, value: Any, place: str) -> Any:
    """Return the value as the annotated type, integers as floats where floats are asked for.

    Values of annotations that a TOML cannot give are returned as they are.

    Raises:
        ConfigError: If it is of another type.
    """
    origin = typing.get_origin(hint)
    if is_dataclass(hint):
        return build(hint, value, place)  # type: ignore[arg-type]
    if origin in (tuple, Sequence):
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{place}: must be a list; got {shown(value)}.")
        return tuple(convert(item, v, f"{place}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: must be a table; got {shown(value)}.")
        return value
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{place}: must be one of {list(choices)}; got {shown(value)}.")
        return value
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if hint not in (float, int, str, bool):
        return value
    if type(value) is not hint:
        raise ConfigError(f"{place}: must be of type {hint.__name__}; got {shown(value)}.")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{place}: must be finite; got {value}.")
    return value
