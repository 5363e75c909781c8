"""How much memory there is, asked before it is used: a program that takes more is killed."""

from __future__ import annotations

from pathlib import Path

LEAST = 2**26
"""Nothing is refused that needs less [bytes]."""


def require_memory(place: str, needed: float, remedy: str) -> None:
    """Raise :class:`ValueError` where more memory is needed than there is.

    Args:
        place: Who needs it.
        needed: How much [bytes].
        remedy: What to do, a sentence.
    """
    available = available_memory()
    if available is not None and needed > max(available, LEAST):
        raise ValueError(
            f"{place}: needs {shown_bytes(needed)} of memory; {shown_bytes(available)} are free. "
            f"{remedy}"
        )


def shown_bytes(count: float) -> str:
    """Return a number of bytes for a person."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def available_memory() -> int | None:
    """Return the free memory of machine and container [bytes]; None where it is not known."""
    free = [_of_machine(), *_of_containers()]
    limits = [limit for limit in free if limit is not None]
    return min(limits) if limits else None


def _of_machine() -> int | None:
    kilobytes = _entry(Path("/proc/meminfo"), "MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _of_containers() -> list[int | None]:
    """Return what the limits of control groups leave, of version 2 and 1; caches can be dropped."""
    root, free = Path("/sys/fs/cgroup"), []
    for folder, limit, used in (
        *((group, "memory.max", "anon") for group in _groups(root)),
        (root / "memory", "memory.limit_in_bytes", "total_rss"),
    ):
        try:
            most = int((folder / limit).read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        taken = _entry(folder / "memory.stat", used)
        if taken is not None:
            free.append(max(most - taken, 0))
    return list(free)


def _groups(root: Path) -> list[Path]:
    """Return the folders of this program's group and of those above it."""
    try:
        name = Path("/proc/self/cgroup").read_text().rpartition("::/")[2].strip()
    except OSError:
        return [root]
    group = root / name
    return [root, *(folder for folder in (group, *group.parents) if root in folder.parents)]


def _entry(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    rows = [line.split() for line in lines]
    return next((int(words[1]) for words in rows if words and words[0] == name), None)
