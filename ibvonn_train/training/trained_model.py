"""A trained model: the law with its ranges and its history, saved, loaded, asked and exported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.ensemble import TrajectoryEnsemble
from ..law.learned_law import LearnedLaw
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from . import checkpoint
from .build import build_law
from .dataset import TrainingSet
from .training_config import ConfigError, TrainingConfig

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A law with α of zero mean, unit variance and no correlation over its training set.

    Attributes:
        law: The torch modules.
        config: The run that trained it.
        record: Plain values: `system`, `drive`, `strain_kind`, `parameters`, `units`, `time_step`
            (the integrator's), `envelope` (n_ε + n_α rows of [lower, upper]), `strain_rate`,
            `stored_time_step`, `nodes` [first, last, number] of the quadrature, `provenance`,
            `rollouts` (the audit of the law's own roll-outs on its data; older files have none).
    """

    law: LearnedLaw
    config: TrainingConfig
    record: dict[str, Any]

    @classmethod
    def of(
        cls,
        law: LearnedLaw,
        *,
        config: TrainingConfig,
        data: TrainingSet,
        ensemble: TrajectoryEnsemble,
        provenance: dict[str, Any],
        verdict: dict[str, Any] | None = None,
    ) -> TrainedModel:
        """Collect what must be known of a law from the data that trained it."""
        states, rates, steps = [], [], []
        with torch.no_grad():
            for block in data.training:
                internal = law.encoder.normalisation(law.encoder.raw_mean(block.measures))
                states.append(torch.cat([block.flat(block.strain), internal], -1))
                dt = torch.diff(block.time)
                rates.append(block.flat(torch.diff(block.strain, dim=1) / dt[:, None, None]))
                steps.append(dt)
        measure = data.training[0].measures.absolute
        nodes, shared = measure.nodes, measure.shared
        record = {
            "system": str(ensemble.system),
            "drive": ensemble.drive.kind,
            "strain_kind": data.strain_kind,
            "strain_size": law.strain_size,
            "microstate_size": data.microstate_size,
            "parameters": dict(ensemble.parameters),
            "units": dict(ensemble.units),
            "time_step": float(ensemble.time_step),
            "envelope": _ranges(torch.cat(states)),
            "strain_rate": _ranges(torch.cat(rates)),
            "stored_time_step": _ranges(torch.cat(steps)[:, None])[0],
            "nodes": [float(nodes[0, 0]), float(nodes[-1, 0]), len(nodes)] if shared else None,
            "provenance": {"seed": config.seed, **provenance},
            "rollouts": verdict,
        }
        return cls(law.cpu().requires_grad_(False), config, record)

    def save(self, path: str | Path) -> None:
        """Write the model, atomically, without code in it."""
        content = {
            "kind": "model",
            "config": self.config.resolved(),
            "law": self.law.state_dict(),
            "record": self.record,
        }
        checkpoint.save(Path(path), content)

    @classmethod
    def load(cls, path: str | Path) -> TrainedModel:
        """Read `model.pt`, or the directory that holds it.

        Raises:
            CheckpointError: If the file is missing, broken, or not a model.
            ConfigError: If an earlier version wrote it, with keys that are no longer known.
        """
        path = Path(path)
        file = path / "model.pt" if path.is_dir() else path
        content = checkpoint.load(file)
        if content.get("kind") != "model":
            raise checkpoint.CheckpointError(
                f"{file}: holds a {content.get('kind')}, not a model. Finish the training first."
            )
        try:
            config = TrainingConfig.from_dict(content["config"])
        except ConfigError as error:
            raise ConfigError(
                f"{file}: was written by an earlier version; {error} Train the law again."
            ) from None
        record = content["record"]
        law = build_law(
            config,
            strain_kind=record["strain_kind"],
            strain_size=record["strain_size"],
            microstate_size=record["microstate_size"],
            generator=torch.Generator().manual_seed(0),
        )
        law.load_state_dict(content["law"])
        return cls(law.requires_grad_(False), config, record)

    @property
    def strain_size(self) -> int:
        """n_ε."""
        return self.law.strain_size

    @property
    def internal_size(self) -> int:
        """n_α."""
        return self.law.internal_size

    @property
    def envelope(self) -> FloatArray:
        """Range of each component of (ε, α) in training, shape ``(n_ε + n_α, 2)``."""
        return np.asarray(self.record["envelope"], dtype=np.float64)

    def physics(self) -> Physics:
        """Return what the data's record says of the microscopic system."""
        return physics_of(self.record["system"], self.record["parameters"])

    def encode(self, microstate: npt.ArrayLike) -> FloatArray:
        """Return α, shape ``(..., n_α)``, of ensembles of shape ``(..., n_replica, n_x)``."""
        x = np.asarray(microstate)
        rows = x.reshape(-1, *x.shape[-2:])
        with torch.no_grad():
            alpha = [self.law.encoder(_tensor(row[None])) for row in rows]
        return _array(torch.cat(alpha)).reshape(*x.shape[:-2], self.internal_size)

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ, g and α̇ for ε ``(..., n_ε)`` and α ``(..., n_α)``."""
        with torch.no_grad():
            return Rates(*(_array(v) for v in self.law(_tensor(strain), _tensor(internal))))

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""
        with torch.no_grad():
            return _array(self.law.energy.hessian(_tensor(strain), _tensor(internal)))

    def equilibrium(self, strain: npt.ArrayLike) -> FloatArray:
        """Return argmin_α f(ε, α), shape ``(n_α,)``, for ε of shape ``(n_ε,)``.

        Newton's method with backtracking on the convex f, from the middle of the training range.

        Raises:
            ArithmeticError: If it does not converge: f has no minimum there.
        """
        eps = np.asarray(strain, dtype=np.float64)
        n = self.strain_size
        alpha: FloatArray = self.envelope[n:].mean(1)
        scale = float(self.law.energy.energy_scale)
        for _ in range(100):
            energy, _, force, _ = self.rates(eps, alpha)
            if np.max(np.abs(force)) <= 1e-12 * scale:
                return alpha
            curvature = self.energy_hessian(eps, alpha)[n:, n:]
            step = np.linalg.solve(curvature + 1e-12 * scale * np.eye(len(alpha)), force)
            step *= min(1.0, 1.0 / float(np.max(np.abs(step))))
            while self.rates(eps, alpha + step).energy > energy and np.max(np.abs(step)) > 1e-13:
                step = 0.5 * step
            alpha = alpha + step
            if np.max(np.abs(step)) <= 1e-13:
                return alpha
        raise ArithmeticError(
            f"equilibrium: f has no minimum over α at strain {eps.tolist()}; last driving force "
            f"{force.tolist()}. Choose an initial strain inside the training range."
        )


def _tensor(value: npt.ArrayLike) -> Tensor:
    return torch.tensor(np.asarray(value, dtype=np.float64))  # a copy: arrays may be read-only


def _array(value: Tensor) -> FloatArray:
    array: FloatArray = value.detach().numpy()
    return array


def _ranges(series: Tensor) -> list[list[float]]:
    ranges: list[list[float]] = torch.stack([series.amin(0), series.amax(0)], -1).tolist()
    return ranges
