"""Agreement of a runtime with the values that the exporter stored in ``reference.npz``.

A runtime agrees when |value − reference| ≤ tolerance · max(|reference|, column scale), where the
scale of a column is its largest reference magnitude over the points; beyond the envelope, where
round-off is amplified, 100 times the tolerance is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ExportedModelError
from ..files.state_bounds import within_bounds
from ..kernels.base import FloatArray, Kernel
from ..kernels.onnx import CONSTITUTIVE_INPUTS, CONSTITUTIVE_OUTPUTS, RATES_OUTPUTS
from .manifest import Manifest

BEYOND_ENVELOPE = 100.0
"""Factor on the tolerance at points outside the training box."""

EQUILIBRIUM_TOLERANCE = 1e-8
"""Allowed deviation of the declared initial state from equilibrium, see `initial_state_errors`."""

LEAST_POINTS = 8
"""Least number of converged points: with none, any kernel would pass."""


@dataclass(frozen=True)
class Difference:
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


def kernel_differences(
    kernel: Kernel, reference: dict[str, FloatArray], manifest: Manifest
) -> list[Difference]:
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
    _require_points(inputs, outputs, manifest)
    _require_points(rate_inputs, rate_outputs, manifest)
    update = kernel.update(
        inputs["strain"],
        inputs["strain_old"],
        inputs["statev"],
        inputs["dt"].reshape(-1),
    )
    converged = outputs["residual"].reshape(-1) <= manifest.residual_tolerance
    same = np.array_equal(converged, update.residual <= manifest.residual_tolerance)
    differences = [
        Difference("constitutive", "residual", 0.0 if same else np.inf, 0.0 if same else np.inf)
    ]
    inside = outputs["validity"].reshape(-1)[converged] <= 0.0
    allowed = np.where(inside, tolerance, BEYOND_ENVELOPE * tolerance)
    for name in CONSTITUTIVE_OUTPUTS:
        if name == "residual":
            continue
        value: FloatArray = getattr(update, name)
        expected = outputs[name].reshape(value.shape)
        error, excess = compare(value[converged], expected[converged], allowed)
        differences.append(Difference("constitutive", name, error, excess))
    rates = kernel.rates(rate_inputs["strain"], rate_inputs["statev"])
    for name in RATES_OUTPUTS:
        value = getattr(rates, name)
        error, excess = compare(value, rate_outputs[name].reshape(value.shape), tolerance)
        differences.append(Difference("rates", name, error, excess))
    return differences


def _require_points(
    inputs: dict[str, FloatArray], outputs: dict[str, FloatArray], manifest: Manifest
) -> None:
    """Raise unless all arrays have the same number of points, and enough of them converged."""
    file = f"{manifest.directory}/reference.npz"
    counts = {len(value) if value.ndim else 0 for value in (*inputs.values(), *outputs.values())}
    if len(counts) != 1:
        raise ExportedModelError(
            f"{file}: must hold the same number of points of every input and output; "
            f"it holds {sorted(counts)}. Export the model again."
        )
    count = counts.pop()
    if "residual" in outputs:
        count = int(np.count_nonzero(outputs["residual"] <= manifest.residual_tolerance))
    if count < LEAST_POINTS:
        raise ExportedModelError(
            f"{file}: must hold at least {LEAST_POINTS} points that converged; it holds {count}. "
            "Export the model again."
        )


def require_agreement(kernel: Kernel, manifest: Manifest) -> None:
    """Self-check of a kernel when a model is loaded.

    Raises:
        ExportedModelError: If any output differs from its reference by more than the tolerance.
    """
    differences = kernel_differences(kernel, manifest.read_arrays("reference.npz"), manifest)
    worst = max(differences, key=lambda difference: difference.excess)
    if not worst.excess <= 1.0:
        raise ExportedModelError(
            f"{manifest.directory}: the kernel '{kernel.codename}' does not reproduce "
            f"reference.npz: {worst.graph}.{worst.output} differs by {worst.error:.2e} (relative), "
            f"allowed is {manifest.reference_tolerance:.0e}. Try another kernel, and report this."
        )


def initial_state_errors(
    kernel: Kernel, manifest: Manifest, typical: tuple[FloatArray, FloatArray]
) -> dict[str, float]:
    """Deviation of the declared initial state from an equilibrium of the law.

    Args:
        kernel: The law.
        manifest: Description of the law.
        typical: Strains and internal variables of the envelope, which give the scales.

    Returns:
        Differences of stress and energy from the declared ones, and magnitudes of driving force
        and rate, which vanish at equilibrium; in units of the largest at the typical states.
    """
    initial, scale = manifest.initial_state, kernel.rates(*typical)
    rates = kernel.rates(initial.strain[np.newaxis], initial.statev[np.newaxis])
    return {
        "stress": _ratio(rates.stress[0] - initial.stress, scale.stress),
        "energy": _ratio(rates.energy[0] - initial.energy, scale.energy),
        "driving force": _ratio(rates.driving_force[0], scale.driving_force),
        "rate": _ratio(rates.rate[0], scale.rate),
    }


def _ratio(value: FloatArray, typical: FloatArray) -> float:
    scale = float(np.nanmax(np.abs(typical), initial=0.0))
    ratio = float(np.max(np.abs(value), initial=0.0)) / max(scale, np.finfo(np.float64).tiny)
    return np.inf if np.isnan(ratio) else ratio


def typical_states(manifest: Manifest, count: int = 64) -> tuple[FloatArray, FloatArray]:
    """Strains and internal variables drawn uniformly from the envelope."""
    generator = np.random.default_rng(0)
    boxes = (manifest.envelope.strain, manifest.envelope.statev)
    drawn = (box[:, 0] + np.ptp(box, axis=1) * generator.random((count, len(box))) for box in boxes)
    strain, statev = drawn
    return strain, within_bounds(manifest.variables, statev)


def require_equilibrium(kernel: Kernel, manifest: Manifest) -> None:
    """Compare the declared initial state with the law, where a simulation will start.

    Raises:
        ExportedModelError: If the law has another stress or energy there, or is not at rest.
    """
    errors = initial_state_errors(kernel, manifest, typical_states(manifest))
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= EQUILIBRIUM_TOLERANCE:
        raise ExportedModelError(
            f"{manifest.directory}: the initial state that the manifest declares must be an "
            f"equilibrium of the law; the {worst} there is {errors[worst]:.1e} off, in units of "
            f"its typical value inside the envelope (allowed: {EQUILIBRIUM_TOLERANCE:.0e}). "
            "Restore the manifest, or export the model again."
        )
