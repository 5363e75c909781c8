"""Write a directory whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files.model_directory import LARGEST_MANIFEST, MANIFEST
from ..files.parsing import parse_json
from ..files.plain_files import locked, read_file, require_plain
from .manifest import DERIVED


@contextmanager
def whole_directory(directory: str | Path) -> Iterator[Path]:
    """Yield an empty sibling that takes the place of ``directory`` when the block ends well.

    An exported model that stands there is replaced; anything else is left alone. When the block
    raises, or another run has written into the directory meanwhile, nothing has changed.

    Raises:
        FileExistsError: If the directory exists and is not an exported model, or is another one
            than at the start.
    """
    target = Path(directory).resolve()
    require_replaceable(target)
    before = _state(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        yield sibling
        sibling.chmod(0o755)
        with locked(target.parent):
            require_replaceable(target)
            if _state(target) != before:
                raise FileExistsError(
                    f"{target}: another run has written into it since this one started; nothing "
                    "was written. Give each run a directory of its own."
                )
            _exchange(sibling, target)
    finally:
        shutil.rmtree(sibling, ignore_errors=True)


def _exchange(sibling: Path, target: Path) -> None:
    if not target.exists():
        sibling.rename(target)
        return
    # A directory cannot be renamed over a full one: the old model steps aside first.
    former = sibling.with_suffix(".old")
    target.rename(former)
    try:
        sibling.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former)


def _state(directory: Path) -> list[tuple[str, int, int]]:
    """What tells whether a run has written into a directory."""
    if not directory.is_dir():
        return []
    entries = [(path.name, path.lstat()) for path in directory.iterdir()]
    return sorted((name, stat.st_ino, stat.st_mtime_ns) for name, stat in entries)


@contextmanager
def changed_directory(directory: str | Path) -> Iterator[Path]:
    """Yield a copy of an exported model that takes its place when the block ends well.

    Raises:
        FileExistsError: If the directory is not an exported model without foreign files and links.
    """
    with whole_directory(directory) as folder:
        for path in Path(directory).iterdir():
            require_plain(path)
            shutil.copy2(path, folder / path.name)
        yield folder


def require_replaceable(directory: Path) -> None:
    """Raise unless ``directory`` is absent, empty, or an exported model without foreign files."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise FileExistsError(f"{directory}: is a file; choose another directory for the export.")
    names = {path.name for path in directory.iterdir()}
    if not names:
        return
    try:
        manifest = parse_json(read_file(directory / MANIFEST, LARGEST_MANIFEST))
        listed = {MANIFEST, *manifest["files"], *DERIVED}
    except (OSError, ValueError, KeyError, TypeError):
        raise FileExistsError(
            f"{directory}: exists and is not an exported model (found: {sorted(names)[:8]}), so it "
            "is not overwritten. Choose another directory, or remove it yourself."
        ) from None
    if names - listed:
        raise FileExistsError(
            f"{directory}: holds files that its manifest does not list "
            f"({sorted(names - listed)[:8]}), which an export would delete. Move them away first."
        )
