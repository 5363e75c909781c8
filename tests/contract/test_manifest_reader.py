"""The reader of exported directories: what it accepts, and what it says when it refuses.

Altered models are built here, in temporary copies of ``exported_models/exact_trap``.
"""

import hashlib
import json
import logging
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.errors import ExportedModelError, KernelUnavailableError
from ibvonn_fem.files.model_directory import schema
from ibvonn_fem.model.check import check_model
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_train.export.stamp import stamp

ROOT = Path(__file__).parents[2]
EXACT_TRAP = ROOT / "exported_models" / "exact_trap"

pytestmark = pytest.mark.export


@pytest.fixture
def copy(tmp_path):
    """A writable copy of the exact trap law, in a folder with a space and a letter beyond ASCII."""
    directory = tmp_path / "a modèl"
    shutil.copytree(EXACT_TRAP, directory)
    return directory


def edit_manifest(directory, change):
    path = directory / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def replace_file(directory, name, content):
    """Write a file and make the manifest agree with it: only the content is wrong then."""
    (directory / name).write_bytes(content)

    def change(document):
        document["files"][name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }

    edit_manifest(directory, change)


def test_reader_and_writer_have_the_same_schema():
    written = json.loads((ROOT / "exported_models" / "manifest.schema.json").read_text())
    assert written == schema()


def test_a_copy_loads_from_any_folder(copy):
    model = load_model(copy, kernel="onnx")
    assert (model.strain_size, model.internal_size) == (1, 1)


def test_a_read_only_folder_loads(copy):
    for path in [*copy.iterdir(), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        load_model(copy, kernel="onnx")
    finally:
        copy.chmod(0o755)


def test_no_such_directory(tmp_path):
    with pytest.raises(ExportedModelError, match=r"no such directory \(working folder: "):
        load_model(tmp_path / "nothing")
    (tmp_path / "constitutive.onnx").touch()
    with pytest.raises(ExportedModelError, match=r"is a file; a model is a directory. Give its"):
        load_model(tmp_path / "constitutive.onnx")


def test_a_directory_without_manifest_names_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ExportedModelError, match=r"has no manifest.json \(found: \['notes.txt'\]"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"format": 1', "\x00", "[" * 100_000])
def test_a_broken_manifest_is_refused_in_a_sentence(copy, text):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ExportedModelError, match=r"manifest.json: (is not valid JSON|must hold)"):
        load_model(copy)


def test_a_manifest_that_is_not_text_is_refused(copy):
    (copy / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportedModelError, match="is not valid JSON"):
        load_model(copy)


def test_a_newer_format_asks_for_an_update(copy):
    edit_manifest(copy, lambda document: document.update(format=3, novelty="unknown to us"))
    message = r"written in format 3; .* reads formats up to 2. Update ibvonn_fem"
    with pytest.raises(ExportedModelError, match=message):
        load_model(copy)


def test_an_unknown_key_is_refused_by_name(copy):
    edit_manifest(copy, lambda document: document.update(colour="red"))
    with pytest.raises(ExportedModelError, match="'colour' was unexpected"):
        load_model(copy)


def test_a_missing_key_is_refused_by_name(copy):
    edit_manifest(copy, lambda document: document.pop("envelope"))
    with pytest.raises(ExportedModelError, match="'envelope' is a required property"):
        load_model(copy)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1e400,
        10**400,
        *(
            pytest.param(value, marks=pytest.mark.slow)
            for value in (-1, [None], {}, "x\ny", "x" * 5000)
        ),
    ],
    ids=("null", "infinity", "digits", "negative", "list", "object", "lines", "long"),
)
def test_every_single_wrong_value_is_refused(copy, value):
    """Fuzz: each value in turn is replaced by another; the reader accepts or says what is wrong."""
    original = json.loads((copy / "manifest.json").read_text())
    refused: list[str] = []
    for path in list(_places(original)):
        document = json.loads(json.dumps(original))
        target = document
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        (copy / "manifest.json").write_text(json.dumps(document))
        try:
            read_manifest(copy)
        except ExportedModelError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(message.endswith(".") for message in refused)
    assert not any("\n" in message or len(message) > 800 for message in refused)


