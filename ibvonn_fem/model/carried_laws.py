"""Laws that the package carries, which are loaded by name."""

from __future__ import annotations

from pathlib import Path

from ..errors import ExportedModelError

CARRIED_LAWS = ("exact_sls", "exact_trap", "lattice", "trap")
"""Folders of ``exported_models`` that the wheel carries; ``setup.py`` reads this line."""

_PACKAGE = Path(__file__).resolve().parents[1]


def carried_folder() -> Path:
    """Folder of the carried laws: in an installed package, or beside the package in a checkout."""
    installed = _PACKAGE / "exported_models"
    return installed if installed.is_dir() else _PACKAGE.parent / "exported_models"


def is_carried(model: str | Path) -> bool:
    """Whether ``model`` names a carried law: a name without separator that is no folder here."""
    return str(model) in CARRIED_LAWS and not Path(model).is_dir()


def model_folder(model: str | Path) -> Path:
    """Folder of a model that is given by its path, or by the name of a carried law.

    A folder comes before a carried law of the same name.

    Args:
        model: A path, or a name without separator.

    Raises:
        ExportedModelError: If a name without separator is neither a folder or file here nor a
            carried law, or if a folder without a manifest hides the carried law of its name.
    """
    path = Path(model)
    if is_carried(model):
        return carried_folder() / path
    if str(model) in CARRIED_LAWS and not (path / "manifest.json").exists():
        raise ExportedModelError(
            f"{model}: the folder of this name in {Path.cwd()} has no manifest.json and hides the "
            f"law that the package carries. Rename it, or give {carried_folder() / path}."
        )
    if str(model) == path.name and not path.exists():
        raise ExportedModelError(
            f"{model}: is no folder in {Path.cwd()} and none of the laws that the package carries "
            f"({', '.join(CARRIED_LAWS)}). Give one of these names, or the path of an exported "
            "model."
        )
    return path
