"""The update through ``law.c``: compiled once per machine, called through cffi without copies.

Weights are data, so one compiled library serves every law with convex potentials. The calls release
the interpreter's lock and share nothing, so threads may use one kernel at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import KernelUnavailableError
from .base import FloatArray, LocalUpdate, Rates
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
"""

_MESSAGES = {
    -1: "a required array is missing",
    -2: "the sizes are not those of a law that law.c can hold",
    -3: "the number of weights does not match the sizes",
    -4: "the number of points or the stride of dt is not allowed",
    -5: "the workspace is too small",
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
    def check(code: int, place: str) -> None:
        """Raise :class:`ValueError` on a negative code of ``law.c``."""
        if code < 0:
            raise ValueError(f"{place}: {_MESSAGES.get(code, f'law.c returned {code}')}.")


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
        size = self._library.functions.ibvonn_workspace(
            self._library.pointer(self.law.sizes), len(self.law.sizes)
        )
        CLibrary.check(size, name)
        self._workspace_size = int(size)

    def _law(self) -> list[Any]:
        """Leading arguments of every entry point; the workspace belongs to this call alone."""
        workspace = np.empty(self._workspace_size)
        arguments: list[Any] = []
        for array in (self.law.sizes, self.law.weights, workspace):
            arguments += [self._library.pointer(array), array.size]
        return arguments

    def _input(self, values: FloatArray, columns: int, n_points: int, name: str) -> FloatArray:
        array = np.ascontiguousarray(values, dtype=np.float64)
        if array.shape != (n_points, columns):
            raise ValueError(
                f"c kernel: {name} must have shape ({n_points}, {columns}); found {array.shape}."
            )
        return array

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
        n_points, ne, n = len(strain), self.strain_size, self.internal_size
        increment = np.array(dt, dtype=np.float64, order="C", copy=None, ndmin=0)
        if increment.ndim > 0 and increment.shape != (n_points,):
            raise ValueError(
                f"c kernel: dt must be one number or have shape ({n_points},); "
                f"found {increment.shape}."
            )
        inputs = [
            self._input(strain, ne, n_points, "strain"),
            self._input(strain_old, ne, n_points, "strain_old"),
            self._input(statev, n, n_points, "statev"),
            increment,
        ]
        first = None if guess is None else self._input(guess, n, n_points, "guess")
        result = LocalUpdate.empty(n_points, ne, n) if out is None else out
        outputs = [
            result.stress,
            result.statev_new,
            result.tangent,
            result.energy,
            result.dissipation,
            result.residual,
            result.validity,
        ]
        sizes = [ne, n, ne * ne, 1, 1, 1, 1]
        for array, size in zip(outputs, sizes, strict=True):
            if array.size != n_points * size or array.dtype != np.float64:
                raise ValueError(
                    f"c kernel: out must hold float64 arrays for {n_points} points; found "
                    f"{array.dtype} of shape {array.shape}."
                )
        pointer = self._library.pointer
        code = self._library.functions.ibvonn_update(
            *self._law(),
            n_points,
            *(pointer(array) for array in inputs),
            int(increment.ndim > 0),
            self._library.ffi.NULL if first is None else pointer(first),
            *(pointer(array) for array in outputs),
        )
        CLibrary.check(code, "c kernel")
        return result

    def rates(self, strain: FloatArray, statev: FloatArray) -> Rates:
        """Evaluate the law in continuous time."""
        n_points, ne, n = len(strain), self.strain_size, self.internal_size
        inputs = [
            self._input(strain, ne, n_points, "strain"),
            self._input(statev, n, n_points, "statev"),
        ]
        result = Rates(
            np.empty(n_points),
            np.empty((n_points, ne)),
            np.empty((n_points, n)),
            np.empty((n_points, n)),
        )
        outputs = [result.energy, result.stress, result.driving_force, result.rate]
        pointer = self._library.pointer
        code = self._library.functions.ibvonn_rates(
            *self._law(), n_points, *(pointer(array) for array in [*inputs, *outputs])
        )
        CLibrary.check(code, "c kernel")
        return result
