"""Reading ``manifest.json``: the only door through which an exported model enters.

The reader checks the format number, the schema, the presence and the sha256 of every file, in this
order, and says in one sentence what is wrong. It runs no code from the directory.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from .errors import ExportedModelError
from .kernels.base import FloatArray

FORMAT = 1
"""Newest format of an exported directory that this package reads."""


@dataclass(frozen=True)
class Envelope:
    """Ranges of the training data, each of shape ``(components, 2)``: lower and upper end."""

    strain: FloatArray
    statev: FloatArray
    strain_rate: FloatArray
    time_step: FloatArray


@dataclass(frozen=True)
class InitialState:
    """Declared equilibrium of the law, where a fresh simulation starts.

    Attributes:
        strain: ε₀, shape ``(n_ε,)``.
        statev: α₀, shape ``(n_α,)``; zero in format 1.
        stress: σ₀, shape ``(n_ε,)``.
        energy: f(ε₀, α₀); zero in format 1.
    """

    strain: FloatArray
    statev: FloatArray
    stress: FloatArray
    energy: float


@dataclass(frozen=True)
class Manifest:
    """Contents of ``manifest.json`` (format 1) of one exported directory.

    Attributes:
        directory: Where it was read.
        name: Name of the model.
        description: One or two sentences.
        family: ``"convex_potentials"`` (any kernel) or ``"graph"`` (ONNX only).
        strain_components: Names of the strain components, in array order.
        stress_components: Names of the stress components, in array order.
        internal_components: Names of the internal variables, in array order.
        internal_scale: Training standard deviation of each internal variable, shape ``(n_α,)``.
        units: Unit of ``length``, ``force``, ``time``, ``energy`` and ``stress``.
        initial_state: Declared equilibrium.
        envelope: Ranges of the training data.
        residual_tolerance: A point has converged where its scaled residual is at most this.
        reference_tolerance: Largest relative difference between two runtimes.
        sha256: File name → checksum.
        raw: The whole document.
    """

    directory: Path
    name: str
    description: str
    family: str
    strain_components: tuple[str, ...]
    stress_components: tuple[str, ...]
    internal_components: tuple[str, ...]
    internal_scale: FloatArray
    units: dict[str, str]
    initial_state: InitialState
    envelope: Envelope
    residual_tolerance: float
    reference_tolerance: float
    sha256: dict[str, str]
    raw: dict[str, Any]

    @property
    def strain_size(self) -> int:
        """Number of strain components n_ε."""
        return len(self.strain_components)

    @property
    def internal_size(self) -> int:
        """Number of internal variables n_α."""
        return len(self.internal_components)

    def read(self, name: str, *, verify: bool = True) -> bytes:
        """Read one listed file, checking its sha256 on the very bytes that are returned.

        Raises:
            ExportedModelError: If the file is not listed, missing, or not the one that was written.
        """
        if name not in self.sha256:
            raise ExportedModelError(
                f"{self.directory}: the manifest lists no file {name} (it lists "
                f"{', '.join(sorted(self.sha256))}). Export the model again."
            )
        path = self.directory / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ExportedModelError(
                f"{self.directory}: the file {name}, listed in the manifest, is missing. "
                "Copy the whole directory, or export the model again."
            ) from None
        except OSError as error:
            raise ExportedModelError(f"{path}: cannot be read ({error.strerror}).") from error
        found = hashlib.sha256(content).hexdigest()
        if verify and found != self.sha256[name]:
            raise ExportedModelError(
                f"{path}: has been altered since the export, its sha256 is {found[:12]}… where the "
                f"manifest says {self.sha256[name][:12]}…. Restore the file, or export again."
            )
        return content

    def verify_files(self) -> None:
        """Check presence and sha256 of every listed file."""
        for name in self.sha256:
            self.read(name)


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the manifest, shipped with the package."""
    text = files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def read_manifest(directory: str | Path) -> Manifest:
    """Read and check ``manifest.json`` of an exported directory.

    Args:
        directory: An exported model.

    Returns:
        The manifest; files are checked when they are read, or by :meth:`Manifest.verify_files`.

    Raises:
        ExportedModelError: If the directory holds no model, or one of a newer format, or its
            manifest does not follow the schema.
    """
    directory = Path(directory)
    raw = _parse(directory)
    _check_format(directory, raw)
    _check_schema(directory, raw)
    _check_sizes(directory, raw)
    _check_numbers(directory, raw)
    initial, envelope = raw["initial_state"], raw["envelope"]
    return Manifest(
        directory=directory,
        name=raw["name"],
        description=raw["description"],
        family=raw["family"],
        strain_components=tuple(raw["strain"]["components"]),
        stress_components=tuple(raw["stress"]["components"]),
        internal_components=tuple(raw["internal"]["components"]),
        internal_scale=_array(raw["internal"]["scale"]),
        units=dict(raw["units"]),
        initial_state=InitialState(
            strain=_array(initial["strain"]),
            statev=_array(initial["statev"]),
            stress=_array(initial["stress"]),
            energy=float(initial["energy"]),
        ),
        envelope=Envelope(
            strain=_array(envelope["strain"]).reshape(-1, 2),
            statev=_array(envelope["statev"]).reshape(-1, 2),
            strain_rate=_array(envelope["strain_rate"]).reshape(-1, 2),
            time_step=_array(envelope["time_step"]).reshape(2),
        ),
        residual_tolerance=float(raw["tolerances"]["residual"]),
        reference_tolerance=float(raw["tolerances"]["reference"]),
        sha256={name: entry["sha256"] for name, entry in raw["files"].items()},
        raw=raw,
    )


