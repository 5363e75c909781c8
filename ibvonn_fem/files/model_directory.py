"""The rule by which an exported directory is trusted: who reads one, reads it through here.

This file stands in both packages, which do not import each other; a test keeps the two alike.
Loading runs no code from the directory. In this order: the manifest is JSON, of a known format,
follows the schema, has lists of matching lengths and finite, bounded numbers; every listed file is
a regular file of the listed size and sha256; every graph carries the hash of this manifest; the
weights say what the manifest says.

A sha256 says that files belong together, not who wrote them.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt

from . import state_bounds
from .former_format import as_format_2, as_written, novelties
from .former_names import with_former_names, with_names_of_today
from .graph_metadata import metadata_of
from .parsing import parse_arrays, parse_json
from .plain_files import read_file

FORMAT = 2
"""Newest format of an exported directory that this package reads."""

MANIFEST = "manifest.json"

LARGEST_MANIFEST = 2**24
"""Bytes of the largest manifest that is read."""

LARGEST_ARRAYS = 2**28
"""Bytes to which an ``.npz`` may unpack."""

STAMP, METADATA = "ibvonn_manifest_sha256", "ibvonn_manifest"
"""Names of the entries in the metadata of a graph: the hash of its manifest, and the manifest."""

ADDED_LATER = ("files", "runtime_agreement", "seeds")
"""Entries that no graph knows: the table of the files, and what `ibvonn verify` and `ibvonn card`
measure of a model that is there already."""


class ExportedModelError(ValueError):
    """An exported directory cannot be used: missing, altered, too new or inconsistent."""


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the manifest, shipped with the package."""
    text = files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def read_document(
    directory: str | Path, note: Callable[[str], None] = warnings.warn
) -> dict[str, Any]:
    """Read and check ``manifest.json`` of an exported directory.

    Args:
        directory: An exported model.
        note: Called with a sentence if the manifest has names of an older export, which are
            replaced by those of today.

    Raises:
        ExportedModelError: If the directory holds no model, or one of a newer format, or its
            manifest does not follow the schema.
    """
    directory = Path(directory)
    written = _parse(directory)
    document = with_names_of_today(written)
    # A newer format is expected to break the schema, and is the better message.
    number = document.get("format")
    if isinstance(number, int) and not isinstance(number, bool) and FORMAT < number < 10**9:
        raise ExportedModelError(
            f"{directory}: is written in format {number}; this version of {__package__} reads "
            f"formats up to {FORMAT}. Update {__package__}, or export the model in format {FORMAT}."
        )
    problem = problem_of(document)
    if problem is not None:
        raise ExportedModelError(f"{directory}/{MANIFEST}: {problem}. Export the model again.")
    if document != written:
        note(
            f"{directory}/{MANIFEST}: has names of an older export, which are read as those of "
            "today. `python -m ibvonn_train.export.stamp DIRECTORY` writes them anew."
        )
    _require_known_inputs(directory, document)
    return as_format_2(document)


def _require_known_inputs(directory: Path, document: Mapping[str, Any]) -> None:
    """Refuse a law that takes more than strain, state and time step, such as a temperature."""
    names = [entry["name"] for entry in document.get("inputs", [])]
    if names:
        raise ExportedModelError(
            f"{directory}/{MANIFEST}: the law takes the further inputs {', '.join(names)}, which "
            f"this version of {__package__.partition('.')[0]} cannot give it. Update it, or export "
            "the law without them."
        )


