"""Warnings that reach the person who runs the program.

Several versions of FFCx, which DOLFINx imports, hand Python's warnings to :mod:`logging`; without a
handler there, nobody sees them. Here a warning that has nowhere to go is written to standard error.
Python's filters decide as ever: ``-W error`` raises, ``-W ignore`` is silent, and the default shows
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
        message: What the person must know.
        category: Class of the warning.
        comm: Where all ranks of a communicator give the same warning: it is shown once, and an
            error that a filter makes of it is raised on all. Collective.

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
    heard = _is_heard(logger)
    if not heard:
        logger.addHandler(handler)
    try:
        warnings.warn(message, category, stacklevel=_level_of_caller())
    finally:
        if not heard:
            logger.removeHandler(handler)


def _is_heard(logger: logging.Logger) -> bool:
    """Whether a record of this logger goes anywhere; the NullHandler of logging goes nowhere."""
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
