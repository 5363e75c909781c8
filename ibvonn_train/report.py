"""Tables as text: the one place that aligns numbers for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .audits import Audit
from .evaluation import Evaluation

Cell = str | float | int | None


def text_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return aligned columns: words to the left, numbers to the right, None as a dash."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    left = [all(isinstance(row[i], str) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            text.ljust(width) if to_left else text.rjust(width)
            for text, width, to_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in [list(header), *cells]
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:.4g}"


QUANTITIES = {
    "force": "external force",
    "last_force": "force of the last spring",
    "stress": "spring force",
    "strain": "strain",
    "internal": "internal variables",
}


def errors_table(
    found: Mapping[str, Evaluation], published: Mapping[str, float] | None = None
) -> str:
    """Return the errors in per cent on several ensembles.

    Args:
        found: Name of the ensemble → evaluation.
        published: "NAME DRIVE/QUANTITY" → published error, for a column to compare with.
    """
    rows: list[list[Cell]] = []
    for name, each in found.items():
        for key, error in each.errors.items():
            drive, quantity = key.split("/")
            label = QUANTITIES[quantity]
            label += "" if drive == "controlled" else f", {drive}-driven"
            rows.append(
                [
                    name,
                    label,
                    error,
                    each.floor.get(key),
                    each.noise_free.get(key),
                    (published or {}).get(f"{name} {key}"),
                ]
            )
        rows += [
            [name, f"{key.replace('_', ' ')}, along the data", None, None, value, None]
            for key, value in each.potentials.items()
        ]
    header = ["ensemble", "error in %", "of ensemble", "floor", "of exact mean", "published"]
    if published is None:
        header, rows = header[:-1], [row[:-1] for row in rows]
    return text_table(header, rows)


def certificate_table(audits: Sequence[Audit]) -> str:
    """Return the audits: verdict, value, band, what was measured."""
    rows: list[list[Cell]] = [
        [each.verdict, each.audit, each.value, _band(each), each.detail] for each in audits
    ]
    return text_table(["verdict", "audit", "value", "band", "on what"], rows)


def _band(audit: Audit) -> str:
    low, high = ("…" if end is None else f"{end:g}" for end in audit.band)
    return f"[{low}, {high}]"