def test_changed_bytes_of_a_manifest_are_refused_or_read(copy):
    original = (copy / "manifest.json").read_bytes()
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(60):
        content = bytearray(original)
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(len(content))] = rng.integers(256)
        (copy / "manifest.json").write_bytes(content[: rng.integers(len(content) * 2)])
        try:
            read_manifest(copy)
        except ExportedModelError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"null", b"[" * 200_000, b'{"format":' + b"9" * 5000 + b"}"]
)
def test_a_manifest_that_is_no_json_object_is_refused(copy, content):
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(ExportedModelError, match=r"valid JSON|JSON object"):
        read_manifest(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_of_json_is_refused(copy, value):
    edit_manifest(copy, lambda document: document["initial_state"].update(energy=value))
    with pytest.raises(
        ExportedModelError, match=r"is not valid JSON \((NaN|Infinity) is not a num"
    ):
        read_manifest(copy)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_that_no_float_holds_is_refused_with_its_place(copy, value):
    edit_manifest(copy, lambda document: document["initial_state"].update(energy=value))
    with pytest.raises(ExportedModelError, match="initial_state/energy must be a finite number"):
        read_manifest(copy)


def _places(node, path=()):
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from _places(child, (*path, key))


@pytest.mark.parametrize("place", ["strain", "statev", "strain_rate"])
def test_an_envelope_upside_down_is_refused(copy, place):
    edit_manifest(copy, lambda document: document["envelope"].update({place: [[2.0, 1.0]]}))
    with pytest.raises(ExportedModelError, match=f"envelope/{place} must hold pairs"):
        load_model(copy)


def test_lists_that_belong_together_must_have_one_length(copy):
    edit_manifest(copy, lambda document: document["initial_state"].update(statev=[0.0, 0.0]))
    with pytest.raises(ExportedModelError, match="initial_state/statev must have 1 entries"):
        load_model(copy)


@pytest.mark.parametrize("name", ["constitutive.onnx", "parameters.npz", "encoder.onnx"])
def test_one_changed_bit_in_any_file_is_seen(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ExportedModelError, match=rf"{name}: has been altered since the export"):
        load_model(copy)


@pytest.mark.parametrize("name", ["constitutive.onnx", "reference.npz", "decoder_sample.onnx"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ExportedModelError, match=f"the file {name}, listed in the manifest, is mi"):
        load_model(copy)


def test_a_file_that_is_not_listed_is_not_used(copy):
    edit_manifest(copy, lambda document: document["files"].pop("rates.onnx"))
    with pytest.raises(ExportedModelError, match=r"the manifest lists no file rates\.onnx"):
        load_model(copy, kernel="onnx")


@pytest.mark.parametrize("name", ["../secret.npz", "/etc/passwd", "a/b.npz"])
def test_a_file_name_that_leaves_the_directory_is_refused(copy, name):
    edit_manifest(copy, lambda d: d["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    with pytest.raises(ExportedModelError, match=r"files"):
        read_manifest(copy)


def test_reference_values_of_another_law_are_refused(copy):
    """Right hash, wrong numbers: the self-check compares what the kernel computes."""
    with np.load(copy / "reference.npz") as archive:
        arrays = dict(archive)
    arrays["constitutive.out.stress"] = arrays["constitutive.out.stress"] * (1.0 + 1e-9)
    np.savez(copy / "other.npz", **arrays)
    replace_file(copy, "reference.npz", (copy / "other.npz").read_bytes())
    with pytest.raises(ExportedModelError, match=r"does not reproduce .* constitutive.stress"):
        load_model(copy, kernel="onnx")


class _Bomb:
    """Unpickling this writes a file: reading a model must never do that."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickles_in_an_archive_are_not_loaded(copy, tmp_path):
    trace = tmp_path / "executed"
    with zipfile.ZipFile(copy / "bomb.npz", "w") as archive:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        archive.writestr("strain_size.npy", header.ljust(127) + b"\n" + pickle.dumps(_Bomb(trace)))
    replace_file(copy, "reference.npz", (copy / "bomb.npz").read_bytes())
    with pytest.raises(ExportedModelError, match="not an archive of plain number arrays"):
        load_model(copy, kernel="onnx")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not an archive", b"\x93NUMPY"])
def test_a_broken_archive_is_refused_in_a_sentence(copy, content):
    replace_file(copy, "reference.npz", content)
    with pytest.raises(ExportedModelError, match="not an archive of plain number arrays"):
        load_model(copy, kernel="onnx")


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_a_broken_graph_is_refused_in_a_sentence(copy, content):
    replace_file(copy, "constitutive.onnx", content)
    with pytest.raises(ExportedModelError, match="cannot load the graph"):
        load_model(copy, kernel="onnx")


def test_a_graph_with_other_names_is_refused(copy):
    replace_file(copy, "constitutive.onnx", (copy / "rates.onnx").read_bytes())
    with pytest.raises(ExportedModelError, match="must map strain, strain_old, statev, dt to"):
        load_model(copy, kernel="onnx")


def test_verification_can_be_left_out(copy):
    (copy / "encoder.onnx").write_bytes(b"altered")
    load_model(copy, kernel="onnx", verify=False)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel must be 'auto', 'c' or 'onnx'; found 'fortran'"):
        load_model(EXACT_TRAP, kernel="fortran")


def test_without_a_compiler_the_onnx_kernel_takes_over_with_one_line(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    _forget_compiled_library()
    with caplog.at_level(logging.WARNING):
        model = load_model(EXACT_TRAP)
    assert model.kernel.codename == "onnx"
    assert len(caplog.records) == 1
    assert "using the slower ONNX kernel: c kernel: needs a C compiler" in caplog.text
    with pytest.raises(KernelUnavailableError, match="needs a C compiler"):
        load_model(EXACT_TRAP, kernel="c")
    _forget_compiled_library()


def _forget_compiled_library():
    from ibvonn_fem.kernels.c_library import load_library

    load_library.cache_clear()


def test_a_law_of_family_graph_runs_on_onnx_only(copy, caplog):
    edit_manifest(copy, lambda document: document.update(family="graph"))
    stamp(copy)
    assert load_model(copy).kernel.codename == "onnx"
    with pytest.raises(KernelUnavailableError, match=r"of family 'graph'\. Use kernel='onnx'"):
        load_model(copy, kernel="c")


def test_the_check_passes_on_the_exact_trap_and_on_every_exported_model():
    for manifest in (ROOT / "exported_models").glob("*/manifest.json"):
        failed = [check for check in check_model(manifest.parent) if not check.passed]
        assert not failed, f"{manifest.parent.name}: {failed}"


def test_the_check_names_what_is_wrong(copy):
    (copy / "encoder.onnx").write_bytes(b"altered")
    failed = [check for check in check_model(copy) if not check.passed]
    assert [check.name for check in failed] == ["files"]
    assert "encoder.onnx: has been altered" in failed[0].detail


def test_the_check_compares_the_encoder_with_its_reference(copy):
    with np.load(copy / "reference.npz") as archive:
        arrays = dict(archive)
    arrays["encoder.out.statev"] = arrays["encoder.out.statev"] + 1e-3
    np.savez(copy / "other.npz", **arrays)
    replace_file(copy, "reference.npz", (copy / "other.npz").read_bytes())
    failed = [check.name for check in check_model(copy, kernels=("onnx",)) if not check.passed]
    assert failed == ["encoder"]
