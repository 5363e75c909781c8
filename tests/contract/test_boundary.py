"""The two packages share only the exported directory; each heavy library has one door."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "ibvonn_fem": {"torch", "nflows", "onnx", "ibvonn_train"},
    "ibvonn_train": {"dolfinx", "petsc4py", "ufl", "basix", "ibvonn_fem"},
}
PACKAGES = sorted(FORBIDDEN)
HAS_DOLFINX = importlib.util.find_spec("dolfinx") is not None

# Imports every module of a package while some libraries cannot be imported.
IMPORT_ALL = """
import importlib, pkgutil, sys

package, *blocked = sys.argv[1:]

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

for name in list(sys.modules):
    assert name.partition(".")[0] not in blocked, f"{name} was there before the test"
sys.meta_path.insert(0, Blocker())
names = [package]
root = importlib.import_module(package)
names += [m.name for m in pkgutil.walk_packages(root.__path__, package + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def import_all(
    package: str, blocked: set[str], folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, package, *sorted(blocked)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def imported_names(source: str) -> Iterator[str]:
    """Dotted names that a source text imports, also inside functions and by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__", "version"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def libraries(source: str) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(source)}


def asks_for_dolfinx_version(source: str) -> bool:
    names = set(imported_names(source))
    if names & {"dolfinx.__version__", "fenics-dolfinx", "fenics_dolfinx"}:
        return True
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "__version__"
        and ast.unparse(node.value).split(".")[0] == "dolfinx"
        for node in ast.walk(ast.parse(source))
    )


def sources(package: str) -> list[Path]:
    outcome = sorted((ROOT / package).rglob("*.py"))
    assert outcome, f"{package} has no source files in {ROOT}"
    return outcome


@pytest.mark.parametrize("package", PACKAGES)
def test_no_source_file_names_a_library_of_the_other_side(package):
    offenders = {
        str(path.relative_to(ROOT)): sorted(outcome)
        for path in sources(package)
        if (outcome := libraries(path.read_text(encoding="utf-8")) & FORBIDDEN[package])
    }
    assert offenders == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports_while_the_other_side_is_blocked(package):
    if package == "ibvonn_fem" and not HAS_DOLFINX:
        pytest.skip("DOLFINx is not installed")
    result = import_all(package, FORBIDDEN[package])
    assert result.returncode == 0, result.stderr
    # Files in a folder without __init__.py are templates to copy, not modules.
    modules = [path for path in sources(package) if (path.parent / "__init__.py").exists()]
    assert int(result.stdout) == len(modules)


def test_only_flow_imports_nflows():
    users = [p for p in sources("ibvonn_train") if "nflows" in libraries(p.read_text("utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in users] in ([], ["ibvonn_train/law/flow.py"])


def test_only_compat_asks_for_the_version_of_dolfinx():
    users = [p for p in sources("ibvonn_fem") if asks_for_dolfinx_version(p.read_text("utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in users] in ([], ["ibvonn_fem/_compat.py"])


@pytest.mark.parametrize(
    "statement",
    [
        "import torch",
        "import torch.nn as nn",
        "from torch.nn import Module",
        "def f():\n    from torch import nn",
        "if TYPE_CHECKING:\n    import torch",
        "importlib.import_module('torch.nn')",
        "__import__('torch')",
    ],
)
def test_the_scan_sees_every_form_of_import(statement):
    assert libraries(statement) == {"torch"}


@pytest.mark.parametrize(
    "statement",
    ["dolfinx.__version__", "from dolfinx import __version__", "version('fenics-dolfinx')"],
)
def test_the_scan_sees_every_question_for_the_version(statement):
    assert asks_for_dolfinx_version(statement)
    assert not asks_for_dolfinx_version("import dolfinx; numpy.__version__")


def test_a_hidden_import_of_a_blocked_library_is_caught(tmp_path):
    """Guards the import test: it fails for an import that the scan of sources cannot see."""
    package = tmp_path / "leaky"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("name = 'to' + 'rch'\n__import__(name)\n")
    result = import_all("leaky", {"torch"}, tmp_path)
    assert result.returncode != 0
    assert "torch is blocked" in result.stderr


def public_names(path: Path) -> set[str]:
    """Names that a package offers, ``from .module import name as name``."""
    return {
        alias.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def test_every_package_offers_at_most_twenty_names():
    counts = {
        str(path.parent.relative_to(ROOT)): len(public_names(path))
        for package in PACKAGES
        for path in sources(package)
        if path.name == "__init__.py"
    }
    assert counts["ibvonn_fem"] > 10
    assert {name: count for name, count in counts.items() if count > 20} == {}


def test_the_lazy_names_are_the_typed_ones():
    """A name that type checkers see and the table of late imports lacks would fail at run time."""
    import ibvonn_fem

    late = public_names(ROOT / "ibvonn_fem/__init__.py") - set(vars(ibvonn_fem))
    assert late <= set(ibvonn_fem._FINITE_ELEMENT)
    assert set(ibvonn_fem._FINITE_ELEMENT) <= public_names(ROOT / "ibvonn_fem/__init__.py")


def first_imports_without_mpi(source: str) -> list[str]:
    """Libraries that load MPI, named by a source text before `mpi4py`."""
    outcome: list[str] = []
    imports = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    for node in imports:
        for name in libraries(ast.unparse(node)):
            if name == "mpi4py":
                return outcome
            if name in {"dolfinx", "petsc4py"}:
                outcome.append(name)
    return outcome


def python_of(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [text]
    return re.findall(r"^```(?:python|\{\.python\})\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_mpi4py_comes_before_every_library_that_needs_mpi():
    """In binary wheels only mpi4py finds the MPI library; PETSc and DOLFINx need it loaded."""
    folders = ["ibvonn_fem", "tests", "demos", "benchmarks", "docs", "exported_models"]
    paths = [ROOT / "README.md"]
    for folder in folders:
        paths += sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")])
    offenders = {
        str(path.relative_to(ROOT)): outcome
        for path in paths
        for source in python_of(path)
        if (outcome := first_imports_without_mpi(source))
    }
    assert offenders == {}


def test_the_scan_sees_dolfinx_before_mpi4py():
    assert first_imports_without_mpi("from dolfinx import fem\nfrom mpi4py import MPI") == [
        "dolfinx"
    ]
    assert first_imports_without_mpi("from mpi4py import MPI\nimport petsc4py") == []
