"""Checks of ``ibvonn-fem check``: files and reference values, tangent and dissipation.

Files and reference values show that a directory is unaltered and that a kernel gives the numbers of
the training side; the other checks are properties of every law of this kind: a consistent tangent,
symmetric but for populations of three states or more, fractions within their bounds, and a
dissipation that is never negative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import ExportedModelError, KernelUnavailableError
from ..files.state_bounds import missing, within_bounds
from ..kernels.base import FloatArray, Kernel
from ..kernels.onnx import Graph
from .exported_model import KernelName, load_kernel
from .manifest import Manifest, read_manifest
from .runtime_agreement import (
    EQUILIBRIUM_TOLERANCE,
    compare,
    graph_arrays,
    initial_state_errors,
    kernel_differences,
)

TANGENT_TOLERANCE = 1e-7
"""Allowed difference between tangent and central differences, relative to the largest tangent."""

SYMMETRY_TOLERANCE = 1e-12
"""Allowed asymmetry of the tangent, relative to its largest entry."""

SAMPLES = 512
"""Random points of the envelope at which properties are tested."""


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: Name of the check.
        passed: Whether it passed.
        value: Measured value (NaN if the check has none).
        bound: Largest value that passes (NaN if the check has none).
        detail: Explanation in words.
    """

    name: str
    passed: bool
    value: float = float("nan")
    bound: float = float("nan")
    detail: str = ""

    def as_dict(self) -> dict[str, object]:
        """The check for JSON, with null for NaN."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def check_model(
    directory: str | Path, kernels: Sequence[KernelName] = ("c", "onnx")
) -> list[Check]:
    """Check an exported directory with every kernel that runs here.

    Args:
        directory: An exported model, or the name of a carried law.
        kernels: Kernels to try; one that cannot run here is reported and not counted as a failure,
            unless none can.
    """
    checks: list[Check] = []
    try:
        manifest = read_manifest(directory)
    except ExportedModelError as error:
        return [Check("manifest", passed=False, detail=str(error))]
    checks.append(
        Check(
            "manifest",
            passed=True,
            detail=f"{manifest.name}: format {manifest.raw['format']}, schema holds, "
            f"{manifest.strain_size} strain, {manifest.internal_size} internal",
        )
    )
    checks.append(_guard("files", lambda: _check_files(manifest)))
    if not checks[-1].passed:
        return checks
    running = 0
    for name in kernels:
        try:
            kernel = load_kernel(manifest, name)
        except KernelUnavailableError as error:
            checks.append(Check(f"kernel {name}", passed=True, detail=f"not available: {error}"))
            continue
        except ExportedModelError as error:
            checks.append(Check(f"kernel {name}", passed=False, detail=str(error)))
            continue
        running += 1
        checks.extend(_check_kernel(kernel, manifest))
    if running == 0:
        checks.append(Check("kernels", passed=False, detail="no kernel can run this model here"))
    checks.extend(_check_other_graphs(manifest))
    return checks


def _guard(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ExportedModelError, KernelUnavailableError) as error:
        return Check(name, passed=False, detail=str(error))


def _check_files(manifest: Manifest) -> Check:
    bare = manifest.verify_files()
    note = f"; no hash of the manifest in {', '.join(bare)} (older export)" if bare else ""
    return Check("files", passed=True, detail=f"sha256 of {len(manifest.sha256)} files{note}")


def _check_kernel(kernel: Kernel, manifest: Manifest) -> list[Check]:
    label = kernel.codename
    samples = sample_steps(manifest)
    return [
        _guard(f"{label}: reference values", lambda: _check_reference(kernel, manifest)),
        _check_initial_state(kernel, manifest),
        *_check_properties(kernel, manifest, *samples),
    ]


def _check_reference(kernel: Kernel, manifest: Manifest) -> Check:
    differences = kernel_differences(kernel, manifest.read_arrays("reference.npz"), manifest)
    worst = max(differences, key=lambda difference: difference.excess)
    return Check(
        f"{kernel.codename}: reference values",
        passed=worst.excess <= 1.0,
        value=worst.excess * manifest.reference_tolerance,
        bound=manifest.reference_tolerance,
        detail=f"worst is {worst.graph}.{worst.output}",
    )


def _check_initial_state(kernel: Kernel, manifest: Manifest) -> Check:
    """Compare the declared initial state with the law, whose force and rate must vanish there."""
    strain, _, statev, _ = sample_steps(manifest)
    errors = initial_state_errors(kernel, manifest, (strain, statev))
    worst = max(errors, key=lambda name: errors[name])
    error, bound = errors[worst], EQUILIBRIUM_TOLERANCE
    detail = f"worst is {worst}, in units of its typical value"
    return Check(f"{kernel.codename}: declared initial state", error <= bound, error, bound, detail)


def sample_steps(manifest: Manifest) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Random steps inside the envelope: strain, strain_old, statev, dt (over four decades)."""
    generator = np.random.default_rng(20250123)
    envelope = manifest.envelope

    def inside(box: FloatArray) -> FloatArray:
        low, high = box[:, 0], box[:, 1]
        return low + (high - low) * generator.random((SAMPLES, len(box)))

    strain_old, statev = inside(envelope.strain), inside(envelope.statev)
    statev = within_bounds(manifest.variables, statev)
    strain = strain_old + 0.1 * (inside(envelope.strain) - strain_old)
    longest = envelope.time_step[1] if envelope.time_step[1] > 0.0 else 1.0
    dt = longest * 10.0 ** generator.uniform(-2.0, 2.0, SAMPLES)
    dt[:8] = 0.0  # elastic steps
    return strain, strain_old, statev, dt


