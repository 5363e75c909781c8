"""The model card with its figure, of any exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..export import manifest as manifests
from .response_figure import response


def write_card(directory: str | Path, seeds: list[dict[str, Any]] | None = None) -> Path:
    """Draw the response of an exported model and write its card.

    Args:
        directory: The model.
        seeds: Spread over seeds for its manifest, see `report.seeds_entry`; by default the manifest
            stays as it is.

    Returns:
        The card.

    Raises:
        ValueError: If the directory is not an exported model.
    """
    folder = Path(directory)
    manifests.read(folder)  # refused before anything is drawn over
    response(folder / manifests.RESPONSE, folder)
    manifests.add(folder, **({} if seeds is None else {"seeds": seeds}))
    return folder / manifests.CARD
