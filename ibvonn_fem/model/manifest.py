"""``manifest.json`` as an object.

:mod:`ibvonn_fem.files.model_directory` has the rules by which it is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.model_directory import FORMAT as FORMAT
from ..files.model_directory import (
    read_arrays,
    read_document,
    read_listed,
    require_consistent,
    require_unaltered,
)
from ..files.state_bounds import Variables, bounds_of
from ..kernels.base import FloatArray
from ..warning import warn
from .carried_laws import model_folder


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
        statev: α₀, shape ``(n_α,)``; zero in exports.
        stress: σ₀, shape ``(n_ε,)``.
        energy: f(ε₀, α₀); zero in exports.
    """

    strain: FloatArray
    statev: FloatArray
    stress: FloatArray
    energy: float


@dataclass(frozen=True)
class Manifest:
    """Contents of ``manifest.json`` of one exported directory.

    Attributes:
        directory: The exported directory.
        name: Name of the model.
        description: One or two sentences.
        family: ``"convex_potentials"`` or ``"populations"`` (any kernel) or ``"graph"`` (ONNX).
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

    @property
    def variables(self) -> Variables:
        """Populations and means that the internal variables are; nothing in laws made in Python."""
        listed: Variables = self.raw.get("internal", {}).get("variables", ())
        return listed

    @property
    def bounds(self) -> FloatArray:
        """Lowest and highest value of every internal variable, ``(n_α, 2)``; infinite for means."""
        if not self.variables:
            return np.tile([-np.inf, np.inf], (self.internal_size, 1))
        return bounds_of(self.variables)

    @property
    def symmetric(self) -> bool:
        """Whether the tangent is symmetric: not where a population has more than two states."""
        return all(variable.get("states", 2) == 2 for variable in self.variables)

    @property
    def strain_order(self) -> str:
        """Order of the strain components: "scalar", "mandel" or "other"."""
        return str(self.raw.get("strain", {}).get("order", "other"))

    @property
    def strain_basis(self) -> FloatArray | None:
        """A, ``(n_class, q, n_ε)``: class a sees the strain A_a ε; None of laws made in Python."""
        listed = self.raw.get("classes")
        if not listed:
            return None
        return np.array([entry["strain_basis"] for entry in listed], dtype=np.float64)

    def read(self, name: str, *, verify: bool = True) -> bytes:
        """Read one listed file, checking its sha256 on the very bytes that are returned.

        Raises:
            ExportedModelError: If the file is not listed, missing, or not the one that was written.
        """
        return read_listed(self.directory, self.raw, name, verify=verify)

    def read_arrays(self, name: str, *, verify: bool = True) -> dict[str, FloatArray]:
        """Read a listed ``.npz`` as float64 arrays; pickles are refused.

        Raises:
            ExportedModelError: If the file is missing, altered, or not such an archive.
        """
        arrays = read_arrays(self.directory, self.raw, name, verify=verify)
        return {key: np.asarray(value, dtype=np.float64) for key, value in arrays.items()}

    def verify_files(self) -> list[str]:
        """Check every listed file, and that graphs and weights belong to this manifest.

        Returns:
            Names of the graphs without a hash of their manifest, as older exports have.
        """
        bare = require_unaltered(self.directory, self.raw)
        if "parameters.npz" in self.sha256:
            require_consistent(self.directory, self.raw, self.read_arrays("parameters.npz"))
        return bare


def read_manifest(directory: str | Path) -> Manifest:
    """Read and check ``manifest.json`` of an exported directory.

    Args:
        directory: An exported model, or the name of a carried law.

    Returns:
        The manifest; files are checked when they are read, or by :meth:`Manifest.verify_files`.

    Raises:
        ExportedModelError: If the directory holds no model, or one of a newer format, or its
            manifest does not follow the schema.
    """
    directory = model_folder(directory)
    raw = read_document(directory, warn)
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
