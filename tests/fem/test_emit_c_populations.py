"""Laws with populations as one C file: the same points, with symmetric tangents and others."""

from __future__ import annotations

import subprocess

import cffi
import numpy as np
import pytest
from population_steps import population_steps
from untrained_description import untrained_description

from ibvonn_fem.emit_c.emit import emit_c, workspace_vectors
from ibvonn_fem.files.c_compiler import find_compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel, load_library
from ibvonn_fem.kernels.packing import pack
from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import export_law
from ibvonn_train.export.folding import with_zero_energy
from ibvonn_train.export.runtimes.agreement import store, verify_all

pytestmark = pytest.mark.export

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Werror")
DECLARATION = f"int NAME_update(int64_t, {', '.join(4 * ['const double *'] + 7 * ['double *'])});"
CASES = [(1, (2,), 0), (1, (3,), 0), (6, (2,) * 6, 0), (3, (4, 3, 2), 2)]


def exported(folder, case):
    law = with_zero_energy(untrained_populations(*case))
    axes = {"strain": [f"e{i}" for i in range(case[0])]}
    axes["strain_order"] = "mandel" if case[0] == 6 else "other" if case[0] > 1 else "scalar"
    return law, export_law(folder, law, untrained_description(case[0], law.internal_size, **axes))


@pytest.mark.parametrize("case", CASES)
def test_points_agree_with_the_kernel_and_the_header_says_what_it_is(tmp_path, case):
    law, directory = exported(tmp_path / "law", case)
    source, header, _ = emit_c(directory, tmp_path / "c", directions=25)
    library = tmp_path / "libconstitutive.so"
    subprocess.run(
        [find_compiler(), "-O2", *STRICT, "-fPIC", "-shared", "-o", library, source, "-lm"],
        check=True,
    )
    text = header.read_text()
    name = text.split("_update(")[0].split()[-1]
    assert ("_solid(" in text) == (case[0] in (1, 6))  # the three strains are in no Mandel order
    assert ("d strain, symmetric" in text) == (max(case[1]) == 2)
    ffi = cffi.FFI()
    ffi.cdef(DECLARATION.replace("NAME", name))
    functions = ffi.dlopen(str(library))
    inputs = population_steps(law, 21)
    expected = CLibraryKernel(law.arrays()).update(*inputs)
    names = list(expected.__dataclass_fields__)
    outputs = [np.zeros_like(getattr(expected, key)) for key in names]
    pointers = [ffi.from_buffer("double[]", np.ascontiguousarray(a)) for a in (*inputs, *outputs)]
    assert getattr(functions, f"{name}_update")(21, *pointers) == 0
    for key, value in zip(names, outputs, strict=True):
        right = getattr(expected, key)
        if key != "residual":
            assert np.abs(value - right).max() <= 1e-12 * max(np.abs(right).max(), 1.0), key
    inputs[2][3, 0] = -law.rest[0] - 1e-3  # no state
    assert getattr(functions, f"{name}_update")(21, *pointers) == 1
    assert np.isnan(outputs[0][3]).all()


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("case", [*CASES, (2, (2,), 1), (2, (5, 2), 0)])
def test_workspace_is_what_the_kernel_lays_out(case, layers):
    library = load_library(("-O2", "-DLAW_LANES=4"))
    for hidden in ((), (5,), (40, 3)):
        law = pack(untrained_populations(*case, widths=(7,) * layers, hidden=hidden).arrays())
        doubles = library.functions.ibvonn_workspace(library.pointer(law.sizes), len(law.sizes))
        assert doubles == 4 * workspace_vectors(law)


def test_the_table_of_runtimes_has_the_c_file(tmp_path):
    """Scalar and batched, plain and fast, beside ONNX and TorchScript."""
    _, directory = exported(tmp_path / "law", (3, (2, 2, 2), 0))
    rows = verify_all(directory, n_points=300)
    assert {row.runtime for row in rows} == {
        "torch", "torchscript", "onnx", "c -O2", "c scalar -O2", "c -O3 native",
        "c scalar -O3 native",
    }  # fmt: skip
    assert all(row.agrees for row in rows)
    store(directory, rows)
