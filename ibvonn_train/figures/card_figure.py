"""Model card of an exported model, with its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..export import manifest as manifests
from .response_figure import response


def write_card(directory: str | Path, seeds: list[dict[str, Any]] | None = None) -> Path:
    """Draw the response of an exported model and write its card.

    Args:
        directory: Exported model.
        seeds: Spread over seeds for its manifest, see `studies.tables.seeds_entry`; by default the
            manifest does not change.

    Returns:
        Path of the card.

    Raises:
        ValueError: If the directory is not an exported model.
    """
    folder = Path(directory)
    manifests.read(folder)  # raises before the figure is overwritten
    response(folder / manifests.RESPONSE, folder)
    manifests.add(folder, **({} if seeds is None else {"seeds": seeds}))
    return folder / manifests.CARD
