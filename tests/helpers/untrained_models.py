"""Trained models that were never trained: random weights and scales, and the record of no data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.training.build_law import LawSizes, build_law
from ibvonn_train.training.trained_model import TrainedModel
from ibvonn_train.training.training_config import TrainingConfig

NAMES = {1: ("strain",), 3: ("xx", "yy", "xy"), 6: ("xx", "yy", "zz", "xy", "xz", "yz")}


def three_directions() -> np.ndarray:
    """A of bonds in the directions 0°, 60° and 120°: n·εn of the Mandel strain, ``(3, 1, 3)``."""
    angle = np.pi / 3 * np.arange(3)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * c, s * s, np.sqrt(2.0) * c * s], 1)[:, None, :]


def untrained_model(
    strain_size: int,
    populations: tuple[int, ...] = (),
    means: int = 0,
    *,
    microstate_size: int = 1,
    directions: bool = False,
    averaged: bool = False,
    mixed: bool = False,
    seed: int = 0,
) -> TrainedModel:
    """Return a model with random weights.

    Args:
        strain_size: n_ε.
        populations: Numbers of states.
        means: Number of means.
        microstate_size: n_x.
        directions: Whether there are three classes, that a rotation by 60° exchanges.
        averaged: Whether the strain is ⟨x⟩.
        mixed: Whether the decoder is a mixture over the states of the population.
        seed: Of the weights.
    """
    classes = 3 if directions else 1
    basis = three_directions() if directions else np.eye(strain_size)[None]
    turn = (1, 2, 0) if directions else (0,)
    matrix = np.linalg.solve(basis[list(turn), 0], basis[:, 0]) if directions else np.eye(1)
    sizes = LawSizes(
        "averaged" if averaged else "controlled",
        strain_size,
        microstate_size,
        InternalVariables(populations, means, classes),
        tuple(tuple(tuple(row) for row in rows) for rows in basis.tolist()),
        (turn,),
        8,
        mixed_states=populations[0] if mixed else 0,
    )
    generator = torch.Generator().manual_seed(seed)
    law = build_law(sizes, generator)

    def drawn(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator, dtype=like.dtype)

    with torch.no_grad():
        for parameter in law.potentials.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator).double()
        centre, scale = (0.0, 0.5) if directions else (-0.2, 0.2), (0.5, 1.5)
        for name, value in law.potentials.named_buffers():
            if name.endswith("strain_centre") and not directions:  # a rotation keeps no centre
                value.copy_(drawn(value, *centre))  # type: ignore[misc]
            elif name.endswith(("strain_scale", "energy_scale", "time_scale", "thermal_energy")):
                value.copy_(drawn(value, *scale))  # type: ignore[misc]
        if hasattr(law.potentials, "dissipation"):
            law.potentials.dissipation.energy_scale.copy_(law.potentials.energy.energy_scale)
        law.encoder.matrix[: law.encoder.fractions] = torch.eye(law.encoder.size)[
            : law.encoder.fractions
        ].double()
    law.requires_grad_(False)
    n = law.internal_size
    box = np.tile([-1.0, 1.0], (strain_size + n, 1))
    for first, states in law.variables.groups:
        box[strain_size + first : strain_size + first + states - 1] = 0.02, 0.9
    identity = {"classes": list(range(classes)), "strain": np.eye(strain_size).tolist()}
    turned = {"classes": list(turn), "strain": matrix.tolist()}
    record: dict[str, Any] = {
        "system": "untrained",
        "drive": "strain",
        "strain_kind": sizes.strain_kind,
        "sizes": sizes.record(),
        "parameters": {"friction": 1.0, "thermal_energy": 1.0},
        "units": {},
        "time_step": 0.01,
        "strain": list(NAMES.get(strain_size, [f"e{i}" for i in range(strain_size)])),
        "stress": [f"s{i}" for i in range(strain_size)],
        "strain_measure": "small strain",
        "classes": ["a", "b", "c"][:classes],
        "symmetry": [identity, turned] if directions else [identity],
        "envelope": box.tolist(),
        "internal_scale": [0.3] * n,
        "normalisation": {"shift": [0.1] * n, "matrix": np.eye(n).tolist()},
        "strain_rate": [[-1.0, 1.0]] * strain_size,
        "stored_time_step": [0.01, 0.1],
        "nodes": None,
        "provenance": {"seed": seed, "data_sha256": "0" * 64, "versions": {}},
        "rollouts": None,
    }
    return TrainedModel(law, TrainingConfig(), record)
