"""Where the verbs of ``ibvonn`` write: standard output, and files that the user names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..files.plain_files import make_folder, open_alone, part_of, require_plain


def say(options: argparse.Namespace, text: str) -> None:
    """Write to standard output, but with --quiet: the only place that does."""
    if not options.quiet:
        sys.stdout.write(text + "\n")


def require_places(*paths: Path | None, figure: Path | None = None) -> None:
    """Make the folders of results, before hours of work; None is a result that is not wanted.

    Args:
        paths: Of files.
        figure: A file as well, whose ending says how it is drawn.

    Raises:
        ValueError: If no figure can be drawn with the ending of ``figure``.
        IsADirectoryError: If nothing can be written there, as the place is a folder.
        FileExistsError: If something else than a regular file stands there.
        OSError: If the folder cannot be written, or another program writes the file.
    """
    if figure is not None:
        from ..figures.canvas import require_drawable  # matplotlib is slow to import

        require_drawable(figure)
    for path in (*paths, figure):
        if path is None:
            continue
        if path.is_dir():
            raise IsADirectoryError(f"{path}: must be a file; it is a folder. Choose another name.")
        require_plain(path)
        make_folder(path.parent)
        part = part_of(path)
        try:
            open_alone(part, f"{path}: is being written by another program.").close()
        except OSError as error:
            if error.errno is None or error.filename is None:
                raise
            raise type(error)(
                f"{path}: must lie in a folder that can be written ({error.strerror}). Choose "
                "another place."
            ) from None
        part.unlink(missing_ok=True)
