"""Hooks of MkDocs (`hooks` in mkdocs.yml): pages that are written elsewhere, and formulas.

Demos and model cards become pages. Formulas become MathML, which browsers draw by themselves, so
that the built pages load nothing from the network.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DEMOS = sorted((ROOT / "demos").glob("demo_*.py"))
MODELS = sorted(path.parent for path in (ROOT / "exported_models").glob("*/README.md"))


def on_config(config: Any) -> Any:
    """Put the pages into the navigation."""
    pages = {
        "Demos": [f"demos/{path.stem}.md" for path in DEMOS],
        "Models": [f"models/{path.name}.md" for path in MODELS],
    }
    for entry in config.nav:
        if isinstance(entry, dict):
            for title in entry.keys() & pages.keys():
                entry[title] = pages[title]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and their figures."""
    for path in DEMOS:
        text = demo_page(path.read_text(encoding="utf-8"), path.name)
        files.append(File.generated(config, f"demos/{path.stem}.md", content=text))
    for path in MODELS:
        card = (path / "README.md").read_text(encoding="utf-8")
        figure = f"models/{path.name}.png"
        if (path / "response.png").is_file():
            card = card.replace("(response.png)", f"({path.name}.png)")
            content = (path / "response.png").read_bytes()
            files.append(File.generated(config, figure, content=content))
        files.append(File.generated(config, f"models/{path.name}.md", content=card))
    return files


FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
"""What pymdownx.arithmatex makes of a formula: LaTeX between \\( \\) or \\[ \\]."""

UNKNOWN = {
    r"\arg": r"\operatorname{arg}",
    r"\!": "",  # would be a negative space, which MathML Core has not
}
"""Commands that the converter passes on as they are, and what stands for them."""


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Draw the formulas of a page."""

    def drawn(formula: re.Match[str]) -> str:
        latex = html.unescape(formula[2]).strip()
        display = "block" if latex.startswith(r"\[") else "inline"
        return f'<{formula[1]} class="arithmatex">{mathml(latex[2:-2], display)}</{formula[1]}>'

    try:
        return FORMULA.sub(drawn, content)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def mathml(latex: str, display: str) -> str:
    """Return a formula as MathML.

    Raises:
        ValueError: If a command of LaTeX is not known.
    """
    for command, known in UNKNOWN.items():
        latex = latex.replace(command, known)
    drawn: str = convert(latex, display=display)
    if "\\" in drawn:
        unknown = re.findall(r"\\\w*", drawn)
        raise ValueError(f"formula {latex!r} must have known commands only; found {unknown}.")
    return drawn


def demo_page(source: str, name: str) -> str:
    """Return a demo as a page: its docstring, then prose and code in turn.

    Prose is a block of comments that stands alone, between blank lines and not indented.
    """
    docstring, _, code = source.partition('"""\n')
    title, _, text = docstring.removeprefix("r").removeprefix('"""').partition("\n")
    text = text.replace("$$\n$$", "$$\n\n$$")  # a formula is a paragraph
    parts = [f"# {title.rstrip('.')}", f"Source: `demos/{name}`", text.strip()]
    for is_prose, block in _blocks(code):
        if is_prose:
            lines = [line.removeprefix("#").removeprefix(" ") for line in block.splitlines()]
            parts.append("\n".join(lines))
        else:
            parts.append(f"```python\n{block}\n```")
    return "\n\n".join(parts) + "\n"


def _blocks(code: str) -> Iterator[tuple[bool, str]]:
    """Yield whether it is prose, and the text of consecutive code together."""
    pending: list[str] = []
    for paragraph in re.split(r"\n{2,}(?=\S)", code.strip("\n")):
        if all(line.startswith("#") for line in paragraph.splitlines()):
            if pending:
                yield False, "\n\n".join(pending)
            pending = []
            yield True, paragraph
        else:
            pending.append(paragraph)
    if pending:
        yield False, "\n\n".join(pending)
