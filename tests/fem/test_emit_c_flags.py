"""The C file refuses compiler flags that break its arithmetic."""

from __future__ import annotations

import subprocess

import cffi
import numpy as np
import pytest
from model_directory import EXPORTED

from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.files.c_compiler import find_compiler


def build_with(flags, source, library, *undefined):
    """Compile a library; ``undefined``: macros by which a compiler announces its flags."""
    return subprocess.run(
        [find_compiler(), "-O2", *flags, *(f"-U{name}" for name in undefined), "-fPIC", "-shared",
         "-o", library, source, "-lm"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


ANNOUNCED = ("__FAST_MATH__", "__FINITE_MATH_ONLY__", "__ASSOCIATIVE_MATH__")


REORDERED = ("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math")


@pytest.mark.export
@pytest.mark.parametrize(
    ("flags", "compiles"),
    [(("-ffast-math",), False), (("-Ofast",), False), (("-ffinite-math-only",), False),
     (("-fno-math-errno", "-fno-trapping-math"), True), (("-freciprocal-math",), True)],
)  # fmt: skip
def test_flags_that_break_the_arithmetic_do_not_compile(tmp_path, flags, compiles):
    emit_c(EXPORTED / "exact_sls", tmp_path)
    run = build_with(flags, tmp_path / "constitutive.c", tmp_path / "law.so")
    assert (run.returncode == 0) == compiles
    assert compiles or "compile without -ffast-math" in run.stderr


@pytest.mark.export
@pytest.mark.parametrize(
    ("flags", "code"),
    [((), 0), (REORDERED, -6), pytest.param(("-freciprocal-math",), 0, marks=pytest.mark.slow),
     pytest.param(("-Ofast",), -6, marks=pytest.mark.slow),
     pytest.param(("-funsafe-math-optimizations",), -6, marks=pytest.mark.slow)],
)  # fmt: skip
def test_flags_that_a_compiler_keeps_to_itself_are_found_at_run_time(tmp_path, flags, code):
    """Without the check: 2.5 to 10 % off, with a residual of 1e-16 and code 0."""
    emit_c(EXPORTED / "exact_sls", tmp_path)
    library = tmp_path / "law.so"
    run = build_with(flags, tmp_path / "constitutive.c", library, *ANNOUNCED)
    assert run.returncode == 0, run.stderr
    ffi = cffi.FFI()
    ffi.cdef(
        "int exact_sls_update_point(const double *, const double *, const double *, double, "
        "double *, double *, double *, double *, double *, double *, double *);"
    )
    strain, out = np.array([0.01, 0, 0, 0, 0, 0]), np.zeros(60)
    start = ffi.from_buffer("double[]", out)
    nothing = ffi.from_buffer("double[]", np.zeros(6))
    value = ffi.dlopen(str(library)).exact_sls_update_point(
        ffi.from_buffer("double[]", strain), nothing, nothing, 0.3, start, start + 6,
        *(start + 12 + i for i in (0, 40, 41, 42, 43)),
    )  # fmt: skip
    assert value == code
    K, G = 1 + 0.5 / (1 + 0.3 / 2), 0.5 + 0.5 / (1 + 0.3)
    right = 0.01 * (K + 4.0 / 3.0 * G) if code == 0 else 0.0
    assert out[0] == pytest.approx(right, rel=1e-12)
