"""The imports of both packages follow the layers that docs/architecture.md lists."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("ibvonn_train", "ibvonn_fem")
MOST_ROOMS = {"ibvonn_train": 17, "ibvonn_fem": 14}
NO_ROOMS = {"__init__", "__main__"}
"""Faces and entry points of a package: they may import every room and no room imports them."""


def layers_on_page(package, text):
    """Rooms in their layers, lowest first, from the block ```layers PACKAGE of the page."""
    block = re.search(rf"^```layers {package}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block, f"docs/architecture.md has no block of layers of {package}"
    lines = [line.split("#")[0].split() for line in block[1].splitlines()]
    return [rooms for rooms in reversed(lines) if rooms]


def module_files(root, package):
    """Dotted name → path of every module; a package has the name of its folder."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / package).rglob("*.py"))
    }


def imports_of(name, path, files):
    """Modules of the same package that a module imports, anywhere in its text."""
    package = name.split(".")[0]
    parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            imported |= {each if each in files else source for each in names}
    return {each for each in imported if each.split(".")[0] == package and each != name}


def room_of(module):
    """First folder or file below the package."""
    return [*module.split("."), "__init__"][1]


def arrows(root, package):
    """Import arrows between modules: (importing, imported)."""
    files = module_files(root, package)
    return {(m, other) for m, path in files.items() for other in imports_of(m, path, files)}


def climbing(package_arrows, layers):
    """Arrows between rooms that do not lead to a lower layer."""
    height = {room: level for level, rooms in enumerate(layers) for room in rooms}
    between = {(room_of(a), room_of(b), a, b) for a, b in package_arrows}
    return sorted(
        f"{a} imports {b}"
        for above, below, a, b in between
        if above != below and above not in NO_ROOMS and not height[below] < height[above]
    )


def circle(package_arrows):
    """Modules of an import circle, or nothing; packages themselves only hand names on."""
    below = {}
    for importing, imported in package_arrows:
        below.setdefault(importing, set()).add(imported)
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for other in sorted(below.get(module, ())):
            if result := visit(other):
                return result
        done.add(path.pop())
        return []

    for module in sorted(below):
        if result := visit(module):
            return result
    return []


def files_only(package_arrows, package):
    """Arrows between files: a folder's face hands names on and is imported from above."""
    files = module_files(ROOT, package)
    faces = {name for name, path in files.items() if path.name == "__init__.py"}
    return {(a, b) for a, b in package_arrows if a not in faces and b not in faces}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_stands_on_the_page_once(package):
    rooms = {room_of(name) for name in module_files(ROOT, package)} - NO_ROOMS
    layers = layers_on_page(package, PAGE.read_text("utf-8"))
    listed = Counter(room for layer in layers for room in layer)
    assert set(listed) == rooms
    assert max(listed.values()) == 1
    assert len(rooms) <= MOST_ROOMS[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_lead_to_lower_layers_only(package):
    layers = layers_on_page(package, PAGE.read_text("utf-8"))
    assert climbing(arrows(ROOT, package), layers) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_through_others(package):
    assert circle(files_only(arrows(ROOT, package), package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_file_name_occurs_once(package):
    names = Counter(path.name for path in module_files(ROOT, package).values())
    del names["__init__.py"]
    assert [name for name, count in names.items() if count > 1] == []


def class_names(path):
    """Names of the classes that a module defines, nested ones too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_class_name_is_defined_once(package):
    files = module_files(ROOT, package).values()
    names = Counter(name for path in files for name in class_names(path))
    assert len(names) > 20  # guards the search
    assert [name for name, count in names.items() if count > 1] == []


def test_an_arrow_up_and_a_circle_are_seen(tmp_path):
    """Guards the tests above, on a small package with both faults."""
    for name, text in {
        "p/__init__.py": "",
        "p/low/__init__.py": "",
        "p/low/a.py": "from ..high import b\n",
        "p/high/__init__.py": "",
        "p/high/b.py": "def late():\n    from ..low.a import thing\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    seen = arrows(tmp_path, "p")
    assert climbing(seen, [["low"], ["high"]]) == ["p.low.a imports p.high.b"]
    assert sorted(circle(seen)) == ["p.high.b", "p.low.a"]
    page = "```layers p\nhigh # above\nlow\n```\n"
    assert layers_on_page("p", page) == [["low"], ["high"]]