def _parse(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    if directory.is_file():
        raise ExportedModelError(
            f"{directory}: is a file; a model is a directory. Give its folder, {directory.parent}."
        )
    if not directory.is_dir():
        raise ExportedModelError(
            f"{directory}: not an exported model, there is no such directory (working folder: "
            f"{Path.cwd()}). Write one with `ibvonn export RUN DIRECTORY`."
        )
    try:
        content = read_file(path, LARGEST_MANIFEST)
    except FileNotFoundError:
        names = sorted(entry.name for entry in directory.iterdir())[:8]
        raise ExportedModelError(
            f"{directory}: not an exported model, it has no manifest.json (found: {names}). "
            "Write one with `ibvonn export RUN DIRECTORY`."
        ) from None
    except OSError as error:
        raise ExportedModelError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ExportedModelError(f"{error} Export the model again.") from None
    try:
        document = parse_json(content)
    except ValueError as error:
        raise ExportedModelError(
            f"{path}: is not valid JSON ({error}). Export the model again."
        ) from error
    if not isinstance(document, dict):
        raise ExportedModelError(
            f"{path}: must hold a JSON object; found a {type(document).__name__}. "
            "Export the model again."
        )
    return document


def problem_of(document: dict[str, Any]) -> str | None:
    """What is wrong with a manifest, without a full stop; None if nothing is."""
    beyond = next(_numbers_beyond(document), None)
    if beyond is not None:
        return beyond
    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        message = error.message if len(error.message) <= 200 else error.message[:197] + "…"
        return f"at {place}: {message}"
    if document["format"] == 1:
        novelty = next(novelties(document), None)
        if novelty is not None:
            return f"format 1 has no {novelty}"
    problem = next(_problems(document), None)
    if problem is None and document["format"] > 1:
        problem = next(state_bounds.problems(document), None)
    return problem


def _problems(document: dict[str, Any]) -> Iterator[str]:
    """What a schema cannot say."""
    n_strain = len(document["strain"]["components"])
    n_internal = len(document["internal"]["components"])
    initial, envelope = document["initial_state"], document["envelope"]
    expected = {
        "stress/components": (document["stress"]["components"], n_strain),
        "strain/reference": (document["strain"].get("reference", [0.0] * n_strain), n_strain),
        "internal/scale": (document["internal"]["scale"], n_internal),
        "initial_state/strain": (initial["strain"], n_strain),
        "initial_state/stress": (initial["stress"], n_strain),
        "initial_state/statev": (initial["statev"], n_internal),
        "envelope/strain": (envelope["strain"], n_strain),
        "envelope/strain_rate": (envelope["strain_rate"], n_strain),
        "envelope/statev": (envelope["statev"], n_internal),
    }
    for place, (values, size) in expected.items():
        if len(values) != size:
            yield f"{place} must have {size} entries, one per component; it has {len(values)}"
    for place in ("strain", "statev", "strain_rate", "time_step"):
        ranges = [envelope[place]] if place == "time_step" else envelope[place]
        for low, high in ranges:
            if not low <= high:
                yield (
                    f"envelope/{place} must hold pairs [low, high] with low <= high; found "
                    f"[{low}, {high}]"
                )
    names = list(document["files"])
    if len({name.casefold() for name in names}) < len(names):
        yield "files must have names that differ by more than upper and lower case"
    for name in names:
        # The pattern of the schema lets a line end at the end through.
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is None or name == MANIFEST:
            yield f"files may not list {name!r}"
    if document["name"] != document["name"].strip():
        yield "name may not end with a line end"


def _numbers_beyond(document: dict[str, Any]) -> Iterator[str]:
    """Integers of Python have no bound, and a literal such as 1e999 is read as infinity."""
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, dict | list):
            entries = node.items() if isinstance(node, dict) else enumerate(node)
            stack += [(f"{place}/{key}".lstrip("/"), child) for key, child in entries]
        elif isinstance(node, int | float) and not abs(node) <= sys.float_info.max:
            yield f"{place} must be a finite number"


def read_listed(
    directory: Path, document: Mapping[str, Any], name: str, *, verify: bool = True
) -> bytes:
    """Read one listed file; its kind, size and sha256 are those of the very bytes returned.

    Args:
        directory: The model.
        document: Its manifest.
        name: Name of the file.
        verify: Compare size and sha256 with the manifest.

    Raises:
        ExportedModelError: If the file is not listed, missing, or not the one that was written.
    """
    listed = document["files"]
    if name not in listed:
        raise ExportedModelError(
            f"{directory}: the manifest lists no file {name} (it lists "
            f"{', '.join(sorted(listed))}). Export the model again."
        )
    path = directory / name
    try:
        content = read_file(path, size=listed[name]["bytes"] if verify else None)
    except FileNotFoundError:
        raise ExportedModelError(
            f"{directory}: the file {name}, listed in the manifest, is missing. "
            "Copy the whole directory, or export the model again."
        ) from None
    except OSError as error:
        raise ExportedModelError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ExportedModelError(
            f"{path}: has been altered since the export ({error}) Restore the file, or export "
            "again."
        ) from None
    if verify:
        digest, written = hashlib.sha256(content).hexdigest(), listed[name]["sha256"]
        if digest != written:
            raise ExportedModelError(
                f"{path}: has been altered since the export, its sha256 is {digest[:12]}… where "
                f"the manifest says {written[:12]}…. Restore the file, or export again."
            )
    return content


