"""Derivatives of a step in the C file: those of the kernel, on request alone."""

from __future__ import annotations

import subprocess

import cffi
import law_reference as reference
import numpy as np
import pytest
from model_directory import EXPORTED, write_model

from ibvonn_fem import load_model
from ibvonn_fem.cli import main
from ibvonn_fem.emit_c.emit import derivative_vectors, emit_c
from ibvonn_fem.files.c_compiler import find_compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel, load_library
from ibvonn_fem.kernels.packing import pack
from ibvonn_train.closed_form.random_law import untrained_populations

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Werror")
DECLARATION = """
int NAME_update(int64_t, const double *, const double *, const double *, const double *, double *,
                double *, double *, double *, double *, double *, double *);
int NAME_derivatives(int64_t, const double *, const double *, const double *, const double *,
                     const double *, double *, double *);
"""


def build(folder, name, *flags):
    library = folder / "libconstitutive.so"
    subprocess.run(
        [find_compiler(), "-O1", *STRICT, *flags, "-include", folder / "constitutive.h",
         "-fPIC", "-shared", "-o", library, folder / "constitutive.c", "-lm"],
        check=True,
    )  # fmt: skip
    ffi = cffi.FFI()
    ffi.cdef(DECLARATION.replace("NAME", name))
    return ffi, ffi.dlopen(str(library))


def compare(ffi, function, kernel, scale=1.0):
    """Largest difference of the C file from the kernel, relative to the largest derivative."""
    rng = np.random.default_rng(0)
    n, ne, na = 11, kernel.strain_size, kernel.internal_size
    inputs = [scale * rng.uniform(-1.0, 1.0, (n, size)) for size in (ne, ne, na)]
    inputs[2] = np.abs(inputs[2]) * 0.1
    inputs.append(rng.uniform(0.01, 1.0, n))
    new = kernel.update(*inputs).statev_new
    expected = kernel.derivatives(*inputs[:3], new, inputs[3])
    outputs = [np.full(values.shape, np.nan) for values in (expected.stress, expected.statev_new)]
    arrays = [*inputs[:3], new, inputs[3], *outputs]
    assert function(n, *(ffi.from_buffer("double[]", array) for array in arrays)) == 0
    assert function(-1, *(ffi.from_buffer("double[]", array) for array in arrays)) == -4
    pairs = zip(outputs, (expected.stress, expected.statev_new), strict=True)
    return max(np.abs(value - right).max() / np.abs(right).max() for value, right in pairs)


@pytest.mark.parametrize("flags", [(), ("-DLAW_LANES=1",)], ids=["vectors", "scalar"])
def test_the_file_has_the_derivatives_of_the_kernel(tmp_path, flags):
    arrays = reference.random_parameters(2, 3, seed=5, width=8)
    model = write_model(tmp_path / "law", arrays, strain=[0.0, 0.0], stress=[0.0, 0.0])
    emit_c(model, tmp_path, derivatives=True)
    ffi, functions = build(tmp_path, "law", *flags)
    kernel = CLibraryKernel(arrays)
    assert compare(ffi, functions.law_derivatives, kernel) < 1e-12


def test_the_file_of_populations_has_them_too(tmp_path):
    emit_c(EXPORTED / "lattice", tmp_path, derivatives=True)
    ffi, functions = build(tmp_path, "lattice")
    kernel = load_model(EXPORTED / "lattice", kernel="c", verify=False).kernel
    assert compare(ffi, functions.lattice_derivatives, kernel, scale=0.01) < 1e-12


def test_they_are_written_on_request_alone(tmp_path):
    main(["emit-c", str(EXPORTED / "trap"), "--output", str(tmp_path / "plain")])
    main(["emit-c", str(EXPORTED / "trap"), "--output", str(tmp_path / "more"), "--derivatives"])
    plain, more = ((tmp_path / f / "constitutive.c").read_text() for f in ("plain", "more"))
    assert "ibvonn_update_derivatives" not in plain
    assert "LAW_NAME(derivatives)" in more
    headers = [(tmp_path / f / "constitutive.h").read_text() for f in ("plain", "more")]
    assert ["trap_derivatives" in header for header in headers] == [False, True]


@pytest.mark.parametrize("sizes", [(1, 1), (6, 2), (3, 4)])
def test_workspace_is_what_the_kernel_lays_out(sizes):
    for layers, context in ((0, 1), (3, 3)):
        check_workspace(
            pack(
                reference.random_parameters(
                    *sizes, energy_layers=layers, context_layers=context, width=7, ridge_count=3
                )
            )
        )


@pytest.mark.parametrize("case", [(1, (2,), 0), (2, (2,), 1), (2, (5, 2), 0), (3, (4, 3, 2), 2)])
def test_workspace_of_populations_is_what_the_kernel_lays_out(case):
    for hidden in ((), (40, 3)):
        check_workspace(pack(untrained_populations(*case, hidden=hidden).arrays()))


def check_workspace(law):
    library = load_library(("-O2", "-DLAW_LANES=4"))
    function = library.functions.ibvonn_derivative_workspace
    assert function(library.pointer(law.sizes), len(law.sizes)) == 4 * derivative_vectors(law)
