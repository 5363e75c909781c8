"""An exported directory: whole or not there, described by its schema, checked by its own values."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
import torch
from untrained_description import untrained_description

from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.model.exported_model import load_model
from ibvonn_train.closed_form.exact_models import (
    GaussianLogDensity,
    GaussianSample,
    MeanEncoder,
    export_standard_linear_solid,
    export_trap,
)
from ibvonn_train.closed_form.linear_solids import standard_linear_solid
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import DecoderGraphs, LawParameters, export_law, manifest
from ibvonn_train.export import write_model as model
from ibvonn_train.export.graphs.encoder_graph import EncoderGraph
from ibvonn_train.export.runtimes.onnx_session import run_onnx

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "exported_models" / "manifest.schema.json"

pytestmark = pytest.mark.export


def export(directory, m=1, n=2, **changes):
    return export_law(directory, untrained_law(m, n), untrained_description(m, n, **changes))


def read(directory):
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def test_export_holds_the_files_of_the_conventions(tmp_path):
    directory = export_trap(tmp_path / "trap")
    names = {path.name for path in directory.iterdir()}
    assert names == {
        "manifest.json",
        "README.md",
        "constitutive.pt",
        "parameters.npz",
        "reference.npz",
        *(f"{name}.onnx" for name in ("constitutive", "rates", "encoder")),
        *(f"{name}.onnx" for name in ("decoder_log_density", "decoder_sample")),
    }
    listed = read(directory)["files"]
    assert set(listed) == names - {"manifest.json", "README.md"}
    for name, entry in listed.items():
        content = (directory / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 2), (6, 2), (6, 6)])
def test_every_size_exports_and_loads_on_the_other_side(tmp_path, m, n):
    directory = export(tmp_path / "law", m, n)
    loaded = load_model(directory, kernel="onnx")
    assert (loaded.strain_size, loaded.internal_size) == (m, n)


def test_encoder_gives_the_strain_where_it_is_averaged(tmp_path):
    encoder = EncoderGraph(MeanEncoder(), averaged=True, strain_shift=0.5, internal_shift=0.2)
    export_law(tmp_path / "law", untrained_law(1, 1), untrained_description(1, 1), encoder=encoder)
    x = np.random.default_rng(0).normal(size=(3, 50, 1))
    result = run_onnx(tmp_path / "law" / "encoder.onnx", {"microstate": x})
    np.testing.assert_allclose(result["strain"], x.mean(1) - 0.5, atol=1e-15)
    np.testing.assert_allclose(result["statev"], x.mean(1) - 0.2, atol=1e-15)


def test_trap_decoder_is_the_equilibrium_distribution_around_the_mean(tmp_path):
    """A Gaussian of variance k_BT/2k = 0.005, k = 1, k_BT = 0.01."""
    directory = export_trap(tmp_path / "trap")
    state = {"strain": np.array([[0.7]]), "statev": np.array([[0.2]])}
    x = np.linspace(-0.5, 0.9, 20001).reshape(1, -1, 1)
    density = run_onnx(directory / "decoder_log_density.onnx", {"microstate": x, **state})
    weight = np.exp(density["log_density"][0]) * (x[0, 1, 0] - x[0, 0, 0])
    moments = [np.sum(weight * (x[0, :, 0] - 0.2) ** k) for k in range(3)]
    np.testing.assert_allclose(moments, [1.0, 0.0, 0.005], atol=1e-12)
    noise = np.array([[[-1.0], [0.0], [2.0]]])
    sample = run_onnx(directory / "decoder_sample.onnx", {"noise": noise, **state})["microstate"]
    np.testing.assert_allclose(sample, 0.2 + np.sqrt(0.005) * noise, atol=1e-15)


def test_metadata_of_every_graph_repeats_the_manifest_without_what_is_added_later(tmp_path):
    directory = export_trap(tmp_path / "trap")
    later = {"files", "runtime_agreement", "seeds"}
    expected = {key: value for key, value in read(directory).items() if key not in later}
    for path in directory.glob("*.onnx"):
        metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        assert json.loads(metadata["ibvonn_manifest"]) == expected, path.name


def test_export_twice_gives_the_same_reference_values(tmp_path):
    first, second = export(tmp_path / "a"), export(tmp_path / "b")
    for name in ("reference.npz", "parameters.npz"):
        with np.load(first / name) as a, np.load(second / name) as b:
            assert a.files == b.files
            for key in a.files:
                assert np.array_equal(a[key], b[key]), key


def test_reference_steps_reach_beyond_the_envelope_and_include_elastic_ones(tmp_path):
    with np.load(export(tmp_path / "law") / "reference.npz") as archive:
        dt, validity = archive["constitutive.in.dt"], archive["constitutive.out.validity"]
        assert np.all(archive["constitutive.out.residual"] <= 1e-10)
    assert np.any(dt == 0.0)
    assert np.log10(dt.max() / dt[dt > 0.0].min()) > 3.0
    assert np.any(validity > 0.1)
    assert np.mean(validity == 0.0) > 0.3


def test_three_copies_of_the_schema_are_one():
    text = SCHEMA.read_bytes()
    assert (ROOT / "ibvonn_train" / "files" / "manifest.schema.json").read_bytes() == text
    assert (ROOT / "ibvonn_fem" / "files" / "manifest.schema.json").read_bytes() == text
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def objects(document, place=()):
    """All places of a document that hold an object whose keys the schema fixes."""
    if isinstance(document, dict):
        free = place[-1:] in (("parameters",), ("versions",), ("config",))
        if not free:
            yield place
        for key, value in document.items():
            yield from objects(value, (*place, key))
    elif isinstance(document, list):
        for i, value in enumerate(document):
            yield from objects(value, (*place, i))


def test_schema_accepts_our_manifest_and_refuses_an_unknown_key_at_every_level(tmp_path):
    document = read(export_trap(tmp_path / "trap"))
    manifest.check(document)
    places = list(objects(document))
    assert len(places) > 10
    for place in places:
        altered = json.loads(json.dumps(document))
        inner = altered
        for key in place:
            inner = inner[key]
        inner["colour?"] = "blue"
        with pytest.raises(ValueError, match=r"colour\?"):
            manifest.check(altered)


@pytest.mark.parametrize("key", ["format", "name", "strain", "envelope", "provenance", "files"])
def test_schema_refuses_a_manifest_without_a_required_key(tmp_path, key):
    document = read(export_trap(tmp_path / "trap"))
    del document[key]
    with pytest.raises(ValueError, match=key):
        manifest.check(document)


def test_certificate_with_an_invented_verdict_is_refused_before_anything_is_written(tmp_path):
    audit = {
        "audit": "a",
        "value": 1.0,
        "acceptance_range": [0.0, None],
        "verdict": "great",
        "detail": "",
    }
    with pytest.raises(ValueError, match="certificate"):
        export(tmp_path / "law", certificate=[audit])
    assert not list(tmp_path.iterdir())
    export(tmp_path / "law", certificate=[{**audit, "verdict": "pass"}])


def test_description_that_does_not_fit_the_law_is_refused(tmp_path):
    with pytest.raises(ValueError, match="internal must have 2 entries"):
        export(tmp_path / "law", internal=["alpha"])


def test_failing_export_leaves_the_old_model_as_it_was(tmp_path, monkeypatch):
    directory = export(tmp_path / "law", text="the old one")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(LawParameters, "save", fail)
    with pytest.raises(OSError, match="no space"):
        export(directory, text="the new one")
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["law"]


def test_new_export_replaces_an_old_one_whole(tmp_path):
    export_trap(tmp_path / "law")
    directory = export(tmp_path / "law")
    assert not (directory / "encoder.onnx").exists()
    assert read(directory)["internal"]["components"] == ["alpha_0", "alpha_1"]
    assert [path.name for path in tmp_path.iterdir()] == ["law"]


def test_derived_files_neither_block_the_next_export_nor_enter_the_manifest(tmp_path):
    """The C files of `ibvonn-fem emit-c` and the model card."""
    directory = export(tmp_path / "law")
    for name in manifest.DERIVED:
        (directory / name).write_text("written later")
    manifest.add(directory, seeds=None)
    assert not set(manifest.DERIVED) & set(read(directory)["files"])
    load_model(directory)
    export(directory)
    assert not (directory / "constitutive.c").exists()


@pytest.mark.parametrize("content", [None, "{}", "not json", '{"files": {}}'])
def test_directory_that_is_not_an_exported_model_is_left_alone(tmp_path, content):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    if content is not None:
        (target / "manifest.json").write_text(content)
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        export(target)
    assert (target / "thesis.tex").read_text() == "years of work"


def test_file_in_the_way_is_not_overwritten(tmp_path):
    (tmp_path / "law").write_text("text")
    with pytest.raises(FileExistsError, match="is a file"):
        export(tmp_path / "law")


class DriftingSample(GaussianSample):
    """Differs from torch in ONNX: traced with another deviation than it runs with."""

    def forward(self, noise, strain, statev):
        factor = 1.0 if isinstance(noise, torch.Tensor) else 1.0 + 1e-9
        return torch.unsqueeze(statev, 1) + factor * self.deviation * noise


def test_graph_that_differs_from_torch_is_not_written(tmp_path):
    decoder = DecoderGraphs(GaussianLogDensity(1.0), DriftingSample(1.0))
    with pytest.raises(ValueError, match=r"decoder_sample\.microstate .* differs from torch"):
        export_law(
            tmp_path / "law",
            untrained_law(1, 1),
            untrained_description(1, 1),
            decoder=decoder,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["constitutive.onnx", "parameters.npz", "reference.npz"])
@pytest.mark.parametrize("damage", ["tampered", "truncated", "missing"])
def test_damaged_export_is_detected_when_it_is_loaded(tmp_path, name, damage):
    directory = export(tmp_path / "law")
    path = directory / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(ExportedModelError, match=name):
        load_model(directory, kernel="onnx")


@pytest.mark.parametrize(
    ("name", "write"), [("exact_trap", export_trap), ("exact_sls", export_standard_linear_solid)]
)
def test_committed_exact_models_are_what_the_command_writes(tmp_path, name, write):
    shipped, written = ROOT / "exported_models" / name, write(tmp_path / name)
    for file in ("parameters.npz", "reference.npz"):
        with np.load(shipped / file) as a, np.load(written / file) as b:
            assert a.files == b.files
            for key in a.files:
                np.testing.assert_allclose(a[key], b[key], rtol=0, atol=1e-12, err_msg=key)
    load_model(shipped, kernel="onnx")


def test_law_without_parameters_is_of_the_family_graph(tmp_path):
    law = replace(model.ConstitutiveLaw.of(standard_linear_solid()), parameters=None)
    about = untrained_description(6, 6, strain_kind="controlled")
    directory = export_law(tmp_path / "law", law, about)
    assert read(directory)["family"] == "graph"
    assert not (directory / "parameters.npz").exists()
    load_model(directory, kernel="onnx")
