"""Format 2 of exported models, and directories of format 1, which are read as before."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from untrained_description import untrained_description

from ibvonn_fem import load_model
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.files.former_format import order_of
from ibvonn_fem.files.model_directory import read_document
from ibvonn_fem.files.state_bounds import missing, within_bounds
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_train.closed_form.random_law import untrained_law, untrained_populations
from ibvonn_train.export import export_law, manifest
from ibvonn_train.export.reference_points import graph_arrays
from ibvonn_train.export.runtimes.onnx_session import run_onnx
from ibvonn_train.export.stamp import stamp

ROOT = Path(__file__).parents[2]
FORMAT_1 = ROOT / "tests" / "data" / "format_1" / "exact_trap"

pytestmark = pytest.mark.export


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(FORMAT_1, tmp_path / "old"))


def edit(directory, change):
    """Alter the manifest and let its graphs agree with it."""
    path = directory / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    stamp(directory)


def test_a_directory_of_format_1_is_read_with_all_its_checks(old):
    assert json.loads((old / "manifest.json").read_text())["format"] == 1
    model = load_model(old, "onnx")
    assert model.manifest.verify_files() == []  # the graphs carry the hash of the file as it is
    assert model.manifest.strain_order == "scalar"
    assert [variable["kind"] for variable in model.manifest.variables] == ["mean"]
    assert not np.isfinite(model.manifest.bounds).any()
    document = read_document(old)
    assert document["classes"] == [{"name": "element", "strain_basis": [[1.0]]}]
    assert document["symmetry"] == [{"classes": [0], "strain": [[1.0]]}]
    assert manifest.read(old)["internal"]["variables"] == document["internal"]["variables"]


def test_stamp_makes_format_2_of_it_and_leaves_every_number(old):
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    stamp(old)
    assert json.loads((old / "manifest.json").read_text())["format"] == 2
    load_model(old, "onnx")
    for name in ("parameters.npz", "reference.npz"):
        assert (old / name).read_bytes() == before[name]
    reference = dict(np.load(old / "reference.npz"))
    for path in sorted(old.glob("*.onnx")):
        assert path.read_bytes() != before[path.name]  # another manifest
        inputs = graph_arrays(reference, path.stem, "in")
        was, now = (run_onnx(graph, inputs) for graph in (before[path.name], path.read_bytes()))
        assert all(now[key].tobytes() == value.tobytes() for key, value in was.items())


def test_what_is_measured_later_keeps_a_directory_in_its_format(old):
    manifest.add(old, runtime_agreement=None)
    document = json.loads((old / "manifest.json").read_text())
    assert document["format"] == 1
    assert "classes" not in document
    load_model(old, "onnx")


@pytest.mark.parametrize("key", ["classes", "symmetry", "inputs"])
def test_format_1_with_an_entry_of_format_2_is_refused(old, key):
    path = old / "manifest.json"
    document = json.loads(path.read_text())
    document[key] = [{"name": "x", "meaning": "x"}]
    path.write_text(json.dumps(document))
    with pytest.raises(ExportedModelError, match=key):
        read_manifest(old)


def test_a_directory_without_a_reference_strain_is_not_made_format_2(old):
    path = old / "manifest.json"
    document = json.loads(path.read_text())
    del document["strain"]["reference"]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"has no strain.reference"):
        stamp(old)


@pytest.fixture
def lattice(tmp_path):
    """Three classes of bonds in the plane, a population of two states and a mean in each."""
    angles = np.pi / 3.0 * np.arange(3)
    n = np.stack([np.cos(angles), np.sin(angles)], 1)
    basis = np.stack([n[:, 0] ** 2, n[:, 1] ** 2, np.sqrt(2.0) * n[:, 0] * n[:, 1]], 1)
    turn = np.linalg.solve(basis, basis[[1, 2, 0]])
    about = untrained_description(
        3,
        6,
        strain=["e_xx", "e_yy", "e_xy"],
        classes=("a", "b", "c"),
        strain_basis=basis[:, None, :],
        symmetry=[
            {"classes": [0, 1, 2], "strain": np.eye(3)},
            {"classes": [1, 2, 0], "strain": turn},
        ],
        internal_classes=[0, 1, 2, 0, 1, 2],
    )
    return export_law(tmp_path / "lattice", untrained_populations(3, (2, 2, 2), 3), about)


def test_classes_symmetry_and_variables_are_in_the_manifest(lattice):
    document = manifest.read(lattice)
    assert [entry["name"] for entry in document["classes"]] == ["a", "b", "c"]
    assert [variable["class"] for variable in document["internal"]["variables"]] == list("abcabc")
    kinds = [variable["kind"] for variable in document["internal"]["variables"]]
    assert kinds == ["population"] * 3 + ["mean"] * 3
    assert document["strain"]["order"] == "mandel"
    # Turning the strain by a third of a turn does to each class what the permutation says.
    basis = np.array([entry["strain_basis"][0] for entry in document["classes"]])
    element = document["symmetry"][1]
    np.testing.assert_allclose(basis @ element["strain"], basis[element["classes"]], atol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["classes"][1].update(name="a"), "different names"),
        (lambda d: d["classes"][1].update(strain_basis=[[1.0]]), "rows of 3 numbers"),
        (lambda d: d["symmetry"][1].update(classes=[0, 0, 1]), "permutation of the 3 classes"),
        (lambda d: d["symmetry"][1].update(strain=[[1.0]]), "3 × 3 numbers"),
        (lambda d: d["internal"]["variables"].pop(), "list the components"),
        (lambda d: d["internal"]["variables"][0].update({"class": "z"}), "class 'z'"),
        (lambda d: d["internal"]["variables"][0].update(states=3), "must have 2 entries"),
        (lambda d: d["internal"]["variables"][0].update(rest=[1.5]), "sum below 1"),
        (lambda d: d["internal"]["variables"][0].update(bounds=[[-1.0, 1.0]]), "bounds must be"),
        (lambda d: d["internal"]["variables"][3].update(bounds=[[0.0, 1.0]]), "is a mean"),
        (lambda d: d["strain"].pop("order"), "order"),
        (lambda d: d.update(inputs=[{"name": "T", "meaning": "warm"}]), "further inputs T"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(lattice, change, message):
    path = lattice / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ExportedModelError, match=message):
        read_manifest(lattice)


def test_bounds_of_the_manifest_are_those_of_the_weights(lattice):
    def change(document):
        variable = document["internal"]["variables"][0]
        variable["rest"] = [0.25]
        variable["bounds"] = [[-0.25, 0.75]]

    edit(lattice, change)
    with pytest.raises(ExportedModelError, match="disagree on rest"):
        load_model(lattice)


def test_a_graph_that_takes_more_than_strain_state_and_step_is_refused_by_name(tmp_path):
    import onnx

    directory = export_law(tmp_path / "law", untrained_law(1, 1), untrained_description(1, 1))
    path = directory / "constitutive.onnx"
    model = onnx.load(str(path))
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("temperature", onnx.TensorProto.DOUBLE, ["npoints", 1])
    )
    onnx.save(model, str(path))
    document = json.loads((directory / "manifest.json").read_text())
    content = path.read_bytes()
    document["files"][path.name] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (directory / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ExportedModelError, match=r"takes the further inputs temperature"):
        load_model(directory, "onnx")


@pytest.mark.parametrize(
    ("names", "measure", "order"),
    [
        (["strain"], "", "scalar"),
        (["e_xx", "e_yy", "e_xy"], "", "mandel"),
        (["e_11", "e_22", "e_33", "e_12", "e_13", "e_23"], "", "mandel"),
        (["e_11", "e_22", "e_33", "e_23", "e_13", "e_12"], "", "other"),
        (["e_xx", "e_yy", "gamma_xy"], "", "other"),
        (["e_xx", "e_yy", "e_xy"], "engineering shear", "other"),
        (["a", "b", "c"], "", "other"),
    ],
)
def test_order_follows_from_names_that_show_it(names, measure, order):
    assert order_of(names, measure) == order


def test_random_states_are_moved_into_the_simplex():
    variables = [
        {"kind": "population", "components": ["a", "b"], "rest": [0.2, 0.3]},
        {"kind": "mean", "components": ["c"], "rest": [0.0]},
    ]
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (1000, 3))
    assert missing(variables, states).max() > 0.5
    moved = within_bounds(variables, states)
    assert missing(variables, moved).max() < 1e-15
    np.testing.assert_array_equal(moved[:, 2], states[:, 2])
    inside = missing(variables, states) <= 0.0
    assert np.count_nonzero(inside) > 50
    np.testing.assert_allclose(moved[inside], states[inside], atol=1e-15)
