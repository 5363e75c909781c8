"""An exported law as an object: loading, updates and rates.

Needs NumPy and one runtime (a C compiler or onnxruntime), not DOLFINx.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import EnvelopeError, EnvelopeWarning, ExportedModelError, KernelUnavailableError
from ..kernels.base import (
    DifferentiableKernel,
    FloatArray,
    Kernel,
    LocalUpdate,
    Rates,
    UpdateDerivatives,
)
from ..kernels.onnx import OnnxKernel
from ..warning import warn
from .fingerprint import digest
from .manifest import Manifest, read_manifest
from .point_reports import (
    RangeReport,
    check_inputs,
    check_points,
    check_states,
    find_excursions,
    find_failures,
    watch_time,
)
from .runtime_agreement import require_agreement, require_equilibrium

logger = logging.getLogger(__name__)

KernelName = Literal["auto", "c", "onnx"]

C_FAMILIES = ("convex_potentials", "populations")
"""The families of models whose formulas the C kernel knows."""


class ExportedModel:
    """A constitutive law read from an exported directory.

    Args:
        manifest: Description of the law.
        kernel: The runtime that evaluates the law.
        strict_range: Make leaving the training range an error instead of a warning.
    """

    def __init__(self, manifest: Manifest, kernel: Kernel, *, strict_range: bool = False) -> None:
        if (kernel.strain_size, kernel.internal_size) != (
            manifest.strain_size,
            manifest.internal_size,
        ):
            raise ExportedModelError(
                f"{manifest.directory}: the manifest declares {manifest.strain_size} strain "
                f"components and {manifest.internal_size} internal variables; the kernel "
                f"'{kernel.codename}' has {kernel.strain_size} and {kernel.internal_size}. "
                "Export the model again."
            )
        self.manifest = manifest
        self.kernel = kernel
        self.strict_range = strict_range

    def __repr__(self) -> str:
        return (
            f"ExportedModel({self.manifest.name!r}, strain_size={self.strain_size}, "
            f"internal_size={self.internal_size}, kernel={self.kernel.codename!r})"
        )

    @property
    def strain_size(self) -> int:
        """Number of strain components n_ε."""
        return self.manifest.strain_size

    @property
    def internal_size(self) -> int:
        """Number of internal variables n_α."""
        return self.manifest.internal_size

    def fingerprint(self) -> str:
        """Checksum of the law: equal if two models give the same numbers."""
        manifest = self.manifest
        return digest(
            manifest.sha256,
            manifest.family,
            (manifest.strain_components, manifest.internal_components),
            manifest.initial_state,
            manifest.envelope,
            manifest.residual_tolerance,
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the path of the directory; unpickling loads it and compares the fingerprint."""
        if not self.manifest.raw:  # made in Python, from no directory
            return super().__reduce_ex__(protocol)
        where = self.manifest.directory.resolve()
        return _load_again, (where, self.kernel.codename, self.strict_range, self.fingerprint())

    def initial_state(self, n_points: int = 1) -> FloatArray:
        """Internal variables of the declared equilibrium, shape ``(n_points, n_α)``."""
        return np.tile(self.manifest.initial_state.statev, (n_points, 1))

    def update(
        self,
        strain: object,
        strain_old: object,
        statev: object,
        dt: object,
        *,
        guess: FloatArray | None = None,
        relaxing: bool = False,
    ) -> LocalUpdate:
        """Take one backward Euler step at ``n`` independent points.

        Solves α⁺ − α_n − Δt ∂φ/∂g(−∂f/∂α(ε⁺, α⁺); ε_n, α_n) = 0, then σ = ∂f/∂ε and the
        consistent tangent dσ/dε.

        Args:
            strain: ε⁺, shape ``(n, n_ε)``.
            strain_old: ε_n, shape ``(n, n_ε)``.
            statev: α_n, shape ``(n, n_α)``.
            dt: Δt ≥ 0, one number or shape ``(n,)`` [time]; 0 is an instantaneous elastic step.
            guess: First iterate for α⁺, shape ``(n, n_α)``.
            relaxing: A step on the way to equilibrium: its length is not compared with those of the
                training.

        Returns:
            The converged update of every point.

        Raises:
            ValueError: If a shape does not fit, an input is not finite or no state, or Δt < 0.
            LocalSolveError: If a point did not converge.
            EnvelopeError: If a point is outside the training range and ``strict_range`` is set
                (else an :class:`EnvelopeWarning` is issued).
        """
        checked = check_inputs(strain, strain_old, statev, dt, self.manifest)
        result = self.kernel.update(*checked, guess=guess)
        tolerance = self.manifest.residual_tolerance
        failures = find_failures(result, checked[0], tolerance)
        if failures.failed:
            increments = np.broadcast_to(checked[3], (failures.total,))
            raise failures.error(tolerance, float(increments[failures.worst]))
        if not relaxing:
            watch_time(result, checked[0], checked[1], checked[3], self.manifest)
        before = checked[0] if relaxing else checked[1]
        step = 0.0 if relaxing else checked[3]
        self.report_range(find_excursions(result, checked[0], before, step, self.manifest))
        return result

    def derivatives(
        self, strain: object, strain_old: object, statev: object, dt: object
    ) -> UpdateDerivatives:
        """Derivatives of σ and α⁺ of one step by ε⁺, ε_n, α_n and Δt at ``n`` points.

        Args:
            strain: ε⁺, shape ``(n, n_ε)``.
            strain_old: ε_n, shape ``(n, n_ε)``.
            statev: α_n, shape ``(n, n_α)``.
            dt: Δt ≥ 0, one number or shape ``(n,)`` [time].

        Returns:
            The derivatives; see :class:`~ibvonn_fem.kernels.base.UpdateDerivatives`.

        Raises:
            ValueError: If a shape does not fit, an input is not finite or no state, or Δt < 0.
            LocalSolveError: If a point did not converge.
            KernelUnavailableError: If the kernel has no derivatives.
        """
        kernel = require_derivatives(self)
        new = self.update(strain, strain_old, statev, dt).statev_new
        checked = check_inputs(strain, strain_old, statev, dt, self.manifest)
        return kernel.derivatives(*checked[:3], new, checked[3])

    def rates(self, strain: object, statev: object) -> Rates:
        """Evaluate energy, stress, driving force and rate in continuous time.

        Args:
            strain: ε, shape ``(n, n_ε)``.
            statev: α, shape ``(n, n_α)``.

        Raises:
            ValueError: If a shape does not fit, an input is not finite, or a fraction is outside
                its bounds.
        """
        checked = check_points(strain, "strain", self.strain_size)
        state = check_states(statev, self.manifest, len(checked))
        return self.kernel.rates(checked, state)

    def report_range(self, report: RangeReport, comm: Any = None) -> None:
        """Warn of points outside the training range, or refuse them if ``strict_range`` is set.

        Args:
            report: The points.
            comm: Communicator of the ranks that give the same report; the warning is shown once.

        Raises:
            EnvelopeError: If there are such points and ``strict_range`` is set.
        """
        if report.outside == 0:
            return
        if self.strict_range:
            raise EnvelopeError(
                report.sentence(self.manifest.name)
                + " Stay inside, or leave out strict_range (--strict-range)."
            )
        warn(report.sentence(self.manifest.name), EnvelopeWarning, comm)