def manifest_hash(document: Mapping[str, Any], *, former_names: bool = False) -> str:
    """Hash of all that the export itself says of a model, as canonical JSON."""
    content = {k: v for k, v in as_written(document).items() if k not in ADDED_LATER}
    content = with_former_names(content) if former_names else content
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def require_unaltered(directory: Path, document: Mapping[str, Any]) -> list[str]:
    """Check every listed file, and that every graph was written with this manifest.

    Returns:
        Names of the graphs that carry no hash of a manifest, as those of older exports.

    Raises:
        ExportedModelError: If a file is not the one that was written, or belongs to another
            manifest.
    """
    expected, bare = manifest_hash(document), []
    of_older_export = manifest_hash(document, former_names=True)
    for name in document["files"]:
        content = read_listed(directory, document, name)
        if not name.endswith((".onnx", ".pt")):
            continue
        stamp = stamp_of(name, content)
        if stamp is None:
            bare.append(name)
        elif stamp not in (expected, of_older_export):
            raise ExportedModelError(
                f"{directory}: manifest.json is not the one with which {name} was written (its "
                f"hash is {expected[:12]}…, the graph was written with {stamp[:12]}…). Restore the "
                "manifest, or export the model again."
            )
    return bare


def require_consistent(
    directory: Path, document: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Compare the manifest with ``parameters.npz``, which repeats some of its numbers.

    Raises:
        ExportedModelError: If the two disagree.
    """
    envelope = document["envelope"]
    entries = {
        "strain_size": len(document["strain"]["components"]),
        "internal_size": len(document["internal"]["components"]),
        "internal_scale": document["internal"]["scale"],
        "envelope": [*envelope["strain"], *envelope["statev"]],
        "residual_tolerance": document["tolerances"]["residual"],
    }
    if document["family"] == "populations":
        variables = document["internal"]["variables"]
        entries["rest"] = [value for variable in variables for value in variable["rest"]]
    for name, value in entries.items():
        if name not in arrays:
            raise ExportedModelError(
                f"{directory}/parameters.npz: the array {name} is missing. Export the model again."
            )
        expected, array = np.asarray(value, dtype=np.float64), arrays[name]
        if array.size != expected.size or not np.array_equal(
            array.reshape(-1), expected.reshape(-1)
        ):
            raise ExportedModelError(
                f"{directory}: manifest.json and parameters.npz disagree on {name}: "
                f"{_short(expected)} and {_short(array)}. Export the model again."
            )


def _short(values: npt.NDArray[Any]) -> str:
    text = str(values.tolist())
    return text if len(text) <= 60 else text[:57] + "…"


def read_arrays(
    directory: Path, document: Mapping[str, Any], name: str, *, verify: bool = True
) -> dict[str, npt.NDArray[Any]]:
    """Read a listed ``.npz``; pickles, and archives that unpack to too much, are refused.

    Raises:
        ExportedModelError: If the file is missing, altered, or not such an archive.
    """
    content = read_listed(directory, document, name, verify=verify)
    try:
        return parse_arrays(content, LARGEST_ARRAYS)
    except ValueError as error:
        raise ExportedModelError(
            f"{directory}/{name}: is not an archive of plain number arrays ({error}). "
            "Export the model again."
        ) from error


def stamp_of(name: str, content: bytes) -> str | None:
    """Hash of the manifest with which a graph was written, read without running the graph.

    A graph of an older export carries the manifest itself. None if it carries neither.
    """
    metadata = metadata_of(name, content, LARGEST_MANIFEST) or {}
    try:
        if STAMP in metadata:
            return metadata[STAMP].decode()
        if METADATA in metadata:
            return manifest_hash(dict(parse_json(metadata[METADATA])))
    except (ValueError, TypeError):
        return None  # no text, or no manifest
    return None