def _check_properties(
    kernel: Kernel,
    manifest: Manifest,
    strain: FloatArray,
    strain_old: FloatArray,
    statev: FloatArray,
    dt: FloatArray,
) -> list[Check]:
    label, tolerance = kernel.codename, manifest.residual_tolerance
    update = kernel.update(strain, strain_old, statev, dt)
    converged = update.residual <= tolerance
    failed = int(np.count_nonzero(~converged))
    checks = [
        Check(
            f"{label}: convergence",
            passed=failed == 0,
            value=float(failed),
            bound=0.0,
            detail=f"{SAMPLES} random steps inside the training range",
        )
    ]
    if failed == len(converged):
        return checks
    difference = _tangent_by_differences(kernel, manifest, strain, strain_old, statev, dt)
    largest = float(np.max(np.abs(update.tangent[converged])))
    error = float(np.max(np.abs(difference - update.tangent)[converged])) / largest
    checks.append(
        Check(
            f"{label}: tangent",
            passed=error <= TANGENT_TOLERANCE,
            value=error,
            bound=TANGENT_TOLERANCE,
            detail="against fourth-order differences of the stress",
        )
    )
    if manifest.symmetric:
        asymmetry = np.abs(update.tangent - update.tangent.swapaxes(1, 2))[converged]
        value, bound = float(np.max(asymmetry)) / largest, SYMMETRY_TOLERANCE
        checks.append(Check(f"{label}: symmetric tangent", value <= bound, value, bound))
    checks += _check_bounds(label, manifest, update.statev_new[converged])
    dissipation = update.dissipation[converged]
    scale = max(float(np.max(np.abs(update.energy[converged]))), np.finfo(np.float64).tiny)
    value = max(0.0, -float(np.min(dissipation))) / scale
    checks.append(
        Check(
            f"{label}: dissipation",
            passed=value <= 1e-12,
            value=value,
            bound=1e-12,
            detail="most negative value over the largest energy",
        )
    )
    return checks


def _check_bounds(label: str, manifest: Manifest, statev: FloatArray) -> list[Check]:
    """Whether fractions stay fractions; nothing where the law has none."""
    if not np.isfinite(manifest.bounds).any():
        return []
    value, bound = float(np.max(missing(manifest.variables, statev), initial=0.0)), 1e-14
    detail = "largest negative fraction of a population"
    return [Check(f"{label}: bounds", value <= bound, value, bound, detail)]


def _tangent_by_differences(
    kernel: Kernel,
    manifest: Manifest,
    strain: FloatArray,
    strain_old: FloatArray,
    statev: FloatArray,
    dt: FloatArray,
) -> FloatArray:
    """dσ/dε by central differences of fourth order; error near 1e-10 at this step."""
    box = manifest.envelope.strain
    result = np.empty((len(strain), manifest.strain_size, manifest.strain_size))
    for component in range(manifest.strain_size):
        step = np.zeros(manifest.strain_size)
        step[component] = 5e-4 * max(0.5 * float(box[component, 1] - box[component, 0]), 1e-12)
        stresses = [
            kernel.update(strain + factor * step, strain_old, statev, dt).stress.copy()
            for factor in (-2.0, -1.0, 1.0, 2.0)
        ]
        slope = (stresses[0] - 8.0 * stresses[1] + 8.0 * stresses[2] - stresses[3]) / 12.0
        result[:, :, component] = slope / step[component]
    return result


def _check_other_graphs(manifest: Manifest) -> list[Check]:
    """Encoder and decoder against their reference values, where the model has them."""
    names = [
        name.removesuffix(".onnx")
        for name in sorted(manifest.sha256)
        if name.endswith(".onnx") and name not in ("constitutive.onnx", "rates.onnx")
    ]
    return [_guard(name, partial(_check_graph, name, manifest)) for name in names]


def _check_graph(name: str, manifest: Manifest) -> Check:
    reference = manifest.read_arrays("reference.npz")
    inputs, outputs = graph_arrays(reference, name, "in"), graph_arrays(reference, name, "out")
    if not outputs:
        return Check(name, passed=False, detail="reference.npz holds no values of it")
    graph = Graph(manifest.read(f"{name}.onnx"), f"{manifest.directory}/{name}.onnx")
    values = graph.run(tuple(outputs), inputs)
    tolerance = manifest.reference_tolerance
    error, worst = 0.0, ""
    for output, value in zip(outputs, values, strict=True):
        difference, _ = compare(value, outputs[output], tolerance)
        if difference >= error:
            error, worst = difference, output
    return Check(name, error <= tolerance, error, tolerance, f"worst is {worst}")
