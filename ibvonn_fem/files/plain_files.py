"""Reading and writing files where a stranger may have put something else in their place.

This file stands in both packages, which do not import each other; a test keeps the two alike.
What is written appears whole or not at all, and never through a link. What is read is a regular
file of bounded size, opened once, so that what is checked is what is used.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be replaced by a second program anyway
    fcntl = None  # type: ignore[assignment]

LARGEST_FILE = 2**30
"""Bytes of the largest file that is read whole."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def require_plain(path: Path) -> None:
    """Raise unless ``path`` is absent or a regular file: no link, pipe, device or folder.

    Raises:
        FileExistsError: If something else stands there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise FileExistsError(
            f"{path}: must be a regular file or absent, to be written; it is {_kind(mode)}. "
            "Remove it, or choose another name."
        )


def require_regular(path: str | Path, largest: int | None = None) -> None:
    """Refuse what would block, or never end, when a library reads it by its name.

    Args:
        path: Of the file; a link to one is followed.
        largest: Most bytes that it may have; None where the size is judged later.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, a pipe, a device or a socket, or is too large.
    """
    _judge(Path(path), Path(path).stat(), largest)


def read_file(
    path: str | Path,
    largest: int = LARGEST_FILE,
    size: int | None = None,
    *,
    follow: bool = False,
) -> bytes:
    """Read a regular file whole.

    Args:
        path: Which file.
        largest: Most bytes that are read.
        size: Bytes that it must have, looked at before anything is read.
        follow: Whether it may be a link: where a person names the file, not where a directory of
            another process holds it.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, or not of that size.
    """
    path = Path(path)
    # Without O_NONBLOCK the opening of a pipe waits for a writer; without O_NOFOLLOW the file may
    # be exchanged for a link after it was looked at.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if follow else _NO_LINK)
    _judge(path, path.stat() if follow else path.lstat(), largest, size)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        _judge(path, status, largest, size)
        return stream.read(status.st_size)


def read_text(path: str | Path, largest: int) -> str:
    """Return the text of a file that a person names; a byte-order mark is left out.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, too large, or not UTF-8.
    """
    return read_file(path, largest, follow=True).decode("utf-8-sig")


def _judge(
    path: Path, status: os.stat_result, largest: int | None, size: int | None = None
) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _kind(status.st_mode)
        raise ValueError(f"{path}: must be a regular file; it is {kind}. Name a file.")
    if size is not None and status.st_size != size:
        raise ValueError(f"{path}: must have {size} bytes; it has {status.st_size}.")
    if largest is not None and status.st_size > largest:
        raise ValueError(
            f"{path}: may have at most {largest} bytes; it has {status.st_size}. Name another file."
        )


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "something else")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a stream to ``.NAME.part`` beside ``path``, which takes its place at the end.

    When the block raises, ``path`` is as it was. A file that is replaced keeps its mode. What a
    killed program left under that one name is overwritten; a second program that writes the same
    file at the same time is refused. No link is followed.

    Raises:
        FileExistsError: If something that is not a regular file stands there.
        OSError: If the folder or the file cannot be written, in words where the name is the reason.
    """
    target = Path(path)
    require_plain(target)
    make_folder(target.parent)
    part = part_of(target)
    stream = open_alone(
        part, f"{target}: is being written by another program. Wait for it to finish."
    )
    try:
        stream.truncate()
        with suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
        require_plain(target)
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(
                error.errno,
                f"cannot be written ({error.strerror}); what stood there is as it was. Make room, "
                "or choose another place",
                str(target),
            ) from error
        raise
    finally:
        stream.close()


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a file whole, see :func:`replacing`; text in UTF-8, its line ends as they are."""
    with replacing(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def part_of(target: Path) -> Path:
    """Return where a file is while it is being written."""
    return target.with_name(f".{target.name}.part")


def remove_part(target: Path) -> None:
    """Remove what a killed program left of a file, unless another process is writing it now."""
    part = part_of(target)
    if part.is_file() and not part.is_symlink():
        try:
            stream = open_alone(part, "")
        except OSError:
            return
        part.unlink(missing_ok=True)
        stream.close()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        NotADirectoryError: If one of them is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(
            f"{folder}: must be a folder; it, or one above it, is a file. Choose another name."
        ) from None


def open_alone(path: Path, busy: str) -> BinaryIO:
    """Open a file of one's own, made where it is missing, that no other program has open this way.

    The lock ends with the stream or with the program, however it ends.

    Args:
        path: Of the file; a link is refused.
        busy: What to say where another program has it.

    Raises:
        BlockingIOError: With ``busy``.
        OSError: If it cannot be opened.
    """
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(
                    f"{path}: must not be a link, which would be written through. Remove it."
                ) from None
            raise
        stream = os.fdopen(number, "r+b")
        try:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise OSError(f"{path}: must be a file with one name. Remove it.")
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking another program may have renamed or removed it.
            if path.exists() and os.path.samestat(status, path.lstat()):
                return stream
        except BlockingIOError:
            stream.close()
            raise BlockingIOError(busy) from None
        except BaseException:
            stream.close()
            raise
        stream.close()


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Hold an advisory lock on a folder; processes that ask for it too come one after the other.

    Where the file system has no locks this does nothing.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
