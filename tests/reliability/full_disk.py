"""A disk that fills up while a file is written leaves the older file whole, and nothing beside it.

The limit of a process on the size of a file stands for the disk: writes fail as they do there.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ibvonn_fem import FieldWriter, write_checkpoint
from ibvonn_train.closed_form.exact_models import export_trap
from ibvonn_train.simulation import TetheredParticle, simulate
from ibvonn_train.simulation.protocols import ramp
from ibvonn_train.training import checkpoint

from .bodies import pulled_bar


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def survives(folder: Path, write: Callable[[], object], sizes: tuple[int, ...]) -> str:
    """Write once, then again on full disks; returns the last message."""
    write()
    before = contents(folder)
    message = ""
    for size in sizes:
        try:
            with disk_of(size):
                write()
        except (OSError, RuntimeError) as error:
            message = str(error)
        else:
            raise AssertionError(f"{folder.name}: the disk of {size} bytes was not full")
        assert contents(folder) == before, f"{folder.name}: the older file has changed"
    return message


def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    data = simulate(
        TetheredParticle(), [ramp(1.0)], duration=1.0, time_step=0.01, replicas=200, seed=1,
        progress=False,
    )  # fmt: skip
    stepping = pulled_bar(cells=200)
    weights = {"kind": "model", "law": torch.zeros(20_000)}
    sizes = (0, 100, 5000)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in ("data", "training", "bar", "export"):
            (root / part).mkdir()
        survives(root / "data", lambda: data.save(root / "data" / "trap.h5"), (*sizes, 50_000))
        survives(
            root / "training",
            lambda: checkpoint.save(root / "training" / "model.pt", weights),
            (*sizes, 50_000),
        )
        survives(
            root / "bar", lambda: write_checkpoint(root / "bar" / "bar.h5", stepping, 0.0), sizes
        )
        survives(root / "export", lambda: export_trap(root / "export" / "trap"), sizes)

    # In a process of its own: HDF5 crashes at exit where a file could not be finished.
    child = subprocess.run(
        [sys.executable, "-m", __spec__.name, "fields"], capture_output=True, text=True, check=False
    )
    message = "fields.xdmf: the frame of time"
    assert message in child.stdout, f"expected '{message} …', found: {child.stdout!r}"
    print("data, checkpoints and export stay whole; fields stop with a message")


def write_fields() -> None:
    """Fields grow frame by frame: no older file to keep, but a message instead of a crash."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    stepping = pulled_bar(cells=200)
    law, u = stepping.problem.laws[0], stepping.problem.u
    with tempfile.TemporaryDirectory() as name:
        fields = FieldWriter(Path(name, "fields.xdmf"), law, u)
        try:
            with disk_of(20_000):
                for frame in range(20):
                    fields.write(float(frame))
        except OSError as error:
            print(error, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["fields"]:
        write_fields()
    else:
        main()
