"""Microstates of several components: what can be judged is, the rest says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.audits import certify
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.export import export_trained
from ibvonn_train.figures import report
from ibvonn_train.simulation import MicroscopicSystem, trap_of_paper
from ibvonn_train.training import train

CONFIG = short(identify_steps=30)


class Bundle(MicroscopicSystem):
    """A particle in several directions, of which a trap pulls the first."""

    name = "bundle"
    friction = 1.0
    thermal_energy = 0.01

    def __init__(self, size: int) -> None:
        self.size = size

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        return 0.5 * (control - x[:, 0]) ** 2 + 0.5 * (x**2).sum(1)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        shape = (len(control), self.size, n_replica)
        return 0.1 * torch.randn(shape, generator=generator, dtype=control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        return x.transpose(1, 2).unsqueeze(1)


def energy(microstate: Tensor, strain: Tensor) -> Tensor:
    """e(x, ε) of the bundle."""
    return 0.5 * (strain - microstate[..., 0]) ** 2 + 0.5 * (microstate**2).sum(-1)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_a_law_of_vector_microstates_is_trained_judged_exported_and_drawn(
    size: int, tmp_path: Path
) -> None:
    data = small_ensemble(
        Bundle(size), trap_of_paper().train[:3], duration=1.5, stride=2, replicas=60
    )
    assert data.microstate.shape[2:] == (1, 60, size)
    model = train(CONFIG, data, tmp_path / "run", validation=[1], progress=False, tensorboard=False)
    path = export_trained(model, tmp_path / "model", name="vector")
    law = open_law(path, energy)
    result = evaluate(law, data)
    assert all(np.isfinite(value) for value in result.errors.values())
    audits = {audit.audit: audit for audit in certify(law, data, result)}
    for name in (
        "f against F_flow", "g against F_flow", "entropy production", "equilibrium response"
    ):  # fmt: skip
        assert audits[name].verdict == "not available", name
        assert "microstates of one component" in audits[name].detail
    for name in ("stress at encoded states", "dissipation sign", "fluctuation-dissipation"):
        assert audits[name].value is not None
    again = export_trained(
        model,
        tmp_path / "model",
        name="vector",
        certificate=[each.record() for each in audits.values()],
    )
    assert open_law(again).manifest["certificate"]
    report(tmp_path / "figures", law, {"unseen": data}, {"unseen": result})
    assert {each.name for each in (tmp_path / "figures").glob("*.png")} >= {
        "densities.png", "potentials.png",
    }  # fmt: skip
