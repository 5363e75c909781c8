"""The Python on the pages of the documentation runs, and its API pages name all public names."""

import ast
import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ibvonn_train.simulation import unfolding_chain
from ibvonn_train.training import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "exported_models/README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(?:python|\{\.python\})\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SNIPPET = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)
SLOW = {
    "README.md",
    "docs/tutorials/train.md",
    "docs/tutorials/own_chain.md",
    "docs/how-to/number_of_variables.md",
}
"""Pages that train a law: compiled in the default run, executed among the slow tests."""

SUBPACKAGES = ("simulation", "training", "evaluation", "audits", "export", "figures")


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [
        SNIPPET.sub(lambda result: (ROOT / result[1]).read_text(encoding="utf-8"), block)
        for block in FENCE.findall(text)
    ]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


WITH_CODE = [page for page in PAGES if blocks(page)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like the repository, in which a page may write."""
    for name in ("exported_models", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "own_chain.toml").symlink_to(DOCS / "tutorials/own_chain.toml")
    template = ROOT / "ibvonn_train/cli/templates/own_system.py"
    (tmp_path / "own_system.py").symlink_to(template)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PRINTS = re.compile(r"^# prints: (.*)$", re.MULTILINE)
"""A line that the block above it prints, to the last digit shown."""


def run(page):
    """Execute the blocks of a page one after the other, as a reader does."""
    names = {"__name__": name_of(page)}
    for number, block in enumerate(blocks(page), start=1):
        place = f"{name_of(page)}, block {number}"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block, place, "exec"), names)
        lines = [line.strip() for line in printed.getvalue().splitlines()]
        for expected in PRINTS.findall(block):
            assert expected.strip() in lines, (place, expected, lines[-20:])


def test_pages_show_what_their_code_prints():
    shown = {name_of(page) for page in WITH_CODE if any(map(PRINTS.findall, blocks(page)))}
    assert shown >= {"README.md", "docs/tutorials/fenicsx.md", "docs/tutorials/train.md"}


def test_readme_is_read_in_two_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 600


def test_every_page_of_a_host_shows_its_script():
    """A formatter that takes the name of a script for Python leaves a page without it."""
    table = (DOCS / "hosts/index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*?\]\((\w+\.md)\) \| `(.*?)` \|", table, re.MULTILINE)
    assert len(rows) == 13
    for page, script in rows:
        shown = SNIPPET.findall((DOCS / "hosts" / page).read_text(encoding="utf-8"))
        assert {script, f"demos/other_codes/{script}"} & set(shown), page
        assert all((ROOT / name).is_file() for name in shown)


def test_pages_with_code_are_found():
    assert len(WITH_CODE) >= 8
    assert {name_of(page) for page in WITH_CODE} >= SLOW


@pytest.mark.demo
@pytest.mark.fem
@pytest.mark.parametrize(
    "page", [page for page in WITH_CODE if name_of(page) not in SLOW], ids=name_of
)
def test_python_of_a_page_runs(page, folder):
    run(page)


@pytest.mark.slow
@pytest.mark.demo
@pytest.mark.fem
@pytest.mark.parametrize("page", [page for page in WITH_CODE if name_of(page) in SLOW], ids=name_of)
def test_python_of_a_page_that_trains_runs(page, folder):
    run(page)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.toml")), ids=name_of)
def test_configuration_of_a_page_is_valid(path):
    assert TrainingConfig.from_toml(path).name


@pytest.mark.fem
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_imports_of_a_page_exist(page):
    for block in blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ibvonn"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def exported_names(package):
    """Names that a package hands on as `from .x import y as y`, also for type checkers only."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text("utf-8"))
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {a.asname for node in imports for a in node.names if a.asname and a.asname == a.name}


@pytest.mark.parametrize(
    ("page", "packages"),
    [
        ("fem", ("ibvonn_fem",)),
        ("train", tuple(f"ibvonn_train.{name}" for name in SUBPACKAGES)),
    ],
)
def test_api_page_has_every_public_name(page, packages):
    text = (DOCS / "api" / f"{page}.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    public = {f"{package}.{name}" for package in packages for name in exported_names(package)}
    assert public
    assert public <= shown


def test_commands_of_the_pages_exist():
    """Verbs of `ibvonn` and `ibvonn-fem` on the pages are those of the parsers."""
    from ibvonn_fem.cli import build_parser as fem_parser
    from ibvonn_train.cli.parser import build_parser as train_parser

    known = {
        "ibvonn": train_parser().format_help(),
        "ibvonn-fem": fem_parser().format_help(),
    }
    for page in PAGES:
        for program, verb in re.findall(
            r"(?:^|`)(ibvonn(?:-fem)?) ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE
        ):
            assert re.search(rf"^\s+{verb}\s", known[program], re.MULTILINE), (page, program, verb)


def test_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    pytest.importorskip("latex2mathml")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    for page in ("index", "theory/learning", "demos/demo_trap_bar", "models/trap", "api/fem"):
        assert (tmp_path / f"{page}.html").is_file(), page
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.?https?:[^>]*>", text)
        assert not fetched, (page.name, "needs the network")
        assert r'class="arithmatex">\\' not in text, (page.name, "shows raw LaTeX")
    theory = (tmp_path / "theory/bodies.html").read_text(encoding="utf-8")
    assert theory.count("<math") > 20


def test_chain_of_the_tutorial_has_the_forces_of_the_built_in_one():
    names = {}
    exec(blocks(DOCS / "tutorials/own_chain.md")[0], names)
    own, built_in = names["UnfoldingChain"](), unfolding_chain(springs=6)
    generator = torch.Generator().manual_seed(0)
    moved = 0.3 * torch.rand(2, 5, 400, generator=generator, dtype=torch.float64)
    end = torch.tensor([[6.4], [5.2]], dtype=torch.float64)
    places = moved + torch.arange(1, 6, dtype=torch.float64)[:, None]
    torch.testing.assert_close(own.force(moved, end), built_in.force(places, end))
    torch.testing.assert_close(own.microstate(moved, end), built_in.microstate(places, end))
    torch.testing.assert_close(own.site_force(moved, end), built_in.site_force(places, end))
