"""The law as one C file: what it computes, what it refuses, what the compilers say."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess

import cffi
import law_reference as reference
import numpy as np
import pytest
from model_directory import EXPORTED, write_model

from ibvonn_fem.directions import lebedev
from ibvonn_fem.emit_c.emit import emit_c, symbol, workspace_vectors
from ibvonn_fem.files.c_compiler import find_compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel, load_library
from ibvonn_fem.kernels.packing import pack
from ibvonn_fem.model.manifest import read_manifest

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Werror")
POINT = (
    "const double *, const double *, const double *, double, double *, double *, double *,"
    " double *, double *, double *, double *"
)
DECLARATIONS = """
int NAME_update(int64_t, const double *, const double *, const double *, const double *, double *,
                double *, double *, double *, double *, double *, double *);
int NAME_update_point(POINT);
int NAME_rates(int64_t, const double *, const double *, double *, double *, double *, double *);
int NAME_solid_states(int);
int NAME_solid(int, double, double, double, POINT);
""".replace("POINT", POINT)
RANDOM = reference.random_parameters(1, 2, seed=5, width=8)


def build(folder, name, *flags):
    """Compile ``constitutive.c`` and declare its functions."""
    library = folder / "libconstitutive.so"
    subprocess.run(
        [find_compiler(), "-O2", *STRICT, *flags, "-fPIC", "-shared", "-o", library,
         folder / "constitutive.c", "-lm"],
        check=True,
    )  # fmt: skip
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS.replace("NAME", name))
    return ffi, ffi.dlopen(str(library))


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    """A law with one strain, two internal variables, an initial strain and an initial stress."""
    folder = tmp_path_factory.mktemp("emitted")
    model = write_model(folder / "Two-state.law", RANDOM, strain=[0.2], stress=[-0.3])
    emit_c(model, folder / "c", directions=25)
    ffi, functions = build(folder / "c", "two_state_law")
    return folder / "c", ffi, functions


def call_solid(ffi, function, kind, strain, old, states, dt, scales=(1.0, 0.0, 1.0)):
    size = 6 if kind == 0 else 4
    stress, tangent, new = np.zeros(size), np.zeros((size, size)), np.zeros(len(states))
    numbers = np.zeros(4)
    code = function(
        kind, *scales,
        *(ffi.from_buffer("double[]", np.ascontiguousarray(a)) for a in (strain, old, states)),
        dt,
        *(ffi.from_buffer("double[]", a) for a in (stress, new, tangent)),
        *(ffi.from_buffer("double[]", numbers) + i for i in range(4)),
    )  # fmt: skip
    return code, stress, new, tangent, numbers


def mandel(vectors):
    x, y, z = vectors.T
    r = np.sqrt(2.0)
    return np.stack([x * x, y * y, z * z, r * x * y, r * x * z, r * y * z], axis=1)


def test_points_agree_with_the_kernel(emitted):
    _, ffi, functions = emitted
    rng = np.random.default_rng(0)
    n = 21
    inputs = [rng.normal(size=(n, 1)), rng.normal(size=(n, 1)), rng.normal(size=(n, 2))]
    inputs.append(rng.uniform(0.01, 1.0, n))
    expected = CLibraryKernel(RANDOM).update(*inputs)
    outputs = [np.zeros_like(getattr(expected, name)) for name in expected.__dataclass_fields__]
    pointers = [ffi.from_buffer("double[]", a) for a in [*inputs, *outputs]]
    assert functions.two_state_law_update(n, *pointers) == 0
    for name, value in zip(expected.__dataclass_fields__, outputs, strict=True):
        if name != "residual":
            np.testing.assert_allclose(value, getattr(expected, name), rtol=1e-12, atol=1e-12)
    one = [np.ascontiguousarray(a[4:5]) for a in inputs[:3]]
    single = [np.zeros_like(a[4:5]) for a in outputs]
    code = functions.two_state_law_update_point(
        *(ffi.from_buffer("double[]", a) for a in one),
        inputs[3][4],
        *(ffi.from_buffer("double[]", a) for a in single),
    )
    assert code == 0
    assert all(np.array_equal(a, b[4:5]) for a, b in zip(single, outputs, strict=True))


def test_points_that_fail_are_counted(emitted):
    _, ffi, functions = emitted
    inputs = [np.zeros((5, 1)), np.zeros((5, 1)), np.zeros((5, 2)), np.full(5, 0.1)]
    inputs[0][1], inputs[3][3] = np.nan, -1.0
    outputs = [np.zeros(s) for s in ((5, 1), (5, 2), (5, 1), 5, 5, 5, 5)]
    pointers = [ffi.from_buffer("double[]", a) for a in [*inputs, *outputs]]
    assert functions.two_state_law_update(5, *pointers) == 2
    pointers[2] = ffi.NULL
    assert functions.two_state_law_update(5, *pointers) < 0


def test_continuous_time_agrees_with_the_law_in_numpy(emitted):
    _, ffi, functions = emitted
    rng = np.random.default_rng(1)
    strain, statev = rng.normal(size=(9, 1)), rng.normal(size=(9, 2))
    outputs = [np.zeros(9), np.zeros((9, 1)), np.zeros((9, 2)), np.zeros((9, 2))]
    pointers = [ffi.from_buffer("double[]", a) for a in (strain, statev, *outputs)]
    assert functions.two_state_law_rates(9, *pointers) == 0
    expected = reference.rates(RANDOM, strain, statev)
    for value, name in zip(outputs, ("energy", "stress", "driving_force", "rate"), strict=True):
        np.testing.assert_allclose(value, getattr(expected, name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [0, 1], ids=["space", "plane strain"])
def test_solid_is_the_average_over_all_directions(emitted, kind):
    """In the plane with mirror directions merged; ε₀ = 0.2 and σ₀ = −0.3 as the manifest says."""
    _, ffi, functions = emitted
    rng, kept = np.random.default_rng(2), 6 if kind == 0 else 4
    rule = lebedev(25)
    strain, old = np.zeros((2, 6))
    strain[:kept], old[:kept] = 0.2 * rng.normal(size=(2, kept))
    count = functions.two_state_law_solid_states(kind)
    assert count == (50 if kind == 0 else 2 * 15)
    full = CLibraryKernel(RANDOM).update_directions(
        mandel(rule.vectors), rule.weights, strain[None], old[None], np.zeros((1, 25, 2)),
        0.3 / 2.0, strain_offset=0.2, stress_offset=-0.3,
    )  # fmt: skip
    code, stress, _, tangent, numbers = call_solid(
        ffi, functions.two_state_law_solid, kind, strain[:kept], old[:kept], np.zeros(count), 0.3,
        scales=(3.0, 0.7, 2.0),
    )  # fmt: skip
    trace = strain[:3].sum()
    identity = np.r_[1.0, 1.0, 1.0, np.zeros(kept - 3)]
    assert code == 0
    close = {"rtol": 1e-12, "atol": 1e-12}
    expected = 3.0 * full.stress[0, :kept] + 0.7 * trace * identity
    np.testing.assert_allclose(stress, expected, **close)
    expected = 3.0 * full.tangent[0, :kept, :kept] + 0.7 * np.outer(identity, identity)
    np.testing.assert_allclose(tangent, expected, **close)
    assert numbers[0] == pytest.approx(3.0 * full.energy[0] + 0.35 * trace**2, rel=1e-12)
    assert numbers[1] == pytest.approx(3.0 * full.dissipation[0], rel=1e-11)
    assert numbers[3] == pytest.approx(full.validity[0], rel=1e-12)


def test_plane_stress_has_none_across_the_plane(emitted):
    _, ffi, functions = emitted
    solid, count = functions.two_state_law_solid, functions.two_state_law_solid_states(2)
    rng = np.random.default_rng(3)
    old, states = np.zeros(4), np.zeros(count)
    for _ in range(4):
        strain = old + 0.1 * rng.normal(size=4)
        code, stress, new, tangent, _ = call_solid(ffi, solid, 2, strain, old, states, 0.2)
        assert code == 0
        complete, before = np.array(strain), np.array(old)
        complete[2], before[2] = new[-1], states[-1]
        code, full, _, _, _ = call_solid(ffi, solid, 1, complete, before, states[:-1], 0.2)
        assert abs(full[2]) < 1e-12
        np.testing.assert_allclose(stress, full, atol=1e-12)
        for c in (0, 1, 3):
            h = np.zeros(4)
            h[c] = 1e-5
            up, down = (
                call_solid(ffi, solid, 2, strain + s * h, old, states, 0.2)[1] for s in (1, -1)
            )
            np.testing.assert_allclose((up - down) / 2e-5, tangent[:, c], atol=1e-6)
        old, states = complete, new


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((3, 1.0, 0.0, 1.0), -2), ((-1, 1.0, 0.0, 1.0), -2), ((0, 0.0, 0.0, 1.0), -4),
     ((0, 1.0, -1.0, 1.0), -4), ((0, 1.0, 0.0, np.nan), -4)],
)  # fmt: skip
def test_solid_refuses_wrong_arguments_and_writes_nothing(emitted, arguments, code):
    _, ffi, functions = emitted
    kind, *scales = arguments
    value, stress, *_ = call_solid(
        ffi, functions.two_state_law_solid, kind, np.ones(6), np.ones(6), np.ones(50), 0.1, scales
    )
    assert value == code
    assert np.all(stress == 0.0)


def test_solid_that_does_not_converge_writes_nothing(emitted):
    _, ffi, functions = emitted
    for kind, size in ((0, 6), (1, 4), (2, 4)):
        strain = np.full(size, np.nan)
        count = functions.two_state_law_solid_states(kind)
        code, stress, new, _, _ = call_solid(
            ffi, functions.two_state_law_solid, kind, strain, 0 * strain, np.zeros(count), 0.1
        )
        assert code == 1
        assert not stress.any()
        assert not new.any()


@pytest.mark.export
def test_law_of_six_strains_is_the_solid_itself(tmp_path):
    """The exact standard linear solid, in space and in plane strain."""
    emit_c(EXPORTED / "exact_sls", tmp_path)
    ffi, functions = build(tmp_path, "exact_sls")
    kernel = CLibraryKernel(dict(np.load(EXPORTED / "exact_sls" / "parameters.npz")))
    strain = np.array([0.1, -0.05, 0.02, 0.03, 0.0, 0.0])
    expected = kernel.update(strain[None], 0 * strain[None], np.zeros((1, 6)), 0.5)
    for kind, size in ((0, 6), (1, 4)):
        assert functions.exact_sls_solid_states(kind) == 6
        code, stress, new, tangent, _ = call_solid(
            ffi, functions.exact_sls_solid, kind, strain[:size], np.zeros(size), np.zeros(6), 0.5
        )
        assert code == 0
        np.testing.assert_allclose(stress, expected.stress[0, :size], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(new, expected.statev_new[0], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(tangent, expected.tangent[0, :size, :size], atol=1e-14)


def test_two_laws_live_in_one_program(tmp_path):
    for name, seed in (("first", 1), ("second", 2)):
        law = reference.random_parameters(1, 1, seed=seed, width=4)
        emit_c(write_model(tmp_path / name, law), tmp_path / f"{name}_c", directions=7)
    (tmp_path / "main.c").write_text(
        '#include "first_c/constitutive.h"\n#include "second_c/constitutive.h"\n'
        "int main(void)\n{\n    double e = 0.1, z = 0.0, s[2], a, c, f, d, r, v;\n"
        "    if (first_update_point(&e, &z, &z, 0.1, s, &a, &c, &f, &d, &r, &v)) return 1;\n"
        "    if (second_update_point(&e, &z, &z, 0.1, s + 1, &a, &c, &f, &d, &r, &v)) return 2;\n"
        "    return s[0] == s[1] ? 3 : FIRST_STRAIN_SIZE - SECOND_INTERNAL_SIZE;\n}\n"
    )
    objects = []
    for name in ("first", "second"):
        objects.append(tmp_path / f"{name}.o")
        subprocess.run(
            [find_compiler(), "-O1", *STRICT, f"-DLAW_UMAT=umat_{name}_", "-c", "-o", objects[-1],
             tmp_path / f"{name}_c" / "constitutive.c"],
            check=True,
        )  # fmt: skip
    program = tmp_path / "program"
    subprocess.run(
        [find_compiler(), *STRICT, "-o", program, tmp_path / "main.c", *objects, "-lm"], check=True
    )
    assert subprocess.run([program], check=False).returncode == 0


def test_header_declares_what_the_file_defines(emitted, tmp_path):
    """Compiled with the header in front, so that a differing prototype would be an error."""
    folder, _, _ = emitted
    subprocess.run(
        [find_compiler(), "-O0", *STRICT, "-include", folder / "constitutive.h", "-fsyntax-only",
         folder / "constitutive.c"],
        check=True,
    )  # fmt: skip
    declared = set(re.findall(r"(two_state_law_\w+)\(", (folder / "constitutive.h").read_text()))
    assert declared == {
        f"two_state_law_{name}"
        for name in ("update", "update_point", "rates", "solid", "solid_batch", "solid_states")
    }


@pytest.mark.skipif(shutil.which("gfortran") is None, reason="needs gfortran")
def test_fortran_module_calls_the_law(emitted, tmp_path):
    folder, _, _ = emitted
    (tmp_path / "main.f90").write_text(
        "program main\n"
        "  use two_state_law_law, only: dp, update_point, solid, solid_states, internal_size\n"
        "  implicit none\n"
        "  real(dp) :: e(1), s(1), a(internal_size), c(1,1), f, d, r, v\n"
        "  real(dp) :: e6(6), s6(6), c6(36), z(internal_size) = 0\n"
        "  real(dp), allocatable :: old(:), new(:)\n"
        "  e = 0.4_dp\n"
        "  if (update_point(e, [0._dp], z, 0.3_dp, s, a, c, f, d, r, v) /= 0) error stop 1\n"
        "  print '(8es25.16)', s, a, c, f, d, v\n"
        "  allocate(old(solid_states(0)), new(solid_states(0)))\n"
        "  old = 0; e6 = [0.1_dp, 0._dp, 0._dp, 0.2_dp, 0._dp, 0._dp]\n"
        "  if (solid(0, 1._dp, 0._dp, 1._dp, e6, 0*e6, old, 0.3_dp, s6, new, c6, f, d, r, v) &\n"
        "      /= 0) error stop 2\n"
        "  print '(6es25.16)', s6\n"
        "end program\n"
    )
    subprocess.run(
        ["gfortran", "-std=f2008", "-Wall", "-Werror", "-J", tmp_path, "-o", tmp_path / "program",
         folder / "constitutive.f90", tmp_path / "main.f90", folder / "libconstitutive.so",
         f"-Wl,-rpath,{folder}"],
        check=True,
    )  # fmt: skip
    run = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
    first, second = (np.array(line.split(), float) for line in run.stdout.splitlines())
    expected = CLibraryKernel(RANDOM).update(
        np.array([[0.4]]), np.zeros((1, 1)), np.zeros((1, 2)), 0.3
    )
    parts = ("stress", "statev_new", "tangent", "energy", "dissipation", "validity")
    right = np.concatenate([getattr(expected, name).reshape(-1) for name in parts])
    np.testing.assert_allclose(first, right, rtol=1e-12, atol=1e-14)
    _, ffi, functions = emitted
    strain = np.array([0.1, 0.0, 0.0, 0.2, 0.0, 0.0])
    stress = call_solid(
        ffi, functions.two_state_law_solid, 0, strain, 0 * strain, np.zeros(50), 0.3
    )[1]
    np.testing.assert_allclose(second, stress, rtol=1e-12, atol=1e-14)


def test_laws_with_other_numbers_of_strains_are_points_only(tmp_path):
    law = reference.random_parameters(2, 1, width=4)
    paths = emit_c(write_model(tmp_path / "two", law), tmp_path / "c")
    assert [path.name for path in paths] == ["constitutive.c", "constitutive.h", "constitutive.f90"]
    for path in paths:
        text = path.read_text()
        assert "umat" not in text
        assert "solid_states" not in text
    subprocess.run(
        [find_compiler(), "-O0", *STRICT, "-include", paths[1], "-fsyntax-only", paths[0]],
        check=True,
    )


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (6, 2), (6, 6), (3, 4)])
def test_workspace_is_what_the_kernel_lays_out(sizes):
    library = load_library(("-O2", "-DLAW_LANES=4"))
    for layers, context in ((0, 1), (1, 2), (3, 3)):
        law = pack(
            reference.random_parameters(
                *sizes, energy_layers=layers, context_layers=context, width=7, ridge_count=3
            )
        )
        doubles = library.functions.ibvonn_workspace(library.pointer(law.sizes), len(law.sizes))
        assert doubles == 4 * workspace_vectors(law)


def test_files_carry_hash_format_and_exact_weights(emitted):
    folder, _, _ = emitted
    content = (folder.parent / "Two-state.law" / "parameters.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    text = (folder / "constitutive.c").read_text()
    for path in folder.glob("constitutive.*"):
        assert digest in path.read_text()
    assert f"sha256 {digest}, format 2" in text
    listed = re.search(r"law_weights\[\] = \{(.*?)\};", text, re.DOTALL).group(1)
    value = np.array([float(item) for item in listed.split(",")])
    assert np.array_equal(value, pack(RANDOM).weights)


def test_another_certificate_leaves_the_files_as_they_are(emitted, tmp_path):
    folder, _, _ = emitted
    shutil.copytree(folder.parent / "Two-state.law", tmp_path / "law")
    path = tmp_path / "law" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["provenance"]["created"] = "another day"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    for new in emit_c(tmp_path / "law", tmp_path, directions=25):
        assert new.read_bytes() == (folder / new.name).read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("trap", "trap"), ("Two-state.law", "two_state_law"), ("3-well", "law_3_well")],
)
def test_symbols_are_c_identifiers(name, expected):
    assert symbol(name) == expected


@pytest.mark.export
def test_manifest_text_cannot_break_the_comment(tmp_path):
    model = write_model(
        tmp_path / "hostile", RANDOM, description='ends */ int x; /* "\\\n#error', licence="a*/b"
    )
    emit_c(model, tmp_path / "c", directions=7)
    subprocess.run(
        [find_compiler(), *STRICT, "-fsyntax-only", "-include", tmp_path / "c" / "constitutive.h",
         tmp_path / "c" / "constitutive.c"],
        check=True,
    )  # fmt: skip
    assert read_manifest(model).name == "hostile"
