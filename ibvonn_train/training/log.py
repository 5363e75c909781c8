"""Record of a run: a CSV that a resumed run continues, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files.plain_files import open_alone, write_file

logger = logging.getLogger(__name__)

COLUMNS = ("stage", "step", "quantity", "value")
"""Long format: a stage writes the terms that its loss has."""


class RunLog:
    """Writes one row per quantity.

    Args:
        directory: Where `log.csv` and the folder `tensorboard` go.
        tensorboard: Write TensorBoard events too.
        rows: Number of rows to keep of a log that is there; later ones come from steps after the
            checkpoint from which the run resumes.
    """

    def __init__(self, directory: Path, *, tensorboard: bool, rows: int) -> None:
        path = directory / "log.csv"
        lines = []
        if rows and path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                lines = list(csv.reader(stream))[1 : rows + 1]
        self.rows = len(lines)
        # Put in its place by rename: a run that is killed here still has its old log.
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *lines])
        write_file(path, text.getvalue())
        self._stream = path.open("a", newline="", encoding="utf-8")
        self._csv = csv.writer(self._stream)
        self._board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                logger.warning("TensorBoard is not installed; the log goes to %s only.", path)
            else:
                self._board = SummaryWriter(str(directory / "tensorboard"))

    def write(self, stage: str, step: int, total: int, record: dict[str, float]) -> None:
        """Append the quantities of one step; `total` counts steps through all stages."""
        for name, value in record.items():
            self._csv.writerow([stage, step, name, repr(value)])
            self.rows += 1
            if self._board is not None:
                self._board.add_scalar(name, value, total)

    def flush(self) -> None:
        """Bring what was written to disk."""
        self._stream.flush()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small file that a person may read."""
    write_file(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep a second training out of a folder while this one writes to it.

    The lock ends with the program, however it ends: nothing has to be removed after a crash.

    Raises:
        BlockingIOError: If another training is running there.
    """
    with open_alone(
        directory / ".training.lock",
        f"{directory}: another training is writing here. Wait for it to finish, or choose another "
        "folder.",
    ):
        yield
