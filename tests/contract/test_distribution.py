"""What leaves the repository: the wheel with its laws, source archive, recipe, Dockerfile."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from ibvonn_fem.model.carried_laws import CARRIED_LAWS

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = ROOT / "distribution"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOAD = """
from pathlib import Path
from ibvonn_fem import load_model
model = load_model("lattice", "onnx")
print(model.fingerprint(), Path(model.manifest.directory).resolve(), sep="\\n")
"""


def module(name):
    spec = importlib.util.spec_from_file_location(name, DISTRIBUTION / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


MAKE = module("make")


def run(*command, folder, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(*command, folder, **variables):
    done = run(*command, folder=folder, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def source(tmp_path):
    """A copy of what git tracks."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    for name in MAKE.tracked_files():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / "source" / name)
    return tmp_path / "source"


BUILD_WHEEL = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")


def test_every_place_has_the_version_of_the_project():
    assert MAKE.one_version() == PROJECT["version"]


def test_another_version_in_a_place_is_seen(tmp_path, monkeypatch):
    """Guards the test above."""
    for name in ("CITATION.cff", "CHANGELOG.md"):
        shutil.copy2(ROOT / name, tmp_path / name)
    citation = tmp_path / "CITATION.cff"
    citation.write_text(
        citation.read_text("utf-8").replace("\nversion: 0", "\nversion: 9"), "utf-8"
    )
    monkeypatch.setattr(MAKE, "ROOT", tmp_path)
    with pytest.raises(MAKE.CheckError, match=r"CITATION\.cff"):
        MAKE.one_version()


def test_the_paper_is_cited_by_its_doi():
    assert "doi: 10.1016/j.jmps.2025.106211" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_both_copies_of_the_licence_are_one():
    assert (ROOT / "LICENSES/MIT.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_tool_has_one_version():
    pins = (DISTRIBUTION / "tools.txt").read_text("utf-8")
    pinned = re.findall(r"^([a-z-]+)==[0-9.]+$", pins, re.MULTILINE)
    used = re.findall(r'tool\("([a-z-]+)"\)', (DISTRIBUTION / "make.py").read_text("utf-8"))
    assert sorted(pinned) == sorted(set(used))


def test_the_conda_package_requires_what_the_wheel_does():
    lists = dict(
        re.findall(
            r"^  (run|run_constraints|host):\n((?:    - .*\n)+)",
            (DISTRIBUTION / "recipe.yaml").read_text("utf-8"),
            re.MULTILINE,
        )
    )
    run_list = set(re.findall(r"- (.*)", lists["run"]))
    needs = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["fem"]]
    # cffi is held back for pip only, and conda-forge's matplotlib would bring Qt.
    names = {"cffi": "cffi", "matplotlib": "matplotlib-base"}
    expected = {f"python {PROJECT['requires-python']}"}
    for need in needs:
        name, bound = re.match(r"([a-z0-9]+)([^;]*)", need).groups()
        expected.add("cffi" if name == "cffi" else f"{names.get(name, name)} {bound}")
    assert run_list == expected


def test_the_dockerfile_has_instructions_that_can_be_tried_without_docker():
    text = (DISTRIBUTION / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    used = {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}
    script = (DISTRIBUTION / "test_dockerfile.sh").read_text("utf-8")
    known = re.findall(r"^        ([A-Z |]+)\)", script, re.MULTILINE)
    assert used <= {word for line in known for word in line.split(" | ")}
    assert used >= {"FROM", "RUN", "COPY", "USER"}


def test_an_installed_package_finds_its_laws_outside_the_checkout(tmp_path):
    """Of an editable install, which reads the folder of the checkout."""
    try:
        version("ibvonn")
    except PackageNotFoundError:
        pytest.skip("the project is not installed")
    _, folder = succeed(sys.executable, "-c", LOAD, folder=tmp_path).split("\n", 1)
    assert Path(folder.strip()).name == "lattice"


@pytest.mark.slow
def test_a_wheel_carries_its_laws_into_an_empty_folder(source, tmp_path):
    succeed(*BUILD_WHEEL, "--wheel-dir", tmp_path, source, folder=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"ibvonn-{PROJECT['version']}-py3-none-any.whl"
    prefix = "ibvonn_fem/exported_models/"
    with zipfile.ZipFile(wheel) as archive:
        entries = [e for e in archive.infolist() if e.filename.startswith(prefix)]
        archive.extractall(tmp_path / "installed")
    assert {e.filename.removeprefix(prefix).split("/")[0] for e in entries} == set(CARRIED_LAWS)
    assert sum(e.file_size for e in entries) <= MAKE.LARGEST_LAWS
    (tmp_path / "empty").mkdir()
    options = {"folder": tmp_path / "empty", "PYTHONPATH": str(tmp_path / "installed")}
    installed, where = succeed(sys.executable, "-c", LOAD, **options).split()
    assert where == str((tmp_path / "installed" / prefix / "lattice").resolve())
    here = succeed(sys.executable, "-c", LOAD, folder=ROOT, PYTHONPATH=str(ROOT)).split()
    assert [installed, str(ROOT / "exported_models/lattice")] == here
    listed = succeed(sys.executable, "-m", "ibvonn_fem", "models", **options)
    assert re.findall(r"^(\S+)$", listed, re.MULTILINE) == list(CARRIED_LAWS)


@pytest.mark.slow
def test_no_wheel_is_built_without_one_of_its_laws(source, tmp_path):
    shutil.rmtree(source / "exported_models/trap")
    done = run(*BUILD_WHEEL, "--wheel-dir", tmp_path, source, folder=tmp_path)
    assert done.returncode != 0
    assert "the law trap, which the wheel carries, is missing" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_source_archive_holds_the_checkout(source, tmp_path):
    build = f"import setuptools.build_meta as b; b.build_sdist({str(tmp_path)!r})"
    succeed(sys.executable, "-c", build, folder=source)
    with tarfile.open(tmp_path / f"ibvonn-{PROJECT['version']}.tar.gz") as archive:
        files = {m.name.split("/", 1)[1] for m in archive.getmembers() if m.isfile()}
    assert set(MAKE.tracked_files()) <= files
    assert {"tests/README.md", "configs/trap.toml", "CONVENTIONS.md"} <= files
