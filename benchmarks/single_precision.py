"""First iterates of Newton's method in float32, for the kernel in float64 (``float32.c``)."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from ibvonn_fem.kernels.compiler import FAST_FLAGS, LIBRARY_FLAGS, find_compiler, source_directory
from ibvonn_fem.kernels.packing import PackedLaw

_DECLARATIONS = """
int64_t float_workspace(const int64_t *sizes, int64_t n_sizes);
int float_guess(const int64_t *sizes, int64_t n_sizes, const float *weights, float *workspace,
                int64_t n_points, const double *strain, const double *strain_old,
                const double *statev, double dt, double *guess);
"""


class FloatNewton:
    """Newton's method in float32 for a law of one strain and one or two internal variables.

    Raises:
        subprocess.CalledProcessError: If the processor has no AVX-512.
    """

    def __init__(self, law: PackedLaw) -> None:
        self.ffi = cffi.FFI()
        self.ffi.cdef(_DECLARATIONS)
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "float32.so"
            source = Path(__file__).with_name("float32.c")
            subprocess.run(
                [find_compiler(), *FAST_FLAGS, *LIBRARY_FLAGS, "-fsingle-precision-constant",
                 f"-I{source_directory()}", "-o", library, source, "-lm"],
                check=True,
            )  # fmt: skip
            self.functions: Any = self.ffi.dlopen(str(library))
        self.sizes = law.sizes
        self.weights = law.weights.astype(np.float32)
        count = self.functions.float_workspace(self._at("int64_t", self.sizes), len(self.sizes))
        room = np.empty(count + 16, dtype=np.float32)
        start = -room.ctypes.data % 64 // 4
        self.workspace = room[start : start + count]

    def guess(
        self,
        strain: np.ndarray,
        strain_old: np.ndarray,
        statev: np.ndarray,
        dt: float,
        out: np.ndarray,
    ) -> np.ndarray:
        """Write the new state, good to some 1e-6, into ``out``; points first, C order."""
        doubles = [self._at("double", array) for array in (strain, strain_old, statev)]
        code = self.functions.float_guess(
            self._at("int64_t", self.sizes), len(self.sizes), self._at("float", self.weights),
            self._at("float", self.workspace), strain.size, *doubles, dt, self._at("double", out),
        )  # fmt: skip
        assert code == 0
        return out

    def _at(self, kind: str, array: np.ndarray) -> Any:
        return self.ffi.from_buffer(f"{kind}[]", array)
