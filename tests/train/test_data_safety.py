"""A data file of a stranger harms nobody, and a writer that is killed harms no file."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from record_files import rewritten

from ibvonn_train.data.ensemble import TrajectoryEnsemble, open_ensemble
from ibvonn_train.files.plain_files import replacing


def test_an_interrupted_write_leaves_the_old_file(data, file, monkeypatch):
    before = file.read_bytes()

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(KeyboardInterrupt):
        data.save(file)
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == [file.name]


WRITER = """
import sys, h5py
file = h5py.File(sys.argv[1], "r+")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_writes_is_not_called_damaged(file):
    command = [sys.executable, "-c", WRITER, str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(ValueError, match=r"open for writing.*when that program has closed it"):
            TrajectoryEnsemble.load(file)
        writer.communicate("")
    assert TrajectoryEnsemble.load(file).system == "tethered_particle"


def test_no_message_about_a_file_asks_for_its_replacement(file):
    whole = file.read_bytes()
    for content in (b"", b"text", whole[:100], whole[:2000], whole[:-1], whole[:8] + bytes(5000)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="copy") as caught:
            TrajectoryEnsemble.load(file)
        assert "rite it again" not in str(caught.value)
        assert "rite the file again" not in str(caught.value)


@pytest.mark.parametrize("name", ["microstate", "strain", "energy"])
@pytest.mark.parametrize("kind", ["soft", "external", "storage", "virtual"])
def test_values_outside_the_file_are_refused(file, tmp_path, name, kind):
    other = tmp_path / "secret.h5"
    other.write_bytes(file.read_bytes())
    with h5py.File(file, "r+") as handle:
        shape = handle["strain"].shape
        if name in handle:
            shape = handle[name].shape
            del handle[name]
        if kind == "soft":
            handle[name] = h5py.SoftLink("/stress")
        elif kind == "external":
            handle[name] = h5py.ExternalLink(str(other), "/stress")
        elif kind == "storage":
            size = 8 * int(np.prod(shape))
            handle.create_dataset(name, shape, "f8", external=[(str(other), 0, size)])
        else:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(str(other), "stress", shape)
            handle.create_virtual_dataset(name, layout)
    with pytest.raises(ValueError, match=f"{name} must lie in the file itself"):
        TrajectoryEnsemble.load(file)


def test_packed_numbers_are_not_taken_for_values(data, file):
    rewritten(file, stress=np.round(data.stress / 1e-3).astype(np.int16))
    with h5py.File(file, "r+") as handle:
        handle["stress"].attrs["scale_factor"] = 1e-3
    with pytest.raises(ValueError, match=r"stress must hold the values .*'scale_factor'"):
        TrajectoryEnsemble.load(file)


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), ("/dev/zero", "a d")):
        with pytest.raises(ValueError, match=f"must be a regular file; it is {kind}"):
            TrajectoryEnsemble.load(path)


def test_data_larger_than_the_memory_are_refused_before_they_are_read(data, file):
    """The file has a few kB: no value of these 2 TB was ever written."""
    count, instants = data.strain.shape[:2]
    with h5py.File(file, "r+") as handle:
        del handle["microstate"]
        shape = (count, instants, 1, 2 * 10**9, 4)
        chunks = (1, 1, 1, 1000, 4)
        handle.create_dataset("microstate", shape, "f4", chunks=chunks, fillvalue=0.0)
    with pytest.raises(ValueError, match=r"microstate: needs 2.02 TB of memory; .* are free"):
        TrajectoryEnsemble.load(file)
    with open_ensemble(file) as stored:
        assert stored.microstate.shape == shape  # opening takes none


def test_a_killed_writer_leaves_one_file_that_the_next_one_clears(data, tmp_path):
    path, left = tmp_path / "new.h5", tmp_path / ".new.h5.part"
    script = (
        "import os, sys, ibvonn_train.data.hdf5 as f\n"
        "f._write_compressed = lambda *_: os._exit(9)\n"
        "from ibvonn_train.data import TrajectoryEnsemble\n"
        "TrajectoryEnsemble.load(sys.argv[1]).save(sys.argv[2])\n"
    )
    data.save(tmp_path / "old.h5")
    for _ in range(2):
        command = [sys.executable, "-c", script, str(tmp_path / "old.h5"), str(path)]
        assert subprocess.run(command, check=False).returncode == 9
        assert sorted(each.name for each in tmp_path.iterdir()) == [left.name, "old.h5"]
    data.save(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.h5", "old.h5"]
    assert TrajectoryEnsemble.load(path).sha256() == data.sha256()


def test_two_writers_of_one_file_do_not_mix(data, tmp_path):
    path = tmp_path / "one.h5"
    with replacing(path) as first:
        first.write(b"of the first")
        with pytest.raises(BlockingIOError, match="being written by another program"):
            data.save(path)
    assert path.read_bytes() == b"of the first"


def test_a_writer_follows_no_link(data, tmp_path):
    victim = tmp_path / "profile"
    victim.write_text("mine")
    for name, words in ((".data.h5.part", "must not be a link"), ("data.h5", "symbolic link")):
        (tmp_path / name).symlink_to(victim)
        with pytest.raises(OSError, match=words):
            data.save(tmp_path / "data.h5")
        (tmp_path / name).unlink()
    data.save(tmp_path / "data.h5")
    assert victim.read_text() == "mine"
