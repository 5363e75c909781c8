"""Where the verbs of ``ibvonn`` write: standard output, and files that the user names."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..files.plain_files import make_folder


def say(options: argparse.Namespace, text: str) -> None:
    """Write to standard output, but with --quiet: the only place that does."""
    if not options.quiet:
        sys.stdout.write(text + "\n")


def require_places(*paths: Path | None) -> None:
    """Make the folders of results, before hours of work; None is a result that is not wanted.

    Raises:
        IsADirectoryError: If nothing can be written there, as the place is a folder.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise IsADirectoryError(f"{path}: must be a file; it is a folder. Choose another name.")
        make_folder(path.parent)
