"""A model that a test may alter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from altered_models import EXACT_TRAP


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of ``exact_trap``."""
    return Path(shutil.copytree(EXACT_TRAP, tmp_path / "exact_trap"))
