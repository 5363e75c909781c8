"""Write a directory whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .manifest import DERIVED


@contextmanager
def whole_directory(directory: str | Path) -> Iterator[Path]:
    """Yield an empty sibling that takes the place of ``directory`` when the block ends well.

    An exported model that stands there is replaced; anything else is left alone. When the block
    raises, nothing has changed.

    Raises:
        FileExistsError: If the directory exists and is not an exported model.
    """
    target = Path(directory).resolve()
    require_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield sibling
        sibling.chmod(0o755)
        require_replaceable(target)
        if target.exists():
            # A directory cannot be renamed over a full one: the old model steps aside first.
            aside = sibling.with_suffix(".old")
            target.rename(aside)
            try:
                sibling.rename(target)
            except OSError:
                aside.rename(target)
                raise
            shutil.rmtree(aside)
        else:
            sibling.rename(target)
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


def require_replaceable(directory: Path) -> None:
    """Raise unless ``directory`` is absent, empty, or an exported model without foreign files."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise FileExistsError(f"{directory}: is a file; choose another directory for the export.")
    found = {path.name for path in directory.iterdir()}
    if not found:
        return
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        listed = {"manifest.json", *manifest["files"], *DERIVED}
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(
            f"{directory}: exists and is not an exported model (found: {sorted(found)[:8]}), so it "
            "is not overwritten. Choose another directory, or remove it yourself."
        ) from None
    if found - listed:
        raise FileExistsError(
            f"{directory}: holds files that its manifest does not list "
            f"({sorted(found - listed)[:8]}), which an export would delete. Move them away first."
        )
