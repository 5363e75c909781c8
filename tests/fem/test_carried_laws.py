"""Laws that the package carries: found by name, listed, and never in the way of a path."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.cli import main
from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.model.carried_laws import CARRIED_LAWS, model_folder
from ibvonn_fem.model.law_summaries import summaries_of

MODELS = Path(__file__).parents[2] / "exported_models"


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CARRIED_LAWS)
def test_a_name_loads_the_law_of_that_folder_anywhere(name, empty_folder):
    named = load_model(name, "onnx")
    assert named.fingerprint() == load_model(MODELS / name, "onnx").fingerprint()
    assert list(empty_folder.iterdir()) == []


def test_a_name_is_looked_up_as_a_path_object_too(empty_folder):
    assert load_model(Path("exact_trap"), "onnx").manifest.name == "exact_trap"


def test_a_folder_comes_before_the_carried_law_of_its_name(empty_folder):
    shutil.copytree(MODELS / "exact_sls", empty_folder / "trap")
    assert load_model("trap", "onnx").strain_size == 6


def test_a_file_is_no_folder_and_hides_no_law(empty_folder):
    (empty_folder / "trap").write_text("notes")
    assert load_model("trap", "onnx").manifest.name == "trap"


def test_a_folder_without_a_model_is_named_where_it_hides_a_law(empty_folder):
    (empty_folder / "lattice").mkdir()
    with pytest.raises(ExportedModelError, match=r"has no manifest\.json and hides the law"):
        load_model("lattice")


def test_an_unknown_name_lists_the_carried_laws(empty_folder):
    with pytest.raises(ExportedModelError, match="exact_sls, exact_trap, lattice, trap"):
        load_model("latice")


@pytest.mark.parametrize("path", ["./lattice", "models/lattice", "lattice/", "/nowhere/lattice"])
def test_a_path_is_never_looked_up(path, empty_folder):
    assert model_folder(path) == Path(path)
    with pytest.raises(ExportedModelError, match="there is no such directory"):
        load_model(path)


def test_a_carried_law_is_unpickled_in_another_folder(empty_folder, monkeypatch, tmp_path):
    stored = pickle.dumps(load_model("exact_trap", "onnx"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(stored).manifest.name == "exact_trap"


def test_c_files_are_not_written_into_the_package(empty_folder):
    with pytest.raises(ValueError, match="Give the folder to write into"):
        emit_c("exact_trap")
    paths = emit_c("exact_trap", empty_folder)
    assert {path.parent for path in paths} == {empty_folder}


def test_the_list_says_where_the_laws_are_valid(empty_folder, capsys):
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    names = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert names == list(CARRIED_LAWS)
    assert "alpha_1, alpha_2, alpha_3 (population of 2 states each)" in text
    assert "strain -10 to 10; strain rate -100 to 100; time step 0.001 to 1" in text


def test_the_list_as_json_has_the_folder_of_every_law(capsys):
    assert main(["models", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == list(CARRIED_LAWS)
    for entry in entries:
        manifest = json.loads((Path(entry["folder"]) / "manifest.json").read_text())
        assert entry["description"] == manifest["description"]


def test_models_of_a_folder_are_listed_by_their_paths():
    names = {Path(summary.name).name for summary in summaries_of(MODELS)}
    assert names == {path.parent.name for path in MODELS.glob("*/manifest.json")}
    assert names > set(CARRIED_LAWS)


def test_a_folder_without_models_is_said(empty_folder, capsys):
    assert main(["models", str(empty_folder)]) == 1
    assert "has no subfolder with a manifest.json" in capsys.readouterr().err


def test_a_command_takes_a_name(empty_folder, capsys):
    assert main(["check", "exact_trap", "--kernel", "onnx"]) == 0
    assert "exact_trap: all checks passed" in capsys.readouterr().out
    np.savetxt("history.csv", [[0.0, 0.1], [1.0, 0.1]], delimiter=",")
    options = ["--strain-history", "history.csv", "--no-figure", "--kernel", "onnx"]
    assert main(["run-point", "exact_trap", *options]) == 0


def test_a_command_given_a_path_looks_up_no_name(empty_folder, capsys):
    assert main(["check", "./exact_trap", "--kernel", "onnx"]) == 1
    assert "there is no such directory" in capsys.readouterr().out
