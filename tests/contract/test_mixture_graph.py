"""The exported mixture is the trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from untrained_models import untrained_model

from ibvonn_train.evaluation import open_law
from ibvonn_train.export import export_trained
from ibvonn_train.law.mixture import MixtureFlow
from ibvonn_train.training.trained_model import TrainedModel

CASES: dict[str, dict[str, Any]] = {
    "two states": {"strain_size": 1, "populations": (2,)},
    "three states of averaged strain": {"strain_size": 1, "populations": (3,), "averaged": True},
    "a mean beside them": {"strain_size": 1, "populations": (3,), "means": 1},
    "bonds in three directions": {
        "strain_size": 3, "populations": (2,), "directions": True, "microstate_size": 2,
    },
    "three states, two components": {
        "strain_size": 1, "populations": (3,), "microstate_size": 2,
    },
}  # fmt: skip
N_STATE, N_POINT = 6, 40


def model_of(case: dict[str, Any]) -> TrainedModel:
    """States that are apart, of random shapes."""
    model = untrained_model(**case, mixed=True)
    decoder = model.law.decoder
    assert isinstance(decoder, MixtureFlow)
    generator = torch.Generator().manual_seed(3)
    for weight in decoder.parameters():
        weight += 0.2 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    decoder.scale.fill_(0.7)
    decoder.state_centre.copy_(torch.linspace(1.0, -1.0, decoder.states)[:, None])
    decoder.state_scale.fill_(0.3)
    return model


def states_of(model: TrainedModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strains, α with empty and full states among them, and normal numbers."""
    rng = np.random.default_rng(1)
    strain = rng.uniform(-1.0, 1.0, (N_STATE, model.strain_size))
    internal = rng.normal(size=(N_STATE, model.internal_size))
    for first, states in model.groups:
        parts = rng.dirichlet(np.ones(states), N_STATE)
        parts[0], parts[1] = np.eye(states)[0], np.eye(states)[1]
        internal[:, first : first + states - 1] = parts[:, 1:]
    classes, size = model.law.variables.classes, model.law_sizes.microstate_size
    of_classes = () if classes == 1 else (classes,)
    noise = rng.normal(size=(N_STATE, *of_classes, N_POINT, size))
    noise[..., 0, :], noise[..., 1, :] = -6.5, 6.5
    return strain, internal, noise


def by_the_law(
    model: TrainedModel, strain: np.ndarray, internal: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Microstates and ln q of the torch modules, in the axes of the files."""
    law = model.law
    sites = torch.tensor(internal).reshape(-1, law.variables.per_class)
    eps, z = torch.tensor(strain), torch.tensor(noise).reshape(len(sites), -1, noise.shape[-1])
    with torch.no_grad():
        x = law.sample(z, eps, sites)
        return x.reshape(noise.shape).numpy(), (
            law.log_density(x, eps, sites).reshape(noise.shape[:-1]).numpy()
        )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_exported_mixture_is_that_of_the_law(case: dict[str, Any], tmp_path: Path) -> None:
    model = model_of(case)
    strain, internal, noise = states_of(model)
    rest = np.full(model.strain_size, 0.05)
    directory = export_trained(model, tmp_path / "model", initial_strain=rest)
    law = open_law(directory)
    shift = model.equilibrium(rest)
    x, log_q = by_the_law(model, strain, internal, noise)
    assert np.isfinite(x).all()
    result = law.sample(noise, strain - rest, internal - shift)
    assert np.max(np.abs(result - x)) < 1e-9 * np.max(np.abs(x))
    density = law.log_density(x, strain - rest, internal - shift)
    assert np.max(np.abs(density - log_q)) < 1e-8 * np.max(np.abs(log_q))
    other = law.log_density(x, strain - rest, np.roll(internal, 1, 0) - shift)
    assert np.max(np.abs(other - log_q)) > 1e-3


def test_its_graphs_avoid_what_runtimes_lack_in_float64(tmp_path: Path) -> None:
    model = model_of(CASES["two states"])
    directory = Path(export_trained(model, tmp_path / "model"))
    for name in ("decoder_sample", "decoder_log_density"):
        nodes = onnx.load(directory / f"{name}.onnx").graph.node
        assert not {node.op_type for node in nodes} & {"Erf", "Softplus", "IsNaN", "TopK"}
