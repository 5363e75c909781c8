"""Compiled libraries in the user's cache: built once, complete or absent, and one's own.

This file stands in both packages, which do not import each other; a test keeps the two alike.
A library is loaded only from a folder into which no other user can write, and only while its size
and sha256 are those that were recorded when it was built: a truncated one would end the process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from .plain_files import locked, read_file, write_file

logger = logging.getLogger(__name__)

RECORD = ".sha256"
"""Suffix of the file beside a library that holds its sha256 and its size."""


def cache_directory() -> Path:
    """Folder of compiled code: ``$IBVONN_CACHE``, else ``ibvonn`` in the user's cache."""
    named = os.environ.get("IBVONN_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ibvonn"


def cached_library(name: str, build: Callable[[Path], None]) -> Path:
    """Return the path of a library, built now if the cache holds no sound one.

    Args:
        name: File name, which holds a hash of all that the library depends on.
        build: Writes the library to the path that it is given.

    Returns:
        The library in the user's cache, or in a private temporary folder where the cache is not
        the user's own.
    """
    directory = trusted_directory(cache_directory())
    library = directory / name
    if is_sound(library):
        return library
    with locked(directory):
        if not is_sound(library):
            _build(library, build)
    return library


def _build(library: Path, build: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        built = Path(scratch) / library.name
        build(built)
        content = read_file(built)
    record = library.with_name(library.name + RECORD)
    for path in (library, record):  # a link or a pipe that stands there is removed, not followed
        path.unlink(missing_ok=True)
    write_file(record, f"{hashlib.sha256(content).hexdigest()} {len(content)}\n")
    write_file(library, content)
    for path in (library, record):  # whatever the umask
        path.chmod(0o700)
    logger.debug("compiled %s", library)


def is_sound(library: Path) -> bool:
    """Whether a library is one's own and, to the last byte, the one that was built."""
    try:
        record = library.with_name(library.name + RECORD)
        if not (_is_own(library.lstat()) and _is_own(record.lstat())):
            return False
        digest, size = read_file(record, 200).decode("ascii").split()
        content = read_file(library, size=int(size))
    except (OSError, ValueError):
        return False
    return hashlib.sha256(content).hexdigest() == digest


def _is_own(status: os.stat_result) -> bool:
    """Whether a file belongs to this user or to root, and no other user can write it."""
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


def trusted_directory(directory: Path) -> Path:
    """Return ``directory``, or a fresh private one where it is not the user's own."""
    reason = _distrust(directory)
    if reason is None:
        return directory
    fresh = _private_directory(str(directory))
    logger.warning("%s: %s; code is compiled into %s", directory, reason, fresh)
    return fresh


@cache
def _private_directory(instead_of: str) -> Path:  # noqa: ARG001  (one for each)
    return Path(tempfile.mkdtemp(prefix="ibvonn-"))


def _distrust(directory: Path) -> str | None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = directory.stat()
        above = [parent.stat() for parent in directory.resolve().parents]
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user ({status.st_uid})"
    if status.st_mode & 0o022:
        return f"others can write into it (mode {stat.S_IMODE(status.st_mode):o}; use 700)"
    if any(parent.st_mode & 0o002 and not parent.st_mode & stat.S_ISVTX for parent in above):
        return "others can exchange a folder above it"
    return None if os.access(directory, os.W_OK) else "cannot be written"
