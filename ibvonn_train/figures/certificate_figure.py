"""The certificate as one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from ..audits import Audit
from ..audits.audit import OPEN
from .canvas import canvas

COLOURS = {"pass": "#2a7f3f", "fail": "#b02a2a"}
OTHER = "#8a6d1e"


def certificate_page(path: Path, certificate: Sequence[Audit]) -> None:
    """Draw a table of the audits.

    Args:
        path: PNG file.
        certificate: Audits in their order.
    """
    rows = [_row(audit) for audit in certificate]
    height = 0.36 * len(rows) + 0.8
    with canvas(path, size=(11.5, height)) as (figure, axes):
        axes[0, 0].axis("off")
        figure.suptitle("certificate", fontsize=11)
        table = axes[0, 0].table(
            rows,
            colLabels=["audit", "value", "acceptance range", "verdict", "what was measured"],
            colWidths=[0.2, 0.08, 0.12, 0.11, 0.49],
            cellLoc="left",
            bbox=[0, 0, 1, 1],
        )
        table.auto_set_font_size(False)
        table.set_fontsize(7.5)
        for (row, column), cell in table.get_celld().items():
            cell.set_linewidth(0.3)
            if row and column == 3:
                cell.set_facecolor(COLOURS.get(certificate[row - 1].verdict, OTHER))
                cell.get_text().set_color("w")


def _row(audit: Audit) -> list[str]:
    low, high = ("…" if end is None else f"{end:g}" for end in audit.acceptance_range)
    value = "-" if audit.value is None else f"{audit.value:.4g}"
    acceptable = "-" if audit.acceptance_range == OPEN else f"{low} to {high}"
    return [audit.audit, value, acceptable, audit.verdict, fill(audit.detail, 92)]
