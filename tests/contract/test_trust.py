"""A model directory comes from a stranger: nothing that was exchanged in it passes in silence.

Both packages read a directory by one rule, so each altered directory is shown to both.
"""

import hashlib
import io
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from altered_models import EXACT_TRAP, archive_of, document_of, put, refused, replace_file

import ibvonn_fem
import ibvonn_train
from ibvonn_fem import load_model
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.files.former_names import with_former_names
from ibvonn_fem.files.model_directory import ADDED_LATER, manifest_hash, stamp_of
from ibvonn_fem.files.plain_files import read_file
from ibvonn_fem.model.check import check_model
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_fem.model.runtime_agreement import compare, initial_state_errors, typical_states
from ibvonn_train.cli.parser import main as main_train
from ibvonn_train.evaluation import open_law
from ibvonn_train.export import manifest as manifests
from ibvonn_train.export.runtimes import agreement as verify
from ibvonn_train.export.runtimes import torchscript
from ibvonn_train.export.stamp import stamp

ROOT = Path(__file__).parents[2]
LISTED = sorted(json.loads((EXACT_TRAP / "manifest.json").read_text())["files"])

pytestmark = pytest.mark.export


@pytest.mark.parametrize(
    "name",
    [
        "c_compiler.py",
        "former_format.py",
        "former_names.py",
        "graph_metadata.py",
        "library_cache.py",
        "model_directory.py",
        "parsing.py",
        "plain_files.py",
        "state_bounds.py",
    ],
)
def test_both_packages_have_the_same_rule(name):
    first, second = (Path(p.__file__).parent / "files" / name for p in (ibvonn_fem, ibvonn_train))
    assert first.read_bytes() == second.read_bytes()


def test_names_of_an_older_export_are_read_with_a_note_and_are_no_way_past_the_hash(tmp_path):
    directory = tmp_path / "trap"
    shutil.copytree(ROOT / "exported_models" / "trap", directory)
    today = document_of(directory)
    former = with_former_names(today)
    assert "parity" in former
    assert "band" in former["certificate"][0]
    assert "floor" in former["errors"][0]
    for path in directory.glob("*.onnx"):
        model = onnx.load(path)
        stamp = {"ibvonn_manifest_sha256": manifest_hash(today, former_names=True)}
        onnx.helper.set_model_props(model, stamp)
        onnx.save(model, path)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        former["files"][path.name] = {"sha256": digest, "bytes": len(content)}
    del former["files"]["constitutive.pt"]
    put(directory, former)

    with pytest.warns(UserWarning, match="names of an older export"):
        manifest = read_manifest(directory)
    assert manifest.verify_files() == []
    assert manifest.raw["certificate"] == today["certificate"]
    with pytest.warns(UserWarning, match="names of an older export"):
        assert manifests.read(directory)["errors"] == today["errors"]

    former["errors"][0]["floor"] = 1.0
    put(directory, former)
    with (
        pytest.warns(UserWarning, match="names of an older export"),
        pytest.raises(ExportedModelError, match="is not the one with which"),
    ):
        read_manifest(directory).verify_files()


@pytest.mark.parametrize("directory", sorted((ROOT / "exported_models").glob("*/")), ids=str)
def test_shipped_graphs_carry_the_hash_of_their_manifest(directory):
    assert read_manifest(directory).verify_files() == []
    for path in directory.glob("*.onnx"):
        model = onnx.load(path)
        held = {entry.key: entry.value for entry in model.metadata_props}
        assert stamp_of(path.name, path.read_bytes()) == held["ibvonn_manifest_sha256"]
        said = json.loads(held["ibvonn_manifest"])
        assert said == {k: v for k, v in document_of(directory).items() if k not in ADDED_LATER}
        stored = {each.name for each in model.graph.initializer}
        assert stored <= set(_used(model.graph)), "a constant that nothing uses"


def _used(graph):
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from _used(attribute.g)


def _numbers(node, path=()):
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(child, dict | list):
            yield from _numbers(child, (*path, key))
        elif isinstance(child, int | float) and not isinstance(child, bool):
            yield (*path, key)


