"""Histories of quadrature points without a finite-element analysis, and the file of such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ibvonn_train.data.point_histories import PointHistories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.files.model_directory import manifest_hash


def recorded(law: ExportedLaw, time: Any, strain: Any) -> PointHistories:
    """Histories as backward Euler with one step for each row gives them."""
    internal = [np.zeros((len(strain), law.internal_size))]
    stress = []
    for row in range(len(time)):
        old, dt = strain[:, max(row - 1, 0)], time[row] - time[max(row - 1, 0)]
        sigma, state = law.update(strain[:, row], old, internal[-1], np.full(len(strain), dt))
        stress.append(sigma)
        internal.append(state)
    return PointHistories(
        model=law.name,
        manifest_sha256=manifest_hash(law.manifest),
        point=np.arange(len(strain)) * 7,
        chosen_for=("by number",) * len(strain),
        time=np.asarray(time),
        strain=strain,
        stress=np.stack(stress, 1),
        internal=np.stack(internal[1:], 1),
        validity=np.zeros(strain.shape[:2]),
        strain_names=tuple(law.manifest["strain"]["components"]),
    )


def write(path: Path, histories: PointHistories, scale: float = 1.0) -> Path:
    """A file as ibvonn_fem writes it, of a law whose stress was scaled."""
    with h5py.File(path, "w") as file:
        file.attrs["ibvonn_histories"] = 1
        file.attrs["model"] = histories.model
        file.attrs["manifest_sha256"] = histories.manifest_sha256
        file.attrs["chosen_for"] = json.dumps(histories.chosen_for)
        file.attrs["strain_names"] = json.dumps(histories.strain_names)
        file.attrs["scales"] = json.dumps({"strain": 1.0, "stress": scale, "time": 1.0})
        for name in ("point", "time", "strain", "internal", "validity"):
            file[name] = getattr(histories, name)
        file["stress"] = scale * histories.stress
    return path
