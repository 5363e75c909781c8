"""Files: what is read must be a regular file, what is written appears whole under its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be replaced by a second program anyway
    fcntl = None  # type: ignore[assignment]

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def require_regular(path: str | Path, most: int | None = None) -> None:
    """Refuse what would block, or never end, when it is read.

    Args:
        path: Of the file.
        most: Largest size [bytes]; None where the size is judged later.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, a pipe, a device or a socket, or is too large.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for test, name in KINDS if test(found.st_mode)), "no file")
        raise ValueError(f"{path}: must be a regular file; it is {kind}. Name a file.")
    if most is not None and found.st_size > most:
        raise ValueError(
            f"{path}: must not be larger than {most / 2**20:g} MiB; it has "
            f"{found.st_size / 2**20:.4g} MiB. Name another file."
        )


def read_text(path: str | Path, most: int) -> str:
    """Return the text of a regular file of at most ``most`` bytes; a byte-order mark is left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a regular file, too large, or not UTF-8.
    """
    require_regular(path, most)
    return Path(path).read_text(encoding="utf-8-sig")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file under the name ``.NAME.part`` beside it, then rename.

    A failure leaves what was there as it was. What a killed program left under that one name is
    overwritten; a second program that writes the same file at the same time is refused. No link is
    followed.

    Raises:
        OSError: If the folder or the file cannot be written, in words where the name is the reason.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: must be a file; it is a folder. Choose another name.")
    make_folder(target.parent)
    part = part_of(target)
    stream = locked(part, f"{target}: is being written by another program. Wait for it to finish.")
    try:
        stream.truncate()
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
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


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole, see :func:`replacing`."""
    with replacing(path) as stream:
        stream.write(text.encode())


def part_of(target: Path) -> Path:
    """Return where a file is while it is being written."""
    return target.with_name(f".{target.name}.part")


def remove_part(target: Path) -> None:
    """Remove what a killed program left of a file, unless somebody is writing it now."""
    part = part_of(target)
    if part.is_file() and not part.is_symlink():
        try:
            stream = locked(part, "")
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


def locked(path: Path, busy: str) -> BinaryIO:
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
            number = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(
                    f"{path}: must not be a link, which would be written through. Remove it."
                ) from None
            raise
        stream = os.fdopen(number, "r+b")
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise OSError(f"{path}: must be a file with one name. Remove it.")
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking another program may have renamed or removed it.
            if path.exists() and os.path.samestat(found, path.lstat()):
                return stream
        except BlockingIOError:
            stream.close()
            raise BlockingIOError(busy) from None
        except BaseException:
            stream.close()
            raise
        stream.close()