def test_no_number_of_a_manifest_can_be_changed(copy):
    original = document_of(copy)
    places = [
        place for place in _numbers(original) if place[0] not in ("runtime_agreement", "seeds")
    ]
    assert len(places) >= 30
    for place in places:
        document = json.loads(json.dumps(original))
        target = document
        for key in place[:-1]:
            target = target[key]
        value = target[place[-1]]
        target[place[-1]] = value + 1 if isinstance(value, int) else 1.01 * value + 1e-9
        put(copy, document)
        assert refused(copy), place
    put(copy, original)
    read_manifest(copy).verify_files()  # the control: it was the change that was refused


def test_no_word_of_a_manifest_can_be_changed(copy):
    document = document_of(copy)
    document["units"]["stress"] = "MPa"
    put(copy, document)
    assert "manifest.json is not the one with which" in refused(copy)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("harm", ["bit", "shorter", "longer", "link", "pipe", "folder", "missing"])
def test_no_file_of_a_model_can_be_exchanged(copy, tmp_path, name, harm):
    path = copy / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if harm == "bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif harm == "shorter":
        path.write_bytes(content[:-1])
    elif harm == "longer":
        path.write_bytes(content + b"\0")
    elif harm == "link":
        (tmp_path / "elsewhere").write_bytes(content)  # the very content that is listed
        path.symlink_to(tmp_path / "elsewhere")
    elif harm == "pipe":
        os.mkfifo(path)
    elif harm == "folder":
        path.mkdir()
    assert name in refused(copy)


def test_a_device_as_a_listed_file_is_not_read(copy):
    (copy / "reference.npz").unlink()
    (copy / "reference.npz").symlink_to("/dev/zero")
    assert "a symbolic link" in refused(copy)
    with pytest.raises(ValueError, match="must be a regular file; it is a device"):
        read_file("/dev/zero")


@pytest.mark.parametrize("name", ["constitutive.onnx", "rates.onnx", "constitutive.pt"])
def test_graphs_of_another_model_are_refused_though_their_hash_is_listed(copy, name):
    replace_file(copy, name, (EXACT_TRAP.parent / "trap" / name).read_bytes())
    assert f"manifest.json is not the one with which {name} was written" in refused(copy)


def test_weights_of_another_model_are_refused_though_their_hash_is_listed(copy):
    content = (EXACT_TRAP.parent / "trap" / "parameters.npz").read_bytes()
    replace_file(copy, "parameters.npz", content)
    assert "manifest.json and parameters.npz disagree on" in refused(copy)


@pytest.mark.parametrize("verb", ["card", "verify"])
def test_verbs_refuse_a_model_with_graphs_of_another(copy, verb, capsys):
    shutil.copy(EXACT_TRAP.parent / "trap" / "rates.onnx", copy)
    card = (copy / "README.md").read_bytes()
    assert main_train([verb, str(copy)]) == 1
    assert "rates.onnx: has been altered since the export" in capsys.readouterr().err
    assert (copy / "README.md").read_bytes() == card
    with pytest.raises(ValueError, match="has been altered"):
        open_law(copy)


def test_a_graph_runs_only_after_its_hash_was_checked(copy, monkeypatch):
    content = bytearray((copy / "constitutive.pt").read_bytes())
    content[100] ^= 1
    (copy / "constitutive.pt").write_bytes(content)
    monkeypatch.setattr(torchscript, "load", lambda _: pytest.fail("was loaded"))
    with pytest.raises(ValueError, match="has been altered"):
        verify.verify(copy, n_points=10)


def _bare(directory):
    """The model as an export of a year ago would be: its graphs say nothing of a manifest."""
    for path in directory.glob("*.onnx"):
        model = onnx.load(path)
        del model.metadata_props[:]
        replace_file(directory, path.name, model.SerializeToString())
    memory = io.BytesIO()
    with zipfile.ZipFile(directory / "constitutive.pt") as old:
        with zipfile.ZipFile(memory, "w") as new:
            for entry in old.infolist():
                if "/extra/" not in entry.filename:
                    new.writestr(entry, old.read(entry))
    replace_file(directory, "constitutive.pt", memory.getvalue())


def test_an_older_model_without_hashes_is_read_and_the_check_says_so(copy, recwarn):
    _bare(copy)
    load_model(copy, kernel="onnx")
    (files,) = [check for check in check_model(copy, ("onnx",)) if check.name == "files"]
    assert files.passed
    assert "no hash of the manifest in constitutive.onnx" in files.detail
    assert not recwarn.list


