"""The kernel's own exp, softplus, sigmoid and tanh against the 80-bit ones of the C library."""

from __future__ import annotations

import subprocess

import cffi
import numpy as np
import pytest

from ibvonn_fem.files.c_compiler import FAST_FLAGS, find_compiler
from ibvonn_fem.kernels.compiler import source_directory

PROGRAM = """
#include "law_functions.h"
void evaluate(const double *x, long n, double *out)
{
    for (long i = 0; i < n; i++) {
        vec s, c;
        const vec v = splat(x[i]), e = exponential(v), t = tangent_hyperbolic(v);
        const vec p = softplus(v, &s, &c);
        out[5 * i] = LANE(e, 0);
        out[5 * i + 1] = LANE(p, LAW_LANES - 1);
        out[5 * i + 2] = LANE(s, 0);
        out[5 * i + 3] = LANE(c, LAW_LANES - 1);
        out[5 * i + 4] = LANE(t, 0);
    }
}
"""
BUILDS = {"fast": FAST_FLAGS, "plain": ("-O2",), "scalar": ("-O1", "-std=c99", "-DLAW_LANES=1")}


@pytest.fixture(scope="module", params=BUILDS)
def evaluate(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    (folder / "program.c").write_text(PROGRAM)
    library = folder / "program.so"
    subprocess.run(
        [find_compiler(), *BUILDS[request.param], "-fPIC", "-shared", f"-I{source_directory()}",
         "-o", library, folder / "program.c", "-lm"],
        check=True,
    )  # fmt: skip
    ffi = cffi.FFI()
    ffi.cdef("void evaluate(const double *x, long n, double *out);")
    functions = ffi.dlopen(str(library))

    def call(x):
        x, out = np.ascontiguousarray(x, dtype=np.float64), np.empty((len(x), 5))
        functions.evaluate(ffi.from_buffer("double[]", x), len(x), ffi.from_buffer("double[]", out))
        return out.T

    return call


def exact(x):
    x = np.asarray(x).astype(np.longdouble)
    softplus = np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))
    return np.exp(x), softplus, 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x)), np.tanh(x)


def test_functions_are_right_to_a_few_units_in_the_last_place(evaluate):
    """Relatively; tanh to 1e-16 absolutely where AVX-512 tables round 2^(k/16)."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.uniform(-700, 700, 20000),
            rng.normal(size=40000),
            rng.normal(size=20000) * 1e-8,
            [0.0],
        ]
    )
    *relative, tanh = zip(evaluate(x), exact(x), strict=True)
    for value, right in relative:
        assert np.max(np.abs(value - right) / right) < 4 * np.finfo(float).eps
    assert np.max(np.abs(tanh[0] - tanh[1])) < 2 * np.finfo(float).eps


def test_functions_saturate_and_pass_nan_on(evaluate):
    exponential, softplus, sigmoid, complement, tanh = evaluate([1e300, -1e300, np.nan])
    assert exponential[0] > 8e307
    assert 0 < exponential[1] < 1e-300
    assert softplus[0] == 1e300
    assert softplus[1] < 1e-300
    assert (sigmoid[0], complement[1]) == (1.0, 1.0)
    assert (tanh[0], tanh[1]) == (1.0, -1.0)
    for values in (exponential, softplus, sigmoid, complement, tanh):
        assert np.isnan(values[2])
