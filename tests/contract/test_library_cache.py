"""Compiled libraries are loaded only where nobody else could have put them, and only whole."""

import os
import subprocess
import sys

import pytest

from ibvonn_fem.files.library_cache import cached_library, is_sound
from ibvonn_fem.kernels import compiler as kernel_compiler
from ibvonn_train.files import library_cache as cache_of_training
from ibvonn_train.simulation import compiler as training_compiler

QUICK = ("-O0",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(path):
    path.write_bytes(b"library")


def test_a_library_is_built_once(folder):
    path = cached_library("a.so", build)
    assert path == folder / "a.so"
    cached_library("a.so", lambda _: pytest.fail("was built again"))
    assert sorted(each.name for each in folder.iterdir()) == ["a.so", "a.so.sha256"]
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "harm", ["shorter", "other", "no record", "empty record", "writable", "link"]
)
def test_a_library_that_is_not_the_one_that_was_built_is_built_again(folder, tmp_path, harm):
    path = cached_library("a.so", build)
    record = path.with_name("a.so.sha256")
    if harm == "shorter":
        path.write_bytes(b"lib")
    elif harm == "other":
        path.write_bytes(b"LIBRARY")
    elif harm == "no record":
        record.unlink()
    elif harm == "empty record":
        record.write_text("")
    elif harm == "writable":
        path.chmod(0o777)
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    assert not is_sound(path)
    cached_library("a.so", build)
    assert is_sound(path)
    if harm == "link":
        assert (tmp_path / "elsewhere").read_bytes() == b"library"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_cache_into_which_others_can_write_is_not_used(
    folder, mode, caplog, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder.mkdir()
    folder.chmod(mode)
    path = cached_library("a.so", build)
    assert path.parent != folder
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "others can write into it" in caplog.text
    assert list(folder.iterdir()) == []


def test_a_cache_below_a_folder_of_everybody_is_not_used(tmp_path, monkeypatch, caplog):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("IBVONN_CACHE", str(tmp_path / "open" / "cache"))
    cached_library("a.so", build)
    assert "others can exchange a folder above it" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_cache_of_another_user_is_not_used(folder, caplog):
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    assert cached_library("a.so", build).parent != folder
    assert "belongs to another user (12345)" in caplog.text


def test_a_link_at_the_name_of_a_lock_is_not_followed(folder, tmp_path):
    folder.mkdir(mode=0o700)
    (tmp_path / "startup").write_text("mine")
    (folder / "lock").symlink_to(tmp_path / "startup")
    cached_library("a.so", build)
    assert (tmp_path / "startup").read_text() == "mine"


def test_a_build_that_fails_leaves_nothing(folder):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        cached_library("a.so", fail)
    assert list(folder.iterdir()) == []


def test_a_truncated_kernel_is_compiled_again_and_does_not_end_the_process(folder):
    """Loading it as it is ends the process with SIGBUS."""
    path = kernel_compiler.compiled_library(QUICK)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096])
    code = (
        "from ibvonn_fem.kernels.c_library import load_library\n"
        f"print(load_library({QUICK!r}).functions is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert path.stat().st_size == len(whole)


def test_the_compiler_of_simulations_keeps_the_same_rule(folder, monkeypatch):
    monkeypatch.setattr(training_compiler, "FAST_FLAGS", QUICK)
    training_compiler.library.__wrapped__()
    (path,) = folder.glob("langevin-*.so")
    assert cache_of_training.is_sound(path)
    whole = path.stat().st_size
    path.unlink()
    path.write_bytes(b"\x7fELF")
    training_compiler.library.__wrapped__()
    assert path.stat().st_size == whole