def require_derivatives(model: ExportedModel) -> DifferentiableKernel:
    """The kernel of a law, which must give derivatives of a step.

    Raises:
        KernelUnavailableError: If it does not.
    """
    kernel = model.kernel
    if not isinstance(kernel, DifferentiableKernel):
        raise KernelUnavailableError(
            f"{model.manifest.name}: derivatives of a step need the C kernel; found "
            f"'{kernel.codename}'. Load a model with parameters.npz by load_model(…, kernel='c')."
        )
    return kernel


def load_model(
    directory: str | Path,
    kernel: KernelName = "auto",
    *,
    strict_range: bool = False,
    verify: bool = True,
) -> ExportedModel:
    """Load an exported law. Runs no code from the directory.

    Args:
        directory: An exported model in format 2, or 1; or the name of a law that the package
            carries: ``"exact_sls"``, ``"exact_trap"``, ``"lattice"``, ``"trap"``. A folder of that
            name in the working folder comes first.
        kernel: ``"c"`` (compiled once per machine, fastest), ``"onnx"`` (onnxruntime, runs every
            model), or ``"auto"``: C where a compiler is found and the model allows it, else ONNX.
        strict_range: Refuse points outside the range of the training data instead of warning.
        verify: Check that every file is the one that the manifest lists, that graphs and weights
            belong to this manifest, that the kernel reproduces ``reference.npz``, and that the
            declared initial state is an equilibrium.

    Raises:
        ExportedModelError: If the directory is not a complete, unaltered model of a known format.
        KernelUnavailableError: If the requested kernel cannot run here.
        ValueError: If ``kernel`` is none of the names above.
    """
    if kernel not in ("auto", "c", "onnx"):
        raise ValueError(f"load_model: kernel must be 'auto', 'c' or 'onnx'; found {kernel!r}.")
    manifest = read_manifest(directory)
    if verify:
        manifest.verify_files()
    runtime = load_kernel(manifest, kernel, verify=verify)
    if verify:
        require_agreement(runtime, manifest)
        require_equilibrium(runtime, manifest)
    logger.debug("loaded %s with kernel %s", manifest.directory, runtime.codename)
    return ExportedModel(manifest, runtime, strict_range=strict_range)


def _load_again(
    directory: Path, kernel: KernelName, strict_range: bool, fingerprint: str
) -> ExportedModel:
    model = load_model(directory, kernel, strict_range=strict_range)
    if model.fingerprint() != fingerprint:
        raise ExportedModelError(
            f"{directory}: holds another model than the one that was pickled. Pickle it again, or "
            "restore the directory."
        )
    return model


def load_kernel(manifest: Manifest, name: KernelName, *, verify: bool = True) -> Kernel:
    """Build the kernel ``name`` of a model.

    ``"auto"`` falls back from C to ONNX: with a warning if a compiler would help, and without one
    if the C kernel cannot run the model at all.
    """
    if name == "onnx" or (name == "auto" and manifest.family not in C_FAMILIES):
        return _onnx_kernel(manifest, verify)
    try:
        return _c_kernel(manifest, verify)
    except KernelUnavailableError as error:
        if name == "c":
            raise
        logger.warning("%s: using the slower ONNX kernel: %s", manifest.name, error)
        return _onnx_kernel(manifest, verify)


def _onnx_kernel(manifest: Manifest, verify: bool) -> Kernel:
    return OnnxKernel(
        manifest.read("constitutive.onnx", verify=verify),
        manifest.read("rates.onnx", verify=verify),
        str(manifest.directory),
    )


def _c_kernel(manifest: Manifest, verify: bool) -> Kernel:
    if manifest.family not in C_FAMILIES:
        raise KernelUnavailableError(
            f"{manifest.directory}: the C kernel runs models of the families "
            f"{' and '.join(C_FAMILIES)}; this one is of family '{manifest.family}'. "
            "Use kernel='onnx'."
        )
    try:
        from ..kernels.c_library import CLibraryKernel
    except ImportError as error:
        raise KernelUnavailableError(
            f"the C kernel needs the package cffi, which cannot be imported ({error})."
        ) from error
    return CLibraryKernel(manifest.read_arrays("parameters.npz", verify=verify))
