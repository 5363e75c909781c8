"""Loading the C kernel: its cache, its refusals, and malformed input at every door."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import law_reference as reference
import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.errors import ExportedModelError, KernelUnavailableError
from ibvonn_fem.files.c_compiler import library_key
from ibvonn_fem.kernels import compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel, load_library
from ibvonn_fem.kernels.packing import pack
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_fem.model.runtime_agreement import kernel_differences

SHIPPED = sorted(
    path.parent for path in (Path(__file__).parents[2] / "exported_models").glob("*/manifest.json")
)
MODELS = [path for path in SHIPPED if read_manifest(path).family != "graph"]
QUICK = ("-O0", "-DLAW_LANES=1")


def test_reference_models_alone_ship_without_parameters_for_the_kernel():
    assert {path.name for path in SHIPPED} - {path.name for path in MODELS} == {
        "kramers_chain",
        "kramers_unfolding",
    }


@pytest.mark.export
@pytest.mark.parametrize("flags", [compiler.FAST_FLAGS, ("-O2", "-std=c99")], ids=["fast", "plain"])
@pytest.mark.parametrize("directory", MODELS, ids=lambda path: path.name)
def test_kernel_reproduces_the_reference_of_exported_models(directory, flags):
    manifest = read_manifest(directory)
    kernel = CLibraryKernel(manifest.read_arrays("parameters.npz"), flags=flags)
    differences = kernel_differences(kernel, manifest.read_arrays("reference.npz"), manifest)
    assert all(difference.excess <= 1.0 for difference in differences)


def test_library_is_compiled_once_by_processes_that_start_together(tmp_path):
    log = tmp_path / "log"
    wrapper = tmp_path / "cc"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *-shared*) echo run >> {log};; esac\nexec cc "$@"\n'
    )
    wrapper.chmod(0o755)
    code = (
        "from ibvonn_fem.kernels.compiler import compiled_library\n"
        f"print(compiled_library({QUICK!r}))"
    )
    environment = {
        "CC": str(wrapper),
        "IBVONN_CACHE": str(tmp_path / "cache"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    paths = {process.communicate()[0].strip() for process in processes}
    assert log.read_text().splitlines() == ["run"]
    assert len(paths) == 1
    kept = sorted(path.name for path in (tmp_path / "cache").iterdir())
    name = Path(paths.pop()).name
    assert kept == [name, f"{name}.sha256"]


def test_cache_key_knows_sources_flags_and_compiler(tmp_path):
    sources = [tmp_path / name for name in ("a.c", "b.c")]
    for source in sources:
        source.write_text(source.name)
    key = library_key(sources[:1], "cc", ("-O2",))
    keys = {
        key,
        library_key(sources[:1], "cc", ("-O3",)),
        library_key(sources[:1], "gcc", ("-O2",)),
        library_key(sources[1:], "cc", ("-O2",)),
    }
    assert len(keys) == 4
    assert library_key(sources[:1], "cc", ("-O2",)) == key


def test_unusable_cache_folder_is_replaced_by_a_private_one(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        library = compiler.compiled_library(QUICK)
    assert library.parent.parent == tmp_path
    assert "cannot be used (Not a directory)" in caplog.text


def test_missing_compiler_is_one_clear_sentence(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelUnavailableError, match="found none of no-such-compiler on PATH"):
        compiler.compiled_library(("-O2",))


def test_failing_compiler_is_one_clear_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path))
    with pytest.raises(KernelUnavailableError, match=r"must compile; .* failed with: "):
        compiler.compiled_library(("-O2", "-fno-such-flag"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_fast_flags_the_plain_ones_serve(tmp_path, monkeypatch):
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path))
    monkeypatch.setattr(compiler, "FAST_FLAGS", ("-fno-such-flag",))
    monkeypatch.setattr(compiler, "PLAIN_FLAGS", QUICK)
    assert compiler.compiled_library().exists()


@pytest.mark.export
def test_without_a_compiler_the_model_runs_on_onnx_with_one_warning(monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    load_library.cache_clear()
    directory = next(path for path in MODELS if path.name == "exact_trap")
    with caplog.at_level(logging.WARNING):
        model = load_model(directory)
    assert model.kernel.codename == "onnx"
    assert len(caplog.records) == 1
    assert "needs a C compiler" in caplog.text
    with pytest.raises(KernelUnavailableError, match="needs a C compiler"):
        load_model(directory, kernel="c")


def test_broken_library_is_refused_with_a_message(tmp_path, monkeypatch):
    broken = tmp_path / "law.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr("ibvonn_fem.kernels.c_library.compiled_library", lambda flags: broken)
    load_library.cache_clear()
    with pytest.raises(KernelUnavailableError, match="cannot be loaded"):
        load_library(("-O2",))
    load_library.cache_clear()


LAW = reference.random_parameters(1, 2, energy_layers=2, context_layers=2, width=4)


@pytest.mark.parametrize(
    "key", [k for k in LAW if not k.endswith(("_2", "_hidden"))] + ["energy_hidden_2"]
)
def test_loader_refuses_an_array_that_is_missing_misshapen_or_not_finite(key):
    for damage in (
        None,
        np.zeros((2, 3, 5)),
        np.full(np.shape(LAW[key]), np.nan),
        np.array("text"),
    ):
        law = dict(LAW)
        if damage is None:
            del law[key]
        else:
            law[key] = damage
        with pytest.raises(ExportedModelError, match=rf"^parameters\.npz: .*{key[:6]}.* again\.$"):
            pack(law)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("energy_output", -np.ones(4), "nonnegative"),
        ("energy_hidden_2", -np.ones((4, 4)), "nonnegative"),
        ("energy_quadratic", -np.eye(3), "positive semidefinite"),
        ("energy_quadratic", np.triu(np.ones((3, 3))), "symmetric"),
        ("internal_scale", np.array([1.0, 0.0]), "positive"),
        ("envelope", np.array([[1.0, -1.0]] * 3), "low <= high"),
        ("residual_tolerance", np.array(0.0), "positive"),
        ("strain_size", np.array(1.5), "whole number"),
        ("internal_size", np.array(0), "at least 1"),
        ("energy_layers", np.array(-1), "at least 0"),
    ],
)
def test_loader_refuses_what_breaks_the_guarantees(key, value, message):
    with pytest.raises(ExportedModelError, match=message):
        pack(LAW | {key: value})


def test_entry_points_refuse_malformed_sizes():
    """Whatever the integers: a code or a plausible count, never a crash."""
    library = load_library()
    count, workspace = library.functions.ibvonn_weight_count, library.functions.ibvonn_workspace
    null = library.ffi.NULL
    assert count(null, 5) == workspace(null, 5) == -1
    rng = np.random.default_rng(0)
    good = pack(LAW)
    assert count(library.pointer(good.sizes), len(good.sizes)) == len(good.weights)
    refused = 0
    for _ in range(3000):
        sizes = np.array(good.sizes)
        position = rng.integers(len(sizes), size=rng.integers(1, 4))
        candidates = [-(2**62), -1, 0, 1, 3, 8, 9, 64, 65, 1024, 1025, 2**40, 2**62]
        sizes[position] = rng.choice(candidates)
        length = int(rng.choice([0, 1, 4, 5, 6, len(sizes)]))
        codes = (count(library.pointer(sizes), length), workspace(library.pointer(sizes), length))
        assert (codes[0] < 0) == (codes[1] < 0)
        refused += codes[0] < 0
    assert refused > 1000


@pytest.mark.parametrize("argument", range(17))
def test_entry_point_refuses_a_null_array_or_a_wrong_count_and_writes_nothing(argument):
    library, law = load_library(), pack(LAW)
    pointer, null = library.pointer, library.ffi.NULL
    size = library.functions.ibvonn_workspace(pointer(law.sizes), len(law.sizes))
    inputs = [np.ones((4, 1)), np.ones((4, 1)), np.ones((4, 2)), np.ones(4)]
    shapes = [(4, 1), (4, 2), (4, 1), (4,), (4,), (4,), (4,)]
    outputs = [np.full(shape, 7.0) for shape in shapes]
    arguments = [
        *(pointer(law.sizes), len(law.sizes), pointer(law.weights), len(law.weights)),
        *(pointer(np.empty(size)), size, 4),
        *(pointer(array) for array in inputs),
        *(1, null),
        *(pointer(array) for array in outputs),
    ]
    broken = list(arguments)
    # counts are made wrong, pointers null; 12 is the guess, which may be null
    position = argument if argument < 12 else argument + 1
    broken[position] = {1: 4, 3: 11, 5: size - 1, 6: -1, 11: 2}.get(position, null)
    assert library.functions.ibvonn_update(*broken) < 0
    assert all(np.all(array == 7.0) for array in outputs)
    assert library.functions.ibvonn_update(*arguments) == 0
    assert not any(np.all(array == 7.0) for array in outputs[:2])


def test_wrong_shapes_are_refused_before_the_call():
    kernel = CLibraryKernel(LAW)
    strain, statev = np.zeros((3, 1)), np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"statev must have shape \(3, 2\); found \(2, 2\)"):
        kernel.update(strain, strain, statev[:2], 0.1)
    with pytest.raises(ValueError, match=r"strain_old must have shape \(3, 1\); found \(3, 2\)"):
        kernel.update(strain, statev, statev, 0.1)
    with pytest.raises(ValueError, match=r"guess must have shape"):
        kernel.update(strain, strain, statev, 0.1, guess=statev[:1])
    with pytest.raises(ValueError, match=r"dt must be one number or have shape \(3,\)"):
        kernel.update(strain, strain, statev, np.zeros(2))
    with pytest.raises(ValueError, match=r"strain must have shape"):
        kernel.rates(statev, statev)
