"""Opening a recorded analysis with its law and system, and how the system is run again."""

from __future__ import annotations

import argparse
from typing import Any

from ..data.point_histories import PointHistories, read_point_histories
from ..evaluation import ExportedLaw
from ..simulation import MicroscopicSystem
from ..studies.followed_histories import system_of_law


def recorded_analysis(
    options: argparse.Namespace,
) -> tuple[PointHistories, ExportedLaw, MicroscopicSystem]:
    """Return the histories, the law and the microscopic system that the options name."""
    histories = read_point_histories(options.histories)
    law = ExportedLaw(options.model)
    return histories, law, system_of_law(law, options.system)


def settings_of_runs(options: argparse.Namespace) -> dict[str, Any]:
    """Return how the microscopic system is simulated along histories, as keyword arguments."""
    return {
        "replicas": options.replicas,
        "seed": options.seed,
        "time_step": options.time_step,
        "progress": not options.quiet,
    }
