"""The shortest training that goes through all stages."""

from __future__ import annotations

from typing import Any

from ibvonn_train.training import TrainingConfig

EXPERT: dict[str, Any] = {
    "width": 4, "nodes": 48, "batch": 20, "identify_steps": 6,
    "polish_steps": 30, "density_steps": 4,
}  # fmt: skip
EXPERT_TOML = "[training.expert]\n" + "".join(f"{key} = {n}\n" for key, n in EXPERT.items())


def short(internal: object = None, **changed: Any) -> TrainingConfig:
    """Return the configuration, with one mean unless another choice is given.

    Args:
        internal: Of the internal variables.
        changed: Keys of [training.expert].
    """
    table = {"name": "small", "internal": internal or {"means": 1}, "expert": EXPERT | changed}
    return TrainingConfig.from_dict(table)
