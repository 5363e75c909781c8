"""Warnings that reach the person who runs the program.

Several versions of FFCx, which DOLFINx imports, hand Python's warnings to :mod:`logging`; without a
handler there, they are lost. Here a warning without a handler is written to standard error.
Python's filters apply as usual: ``-W error`` raises, ``-W ignore`` is silent, and the default shows
a text once per line of the program that caused it.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).parent)


def warn(message: str, category: type[Warning] = UserWarning, comm: Any = None) -> None:
    """Warn, at the line outside this package from which it was called.

    Args:
        message: Text of the warning.
        category: Class of the warning.
        comm: Communicator whose ranks all give the same warning: it is shown once, and an error
            that a filter makes of it is raised on all ranks. Collective.

    Raises:
        Warning: Of the given class, if a filter makes it an error.
    """
    if comm is None:
        _show(message, category)
        return
    error: Warning | None = None
    if comm.rank == 0:
        try:
            _show(message, category)
        except Warning as raised:
            error = raised
    error = comm.bcast(error)
    if error is not None:
        raise error


def _show(message: str, category: type[Warning]) -> None:
    logger = logging.getLogger("py.warnings")  # the one of logging.captureWarnings
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.terminator = ""  # the text of a warning ends its line
    has_handler = _has_handler(logger)
    if not has_handler:
        logger.addHandler(handler)
    try:
        warnings.warn(message, category, stacklevel=_level_of_caller())
    finally:
        if not has_handler:
            logger.removeHandler(handler)


def _has_handler(logger: logging.Logger) -> bool:
    """Whether a record of this logger reaches a handler other than a NullHandler."""
    current: logging.Logger | None = logger
    while current is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in current.handlers):
            return True
        current = current.parent if current.propagate else None
    return False


def _level_of_caller() -> int:
    """Level, seen from :func:`_show`, of the first frame outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
