"""The update through ``law.c``: compiled once per machine, called through cffi without copies.

Weights are data, so one compiled library serves every law with ``parameters.npz``. The calls
release the interpreter's lock and share nothing, so threads may use one kernel at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import KernelUnavailableError
from .base import FloatArray, LocalUpdate, Rates, UpdateDerivatives
from .compiler import compiled_library
from .packing import PackedLaw, pack

_DECLARATIONS = """
int64_t ibvonn_weight_count(const int64_t *sizes, int64_t n_sizes);
int64_t ibvonn_workspace(const int64_t *sizes, int64_t n_sizes);
int ibvonn_update(const int64_t *sizes, int64_t n_sizes, const double *weights, int64_t n_weights,
                  double *workspace, int64_t n_workspace, int64_t n_points, const double *strain,
                  const double *strain_old, const double *statev, const double *dt,
                  int64_t dt_stride, const double *guess, double *stress, double *statev_new,
                  double *tangent, double *energy, double *dissipation, double *residual,
                  double *validity);
int ibvonn_rates(const int64_t *sizes, int64_t n_sizes, const double *weights, int64_t n_weights,
                 double *workspace, int64_t n_workspace, int64_t n_points, const double *strain,
                 const double *statev, double *energy, double *stress, double *driving_force,
                 double *rate);
int ibvonn_update_directions(
    const int64_t *sizes, int64_t n_sizes, const double *weights, int64_t n_weights,
    double *workspace, int64_t n_workspace, int64_t n_points, int64_t n_measure,
    int64_t n_directions, const double *projection, const double *direction_weight,
    double strain_offset, double stress_offset, const double *measure, const double *measure_old,
    const double *statev, const double *dt, int64_t dt_stride, const double *guess,
    double *stress, double *statev_new, double *tangent, double *energy, double *dissipation,
    double *residual, double *validity);
int64_t ibvonn_derivative_workspace(const int64_t *sizes, int64_t n_sizes);
int ibvonn_update_derivatives(
    const int64_t *sizes, int64_t n_sizes, const double *weights, int64_t n_weights,
    double *workspace, int64_t n_workspace, int64_t n_points, const double *strain,
    const double *strain_old, const double *statev, const double *statev_new, const double *dt,
    int64_t dt_stride, double *stress, double *statev_out);