def _array(values: object) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _parse(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
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
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = sorted(entry.name for entry in directory.iterdir())[:8]
        raise ExportedModelError(
            f"{directory}: not an exported model, it has no manifest.json (found: {found}). "
            "Write one with `ibvonn export RUN DIRECTORY`."
        ) from None
    except OSError as error:
        raise ExportedModelError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise ExportedModelError(
            f"{path}: is not valid JSON ({error}). Export the model again."
        ) from error
    if not isinstance(document, dict):
        raise ExportedModelError(
            f"{path}: must hold a JSON object; found a {type(document).__name__}. "
            "Export the model again."
        )
    return document


def _check_format(directory: Path, raw: dict[str, Any]) -> None:
    """Before the schema: a newer format is expected to break it, and is the better message."""
    number = raw.get("format")
    if isinstance(number, int) and not isinstance(number, bool) and number > FORMAT:
        raise ExportedModelError(
            f"{directory}: is written in format {number}; this version of ibvonn_fem reads formats "
            f"up to {FORMAT}. Update ibvonn_fem, or export the model in format {FORMAT}."
        )


def _check_schema(directory: Path, raw: dict[str, Any]) -> None:
    error = jsonschema.exceptions.best_match(_validator().iter_errors(raw))
    if error is None:
        return
    place = "/".join(str(part) for part in error.absolute_path) or "top level"
    message = error.message if len(error.message) <= 200 else error.message[:197] + "…"
    raise ExportedModelError(
        f"{directory}/manifest.json: at {place}: {message}. Export the model again."
    )


def _check_sizes(directory: Path, raw: dict[str, Any]) -> None:
    """What a schema cannot say: lists that belong together have the same length."""
    n_strain, n_internal = len(raw["strain"]["components"]), len(raw["internal"]["components"])
    expected = {
        "stress/components": (raw["stress"]["components"], n_strain),
        "internal/scale": (raw["internal"]["scale"], n_internal),
        "initial_state/strain": (raw["initial_state"]["strain"], n_strain),
        "initial_state/stress": (raw["initial_state"]["stress"], n_strain),
        "initial_state/statev": (raw["initial_state"]["statev"], n_internal),
        "envelope/strain": (raw["envelope"]["strain"], n_strain),
        "envelope/statev": (raw["envelope"]["statev"], n_internal),
        "envelope/strain_rate": (raw["envelope"]["strain_rate"], n_strain),
    }
    for place, (values, size) in expected.items():
        if len(values) != size:
            raise ExportedModelError(
                f"{directory}/manifest.json: {place} must have {size} entries, one per component; "
                f"it has {len(values)}. Export the model again."
            )
    for place in ("strain", "statev"):
        for low, high in raw["envelope"][place]:
            if not low <= high:  # also catches NaN, which JSON readers of Python let through
                raise ExportedModelError(
                    f"{directory}/manifest.json: envelope/{place} must hold pairs [low, high] with "
                    f"low <= high; found [{low}, {high}]. Export the model again."
                )


def _check_numbers(directory: Path, node: Any, place: str = "") -> None:
    """JSON as Python reads it has NaN, Infinity, and integers beyond every float."""
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            _check_numbers(directory, child, f"{place}/{key}" if place else str(key))
    elif isinstance(node, int | float) and not abs(node) <= sys.float_info.max:
        raise ExportedModelError(
            f"{directory}/manifest.json: {place} must be a finite number. Export the model again."
        )
