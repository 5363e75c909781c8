"""Parity of a runtime with the values that the exporter stored in ``reference.npz``.

A runtime agrees when |value − reference| ≤ tolerance · max(|reference|, column scale), where the
scale of a column is its largest reference magnitude over the points; beyond the envelope, where
round-off is amplified, 100 times the tolerance is allowed.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from .errors import ExportedModelError
from .kernels.base import FloatArray, Kernel
from .kernels.onnx import CONSTITUTIVE_INPUTS, CONSTITUTIVE_OUTPUTS, RATES_OUTPUTS
from .manifest import Manifest

BEYOND_ENVELOPE = 100.0
"""Factor on the tolerance at points outside the training box."""


@dataclass(frozen=True)
class Parity:
    """Largest difference of one output from its reference, in units of the allowed difference.

    Attributes:
        graph: ``"constitutive"``, ``"rates"``, …
        output: Name of the output.
        error: Largest |value − reference| / max(|reference|, column scale).
        excess: The same over the tolerance of its point; agrees where ``excess <= 1``.
    """

    graph: str
    output: str
    error: float
    excess: float


def read_arrays(manifest: Manifest, name: str, *, verify: bool = True) -> dict[str, FloatArray]:
    """Read an ``.npz`` of the exported directory as float64 arrays; pickles are refused.

    Raises:
        ExportedModelError: If the file is missing, altered, or not such an archive.
    """
    content = manifest.read(name, verify=verify)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: np.asarray(archive[key], dtype=np.float64) for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ExportedModelError(
            f"{manifest.directory}/{name}: is not an archive of plain number arrays ({error}). "
            "Export the model again."
        ) from error


def graph_arrays(reference: dict[str, FloatArray], graph: str, side: str) -> dict[str, FloatArray]:
    """Arrays of one graph, ``side`` being ``"in"`` or ``"out"``, by their bare names."""
    prefix = f"{graph}.{side}."
    return {key[len(prefix) :]: v for key, v in reference.items() if key.startswith(prefix)}


def compare(
    value: FloatArray, reference: FloatArray, tolerance: FloatArray | float
) -> tuple[float, float]:
    """Largest relative difference and largest excess over ``tolerance`` (per point or one).

    Args:
        value: Result of a runtime, first axis = points.
        reference: Stored result, same shape.
        tolerance: Allowed relative difference, one number or shape ``(n,)``.
    """
    if value.shape != reference.shape:
        return np.inf, np.inf
    if reference.size == 0:
        return 0.0, 0.0
    flat_value = value.reshape(len(value), -1)
    flat = reference.reshape(len(reference), -1)
    column = np.max(np.abs(flat), axis=0)
    column = np.where(column > 0.0, column, max(float(np.max(column)), np.finfo(np.float64).tiny))
    error = np.max(np.abs(flat_value - flat) / np.maximum(np.abs(flat), column), axis=1)
    error = np.where(np.isnan(error), np.inf, error)
    return float(np.max(error)), float(np.max(error / tolerance))


def kernel_parity(
    kernel: Kernel, reference: dict[str, FloatArray], manifest: Manifest
) -> list[Parity]:
    """Run a kernel on the reference inputs of ``constitutive`` and ``rates``.

    Points whose reference did not converge must not converge here either; their other outputs have
    no meaning and are not compared.
    """
    tolerance = manifest.reference_tolerance
    inputs = graph_arrays(reference, "constitutive", "in")
    outputs = graph_arrays(reference, "constitutive", "out")
    rate_inputs = graph_arrays(reference, "rates", "in")
    rate_outputs = graph_arrays(reference, "rates", "out")
    missing = [
        *(name for name in CONSTITUTIVE_INPUTS if name not in inputs),
        *(name for name in CONSTITUTIVE_OUTPUTS if name not in outputs),
        *(name for name in ("strain", "statev") if name not in rate_inputs),
        *(name for name in RATES_OUTPUTS if name not in rate_outputs),
    ]
    if missing:
        raise ExportedModelError(
            f"{manifest.directory}/reference.npz: holds no reference values of "
            f"{', '.join(missing)}. Export the model again."
        )
    update = kernel.update(
        inputs["strain"],
        inputs["strain_old"],
        inputs["statev"],
        inputs["dt"].reshape(-1),
    )
    converged = outputs["residual"].reshape(-1) <= manifest.residual_tolerance
    same = np.array_equal(converged, update.residual <= manifest.residual_tolerance)
    found = [Parity("constitutive", "residual", 0.0 if same else np.inf, 0.0 if same else np.inf)]
    inside = outputs["validity"].reshape(-1)[converged] <= 0.0
    allowed = np.where(inside, tolerance, BEYOND_ENVELOPE * tolerance)
    for name in CONSTITUTIVE_OUTPUTS:
        if name == "residual":
            continue
        value: FloatArray = getattr(update, name)
        expected = outputs[name].reshape(value.shape)
        error, excess = compare(value[converged], expected[converged], allowed)
        found.append(Parity("constitutive", name, error, excess))
    rates = kernel.rates(rate_inputs["strain"], rate_inputs["statev"])
    for name in RATES_OUTPUTS:
        value = getattr(rates, name)
        error, excess = compare(value, rate_outputs[name].reshape(value.shape), tolerance)
        found.append(Parity("rates", name, error, excess))
    return found


def require_parity(kernel: Kernel, manifest: Manifest) -> None:
    """Self-check of a kernel when a model is loaded.

    Raises:
        ExportedModelError: If any output differs from its reference by more than the tolerance.
    """
    parities = kernel_parity(kernel, read_arrays(manifest, "reference.npz"), manifest)
    worst = max(parities, key=lambda parity: parity.excess)
    if not worst.excess <= 1.0:
        raise ExportedModelError(
            f"{manifest.directory}: the kernel '{kernel.codename}' does not reproduce "
            f"reference.npz: {worst.graph}.{worst.output} differs by {worst.error:.2e} (relative), "
            f"allowed is {manifest.reference_tolerance:.0e}. Try another kernel, and report this."
        )
