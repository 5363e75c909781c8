"""What writes a model follows no link, leaves no half of a file and loses nothing of another."""

import shutil
import threading

import pytest
from altered_models import EXACT_TRAP, document_of, put

from ibvonn_fem.cli import main as main_fem
from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.files.plain_files import locked, replacing, write_file
from ibvonn_train.cli.parser import main as main_train
from ibvonn_train.export import manifest as manifests
from ibvonn_train.export.directory import whole_directory
from ibvonn_train.export.runtimes import agreement as verify
from ibvonn_train.figures import write_card

pytestmark = pytest.mark.export


@pytest.mark.parametrize("name", ["README.md", "response.png", "manifest.json"])
@pytest.mark.parametrize("verb", ["card", "verify"])
def test_no_verb_writes_through_a_link(copy, tmp_path, name, verb, monkeypatch):
    monkeypatch.setattr(verify, "emit_c", lambda *_: None)  # nothing is compiled
    target = tmp_path / "startup"
    shutil.copy(copy / name, target)
    before = target.read_bytes()
    (copy / name).unlink()
    (copy / name).symlink_to(target)
    points = ["--points", "16"] if verb == "verify" else []
    assert main_train([verb, str(copy), *points]) == 1
    assert target.read_bytes() == before
    assert (copy / name).is_symlink()


@pytest.mark.parametrize("name", ["constitutive.c", "constitutive.h", "constitutive.f90"])
def test_the_c_file_is_not_written_through_a_link(copy, tmp_path, name, capsys):
    (tmp_path / "startup").write_text("mine")
    (copy / name).symlink_to(tmp_path / "startup")
    assert main_fem(["emit-c", str(copy)]) == 1
    assert "it is a symbolic link" in capsys.readouterr().err
    assert (tmp_path / "startup").read_text() == "mine"


def test_init_and_results_are_not_written_through_a_link(copy, tmp_path, capsys):
    """A link to a file that does not exist yet looks as if nothing stood there."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "trap.toml").symlink_to(tmp_path / "startup")
    assert main_train(["init", "trap", str(tmp_path / "study")]) == 1
    (tmp_path / "history.csv").write_text("0, 0.1\n1, 0.2\n")
    for name in ("out.csv", "out.png"):
        (tmp_path / name).symlink_to(tmp_path / "startup")
        other = {"out.csv": "--output", "out.png": "--figure"}
        options = ["--output", str(tmp_path / "table.csv"), "--figure", str(tmp_path / "f.png")]
        options[options.index(other[name]) + 1] = str(tmp_path / name)
        history = ["--strain-history", str(tmp_path / "history.csv")]
        assert main_fem(["run-point", str(copy), *history, *options]) == 1
    assert capsys.readouterr().err.count("it is a symbolic link") == 2
    assert not (tmp_path / "startup").exists()


def test_an_export_over_a_broken_model_is_refused_in_a_sentence(copy, capsys, tmp_path):
    (copy / "manifest.json").write_text("[]")
    assert main_train(["export", str(tmp_path / "run"), str(copy)]) == 1
    assert "must hold a JSON object; found a list" in capsys.readouterr().err


def test_a_link_at_the_name_of_an_unfinished_file_is_left_alone(copy, tmp_path):
    (tmp_path / "startup").write_text("mine")
    for name in (".manifest.json.part", ".README.md.part", ".constitutive.pt.part"):
        (copy / name).symlink_to(tmp_path / "startup")
    with pytest.raises(OSError, match="must not be a link"):
        write_card(copy)
    assert (tmp_path / "startup").read_text() == "mine"


def test_a_c_file_is_not_made_of_an_altered_manifest(copy, tmp_path):
    document = document_of(copy)
    document["initial_state"]["stress"] = [0.5]
    put(copy, document)
    with pytest.raises(ExportedModelError, match="is not the one with which"):
        emit_c(copy, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def _write_half(path):
    with replacing(path) as stream:
        stream.write(b"half of the n")
        raise OSError("No space left on device")


def test_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.csv"
    write_file(path, "old")
    path.chmod(0o640)
    with pytest.raises(OSError, match="No space"):
        _write_half(path)
    assert path.read_text() == "old"
    write_file(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["result.csv"]


def test_two_that_add_to_one_model_lose_nothing(copy):
    document = document_of(copy)
    row = {"ensemble": "e", "quantity": "q", "seeds": 2, "median": 1, "lowest": 1, "highest": 1}
    with locked(copy):  # both wait until the other one is ready too
        threads = [
            threading.Thread(target=manifests.add, args=(copy,), kwargs=entry)
            for entry in (
                {"runtime_agreement": document["runtime_agreement"][:1]},
                {"seeds": [row]},
            )
        ]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    result = manifests.read(copy)
    assert result["runtime_agreement"] == document["runtime_agreement"][:1]
    assert result["seeds"] == [row]


def _export_while_another_writes(directory):
    with whole_directory(directory) as folder:
        shutil.copytree(EXACT_TRAP, folder, dirs_exist_ok=True)
        write_card(directory)


def test_of_two_exports_into_one_directory_the_second_is_refused(copy):
    with pytest.raises(FileExistsError, match="another run has written into it"):
        _export_while_another_writes(copy)
    manifests.read(copy)