"""

_MESSAGES = {
    -1: "a required array is missing",
    -2: "the sizes are not those of a law (or a solid) that law.c can hold",
    -3: "the number of weights does not match the sizes",
    -4: "the number of points or the stride of dt is not allowed",
    -5: "the workspace is too small",
    -6: "the compiler's flags break the arithmetic; leave out -ffast-math and what it stands for",
}


class CLibrary:
    """The compiled functions of ``law.c``.

    Args:
        path: Shared library.
    """

    def __init__(self, path: Path) -> None:
        try:
            import cffi
        except ImportError as error:
            raise KernelUnavailableError(
                f"c kernel: needs the package cffi, which cannot be imported ({error}); install "
                "it, or use kernel='onnx'."
            ) from error
        self.path = path
        self.ffi: Any = cffi.FFI()
        self.ffi.cdef(_DECLARATIONS)
        try:
            self.functions: Any = self.ffi.dlopen(str(path))
        except OSError as error:
            raise KernelUnavailableError(
                f"{path}: the compiled kernel cannot be loaded ({error}). Delete it, or use "
                "kernel='onnx'."
            ) from error

    def pointer(self, array: NDArray[Any]) -> Any:
        """Address of a C-contiguous float64 or int64 array, without a copy."""
        kind = "double[]" if array.dtype == np.float64 else "int64_t[]"
        return self.ffi.from_buffer(kind, array)

    @staticmethod
    def check(code: int, context: str) -> None:
        """Raise :class:`ValueError` on a negative code of ``law.c``."""
        if code < 0:
            raise ValueError(f"{context}: {_MESSAGES.get(code, f'law.c returned {code}')}.")


@cache
def load_library(flags: tuple[str, ...] | None = None) -> CLibrary:
    """The compiled kernel of this process, for the given flags (default: the fastest)."""
    return CLibrary(compiled_library(flags))


class CLibraryKernel:
    """Kernel that evaluates ``parameters.npz`` in C.

    Args:
        arrays: Content of ``parameters.npz``.
        flags: Optimisation flags; by default the fastest that the compiler knows.
        name: The model, used in messages.

    Raises:
        ExportedModelError: If the arrays do not describe a law.
        KernelUnavailableError: If the kernel cannot be compiled or loaded.
    """

    codename = "c"

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        flags: Sequence[str] | None = None,
        name: str = "parameters.npz",
    ) -> None:
        self.law: PackedLaw = pack(arrays, name)
        self.strain_size = self.law.strain_size
        self.internal_size = self.law.internal_size
        self._library = load_library(None if flags is None else tuple(flags))
        self._workspace_size = self._size_of("ibvonn_workspace", name)

    def _size_of(self, function: str, name: str = "c kernel") -> int:
        """Number of doubles in a workspace."""
        sizes = self.law.sizes
        size = getattr(self._library.functions, function)(self._library.pointer(sizes), len(sizes))
        CLibrary.check(size, name)
        return int(size)

    def _call(self, function: str, *arguments: Any, size: int | None = None) -> None:
        """Call an entry point with a workspace of its own, so that threads may share a kernel."""
        workspace = np.empty(self._workspace_size if size is None else size)
        leading: list[Any] = []
        for array in (self.law.sizes, self.law.weights, workspace):
            leading += [self._library.pointer(array), array.size]
        converted = [
            self._library.pointer(argument) if isinstance(argument, np.ndarray) else argument
            for argument in arguments
        ]
        CLibrary.check(getattr(self._library.functions, function)(*leading, *converted), "c kernel")

    def _increment(self, dt: float | FloatArray, n_points: int) -> tuple[FloatArray, int]:
        """Δt as an array, and its stride: 0 for one number, 1 for one number per point."""
        increment = np.asarray(dt, dtype=np.float64)
        if increment.ndim == 0:
            return increment, 0
        if increment.shape != (n_points,):
            raise ValueError(
                f"c kernel: dt must be one number or have shape ({n_points},); "
                f"found {increment.shape}."
            )
        return np.ascontiguousarray(increment), 1

    def update(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        dt: float | FloatArray,
        *,
        guess: FloatArray | None = None,
        out: LocalUpdate | None = None,
    ) -> LocalUpdate:
        """Take one backward Euler step; see :meth:`ibvonn_fem.kernels.base.Kernel.update`."""
        n, ne, na = len(strain), self.strain_size, self.internal_size
        result = LocalUpdate.empty(n, ne, na) if out is None else out
        self._call(
            "ibvonn_update",
            n,
            _array(strain, (n, ne), "strain"),
            _array(strain_old, (n, ne), "strain_old"),
            _array(statev, (n, na), "statev"),
            *self._increment(dt, n),
            self._library.ffi.NULL if guess is None else _array(guess, (n, na), "guess"),
            *_outputs(result, n, ne, n * na),
        )
        return result

    def update_directions(
        self,
        projection: FloatArray,
        weight: FloatArray,
        measure: FloatArray,
        measure_old: FloatArray,
        statev: FloatArray,
        dt: float | FloatArray,
        *,
        strain_offset: float = 0.0,
        stress_offset: float = 0.0,
        guess: FloatArray | None = None,
        out: LocalUpdate | None = None,
    ) -> LocalUpdate:
        """Step a solid whose fibres in many directions each follow this law of one strain.

        With p_k the projection on direction k: e_k = ε₀ + p_k·E, S = Σ_k w_k (σ_k − σ₀) p_k and
        dS/dE = Σ_k w_k C_k p_k p_kᵀ; energy (less σ₀ p_k·E) and dissipation are summed alike,
        residual and validity are the largest of a point.

        Args:
            projection: p_k, shape ``(directions, size)``.
            weight: w_k, shape ``(directions,)``.
            measure: E at the end of the step, shape ``(n, size)``.
            measure_old: E at its start.
            statev: α_n of every direction, shape ``(n, directions, n_α)``.
            dt: Δt ≥ 0, one number or shape ``(n,)`` [time].
            strain_offset: ε₀, the strain of the law at rest.
            stress_offset: σ₀, its stress there.
            guess: First iterate for α⁺, of the shape of ``statev``.
            out: Arrays to write into.

        Returns:
            The update with ``stress`` (n, size), ``statev_new`` (n, directions, n_α) and
            ``tangent`` (n, size, size).
        """
        (directions, size), n, na = projection.shape, len(measure), self.internal_size
        shape = (n, directions, na)
        if out is None:
            out = replace(LocalUpdate.empty(n, size, 0), statev_new=np.empty(shape))
        self._call(
            "ibvonn_update_directions",
            n,
            size,
            directions,
            _array(projection, (directions, size), "projection"),
            _array(weight, (directions,), "weight"),
            float(strain_offset),
            float(stress_offset),
            _array(measure, (n, size), "measure"),
            _array(measure_old, (n, size), "measure_old"),
            _array(statev, shape, "statev"),
            *self._increment(dt, n),
            self._library.ffi.NULL if guess is None else _array(guess, shape, "guess"),
            *_outputs(out, n, size, n * directions * na),
        )
        return out

    def derivatives(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        statev_new: FloatArray,
        dt: float | FloatArray,
    ) -> UpdateDerivatives:
        """Derivatives of a step; see :meth:`.base.DifferentiableKernel.derivatives`."""
        n, ne, na = len(strain), self.strain_size, self.internal_size
        result = UpdateDerivatives.empty(n, ne, na)
        self._call(
            "ibvonn_update_derivatives",
            n,
            _array(strain, (n, ne), "strain"),
            _array(strain_old, (n, ne), "strain_old"),
            _array(statev, (n, na), "statev"),
            _array(statev_new, (n, na), "statev_new"),
            *self._increment(dt, n),
            *(result.stress, result.statev_new),
            size=self._size_of("ibvonn_derivative_workspace"),
        )
        return result

    def rates(self, strain: FloatArray, statev: FloatArray) -> Rates:
        """Evaluate the law in continuous time."""
        n, ne, na = len(strain), self.strain_size, self.internal_size
        result = Rates(np.empty(n), np.empty((n, ne)), np.empty((n, na)), np.empty((n, na)))
        self._call(
            "ibvonn_rates",
            n,
            _array(strain, (n, ne), "strain"),
            _array(statev, (n, na), "statev"),
            *(result.energy, result.stress, result.driving_force, result.rate),
        )
        return result


def _array(values: FloatArray, shape: tuple[int, ...], name: str) -> FloatArray:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"c kernel: {name} must have shape {shape}; found {array.shape}.")
    return array


def _outputs(result: LocalUpdate, n: int, size: int, states: int) -> list[FloatArray]:
    """Arrays of ``result`` in the order of the C arguments, which the kernel writes into."""
    sizes = {
        "stress": n * size,
        "statev_new": states,
        "tangent": n * size * size,
        "energy": n,
        "dissipation": n,
        "residual": n,
        "validity": n,
    }
    arrays: list[FloatArray] = []
    for name, count in sizes.items():
        array: FloatArray = getattr(result, name)
        if array.size != count or array.dtype != np.float64 or not array.flags.c_contiguous:
            raise ValueError(
                f"c kernel: out.{name} must be a C-contiguous float64 array of {count} numbers; "
                f"found {array.dtype} of shape {array.shape}."
            )
        arrays.append(array)
    return arrays