@pytest.mark.parametrize(
    ("entry", "key", "value", "words"),
    [
        ("initial_state", "strain", [0.05], "must be an equilibrium of the law"),
        ("initial_state", "statev", [0.01], "must be an equilibrium of the law"),
        ("initial_state", "stress", [0.01], "must be an equilibrium of the law; the stress"),
        ("initial_state", "energy", 0.01, "must be an equilibrium of the law; the energy"),
        ("envelope", "strain", [[-9.0, 9.0]], "disagree on envelope"),
        ("internal", "scale", [3.0], "disagree on internal_scale"),
        ("tolerances", "residual", 1e-9, "disagree on residual_tolerance"),
    ],
)
@pytest.mark.parametrize("kernel", ["c", "onnx"])
def test_numbers_of_an_older_model_are_compared_with_the_law(
    copy, entry, key, value, words, kernel
):
    _bare(copy)
    document = document_of(copy)
    document[entry][key] = value
    put(copy, document)
    with pytest.raises(ExportedModelError, match=words):
        load_model(copy, kernel=kernel)


@pytest.mark.parametrize("kernel", ["c", "onnx"])
@pytest.mark.parametrize("output", ["energy", "stress", "driving_force", "rate"])
def test_the_self_check_compares_the_law_in_continuous_time(copy, kernel, output):
    """The control of all: unaltered copies load, see the other tests."""
    with np.load(copy / "reference.npz") as archive:
        arrays = dict(archive)
    arrays[f"rates.out.{output}"] = arrays[f"rates.out.{output}"] * (1.0 + 1e-8)
    replace_file(copy, "reference.npz", archive_of(**arrays))
    with pytest.raises(ExportedModelError, match=rf"does not reproduce .* rates\.{output}"):
        load_model(copy, kernel=kernel)


@pytest.mark.parametrize("harm", ["none", "few", "unequal", "refused"])
def test_reference_values_that_compare_nothing_are_refused(copy, harm):
    with np.load(copy / "reference.npz") as archive:
        arrays = dict(archive)
    if harm == "unequal":
        arrays["rates.out.rate"] = arrays["rates.out.rate"][:-1]
    elif harm == "refused":
        arrays["constitutive.out.residual"] = np.full((64, 1), np.inf)
    else:
        arrays = {key: value[: 3 * (harm == "few")] for key, value in arrays.items()}
    replace_file(copy, "reference.npz", archive_of(**arrays))
    with pytest.raises(
        ExportedModelError, match=r"must hold (at least 8|the same number of) points"
    ):
        load_model(copy, kernel="onnx")


def test_a_manifest_that_was_changed_on_purpose_is_stamped(copy):
    document = document_of(copy)
    document["description"] = "Said better."
    put(copy, document)
    assert refused(copy)
    stamp(copy)
    model = load_model(copy, kernel="onnx")
    assert model.manifest.description == "Said better."
    assert torchscript.load((copy / "constitutive.pt").read_bytes()) is not None


def test_a_value_that_is_no_number_agrees_with_nothing():
    values = np.array([[1.0], [np.nan]])
    assert compare(values, np.ones((2, 1)), 1e-9) == (np.inf, np.inf)
    assert compare(np.ones((2, 1)), np.ones((2, 1)), 1e-9) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["energy", "stress"])
def test_each_declared_value_of_the_initial_state_is_compared(name):
    """Declared one unit off: the difference is one, over the largest at typical states."""
    model = load_model(EXACT_TRAP)
    typical = typical_states(model.manifest)
    assert max(initial_state_errors(model.kernel, model.manifest, typical).values()) < 1e-8
    initial = model.manifest.initial_state
    altered = replace(initial, **{name: getattr(initial, name) + 1.0})
    manifest = replace(model.manifest, initial_state=altered)
    result = initial_state_errors(model.kernel, manifest, typical)
    scale = np.abs(getattr(model.kernel.rates(*typical), name)).max()
    assert result.pop(name) == pytest.approx(1.0 / scale, rel=1e-6)
    assert max(result.values()) < 1e-8
