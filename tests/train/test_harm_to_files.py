"""Trainings, links, full disks and killed programs do no harm to files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import STUDY, simulated

from ibvonn_train.cli import main
from ibvonn_train.cli.standard_output import require_places
from ibvonn_train.files.plain_files import replacing, write_file
from ibvonn_train.studies.results import write_json
from ibvonn_train.training import checkpoint
from ibvonn_train.training.log import RunLog, alone


def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    script = (
        "import sys, pathlib; from ibvonn_train.training.log import alone\n"
        "with alone(pathlib.Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        yield other
        other.kill()


def test_two_trainings_do_not_share_a_folder_and_a_killed_one_leaves_it_free(folder: Path) -> None:
    for other in holder(folder):
        with (
            pytest.raises(BlockingIOError, match="another training is writing here"),
            alone(folder),
        ):
            raise AssertionError("two trainings in one folder")
        other.kill()
        other.wait()
        with alone(folder):
            assert (folder / ".training.lock").is_file()
    with alone(folder):
        pass


@pytest.mark.parametrize("name", ["model.pt", "log.csv", "config.json", "result.json"])
def test_no_link_in_a_folder_is_written_through(name: str, folder: Path) -> None:
    """Neither under the name itself nor under that of the unfinished file."""
    victim = folder.parent / "profile"
    victim.write_text("mine")
    writers = {
        "model.pt": lambda path: checkpoint.save(path, {"kind": "model"}),
        "log.csv": lambda path: RunLog(path.parent, tensorboard=False, rows=0).close(),
        "config.json": lambda path: write_file(path, "{}"),
        "result.json": lambda path: write_json(path, {"ensembles": {}}),
    }
    (folder / name).symlink_to(victim)
    with pytest.raises(OSError, match="it is a symbolic link"):
        writers[name](folder / name)
    (folder / name).unlink()
    (folder / f".{name}.part").symlink_to(victim)
    with pytest.raises(OSError, match="must not be a link"):
        writers[name](folder / name)
    (folder / f".{name}.part").unlink()
    os.link(victim, folder / f".{name}.part")
    with pytest.raises(OSError, match="must be a file with one name"):
        writers[name](folder / name)
    assert victim.read_text() == "mine"


def test_a_write_that_fails_leaves_the_old_file_and_no_other(folder: Path) -> None:
    write_file(folder / "a.json", "old")

    def interrupted() -> None:
        with replacing(folder / "a.json") as stream:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left .* as it was.*a\.json") as caught:
        interrupted()
    assert caught.value.errno == errno.ENOSPC
    assert (folder / "a.json").read_text() == "old"
    assert [each.name for each in folder.iterdir()] == ["a.json"]


def test_a_simulation_clears_what_a_killed_one_has_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data").mkdir()
    more = STUDY[STUDY.index("[[simulation.sets]]") : STUDY.index("[training]")]
    more = more.replace('"train"', '"other"').replace("seed = 1", "seed = 2")
    for name in ("train", "other"):
        (folder / "data" / f".{name}.h5.part").write_bytes(bytes(1000))
    assert simulated(folder, STUDY.replace("[training]", f"{more}\n[training]"), capsys)[0] == 0
    assert sorted(each.name for each in (folder / "data").iterdir()) == ["other.h5", "train.h5"]


def test_places_that_cannot_be_written_are_refused_before_the_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated(folder, STUDY, capsys)[0] == 0
    data, config = str(folder / "data/train.h5"), str(folder / "study.toml")
    (folder / "file").write_text("mine")
    link = folder / "new"
    link.mkdir()
    (link / "trap.toml").symlink_to(folder / "elsewhere")
    for command, words in (
        (["simulate", config, "--out", f"{folder}/file"], "must be a folder"),
        (["train", config, "--data", data, "--out", f"{folder}/file/run"], "must be a folder"),
        (["evaluate", "none", "--ensemble", data, "--json", str(folder)], "must be a file; it is"),
        (["evaluate", "none", "--ensemble", data, "--json", "/proc/x.json"], "that can be written"),
        (["learn-on-demand", "none", "--json", str(folder)], "must be a file; it is"),
        (["evaluate", "none", "--ensemble", data, data], "must have a name of its own"),
        (["train", config, "--data", data, data, "--out", f"{folder}/r"], "must be named once"),
        (["train", config, "--data", "/dev/zero", "--out", f"{folder}/r"], "it is a device"),
        (["train", "/dev/zero", "--data", data, "--out", f"{folder}/r"], "it is a device"),
        (["init", "trap", str(link)], "is there already"),
    ):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize(
    "command",
    [
        "spot-check none --model none --figure",
        "microstates none --model none --point 0 --out",
        "scan none --data none --ensemble none --figure",
    ],
    ids=lambda command: command.split()[0],
)
def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_read(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, refused in (("new/x.bad", True), ("x.PNG", False), ("x", False)):
        assert main([*command.split(), str(folder / name)]) == 1
        said = capsys.readouterr().err
        assert ("x.bad: must have an ending in which figures can be drawn" in said) is refused
        assert ("none" in said) is not refused  # the first file that is read
        assert said.count("\n") == 1
    assert not (folder / "new").exists()


def test_a_trial_of_a_place_leaves_what_is_there(folder: Path) -> None:
    there, new = folder / "there.json", folder / "new.json"
    there.write_text("mine")
    require_places(there, new)
    assert there.read_text() == "mine"
    assert [each.name for each in folder.glob("*.json")] == ["there.json"]
    assert not list(folder.glob(".*.part"))
