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
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from . import checkpoint
from .build_law import LawSizes, build_law
from .dataset import TrainingSet
from .equilibrium import inside, minimiser
from .training_config import ConfigError, TrainingConfig

FloatArray = npt.NDArray[np.float64]

NEAR = 0.01
"""Distance of a fraction from 0 or 1 that counts as none in the range of the training data."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained law: fractions of populations, and means normalised over the training set.

    Attributes:
        law: The torch modules.
        config: The run that trained it.
        record: Plain values: `system`, `drive`, `strain_kind`, `parameters`, `units`, `time_step`
            (the integrator's), `strain` and `stress` (names of the components), `strain_measure`,
            `classes` (names), `symmetry`, `envelope` (n_ε + n_α rows of [lower, upper], those of
            fractions within 0 and 1), `internal_scale` (standard deviation of each α),
            `normalisation` (`shift` and `matrix` of α over the training set), `strain_rate`,
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
        sizes: LawSizes,
        provenance: dict[str, Any],
        verdict: dict[str, Any] | None = None,
    ) -> TrainedModel:
        """Collect what must be known of a law from the data that trained it."""
        strains, internals, rates, steps = [], [], [], []
        with torch.no_grad():
            for block in data.training:
                strains.append(block.flat(block.strain))
                internals.append(block.flat(block.series(law.encode(block.measures))).cpu())
                dt = torch.diff(block.time)
                rates.append(block.flat(torch.diff(block.strain, dim=1) / dt[:, None, None]))
                steps.append(dt)
        internal = torch.cat(internals)
        # Fractions of binned microstates exceed their bounds by round-off of the binning.
        low, high = (torch.from_numpy(b) for b in law.variables.bounds().T)
        normalisation = Normalisation.of(internal)
        measure = data.training[0].measures.absolute
        nodes, shared = measure.nodes, measure.shared
        record = {
            "system": str(ensemble.system),
            "drive": ensemble.drive.kind,
            "strain_kind": data.strain_kind,
            "sizes": sizes.record(),
            "parameters": dict(ensemble.parameters),
            "units": dict(ensemble.units),
            "time_step": float(ensemble.time_step),
            "strain": list(ensemble.strain_names),
            "stress": list(ensemble.stress_names),
            "strain_measure": ensemble.strain_measure,
            "classes": list(ensemble.classes),
            "symmetry": [
                {"classes": [int(c) for c in each.classes], "strain": each.strain.tolist()}
                for each in ensemble.symmetry
            ],
            "envelope": _ranges(torch.cat(strains)) + _ranges(internal.clamp(low, high)),
            "internal_scale": internal.std(0).tolist(),
            "normalisation": {
                "shift": normalisation.shift.tolist(),
                "matrix": normalisation.matrix.tolist(),
            },
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
        law = build_law(LawSizes.of_record(record["sizes"]), torch.Generator().manual_seed(0))
        law.load_state_dict(content["law"])
        return cls(law.requires_grad_(False), config, record)

    @property
    def law_sizes(self) -> LawSizes:
        """What decided the shapes of the networks."""
        return LawSizes.of_record(self.record["sizes"])

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
        """Range of each component of (ε, α) in training, shape ``(n_ε + n_α, 2)``.

        That of a fraction which came within ``NEAR`` of 0 or 1 goes to the end: what is left
        between is a few elements of all replicas.
        """
        ranges = np.array(self.record["envelope"], dtype=np.float64)
        internal = ranges[self.strain_size :]  # a view
        near = np.abs(internal - self.bounds) < NEAR
        internal[near] = self.bounds[near]
        return ranges

    @property
    def bounds(self) -> FloatArray:
        """Lowest and highest value of each α, ``(n_α, 2)``: 0 and 1, infinite for means."""
        return self.law.variables.bounds()

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Rows of the first component of a population and its number of states, ``(n, 2)``."""
        return np.array(self.law.variables.groups, dtype=np.int64).reshape(-1, 2)

    @property
    def normalisation(self) -> Normalisation[FloatArray]:
        """Map that gives α zero mean, unit variance and no correlation over the training set."""
        stored = self.record["normalisation"]
        matrix = np.asarray(stored["matrix"]).reshape(self.internal_size, self.internal_size)
        return Normalisation(np.asarray(stored["shift"], dtype=np.float64), matrix)

    def physics(self) -> Physics:
        """Return what the data's record says of the microscopic system."""
        return physics_of(self.record["system"], self.record["parameters"])

    def encode(self, microstate: npt.ArrayLike) -> FloatArray:
        """Return α, shape ``(..., n_α)``, of ensembles of shape ``(..., n_replica, n_x)``.

        With several classes of elements their microstates are ``(..., n_class, n_replica, n_x)``.
        """
        x = np.asarray(microstate)
        ensembles = x.reshape(-1, *x.shape[-2:])
        with torch.no_grad():
            alpha = [self.law.encoder(_tensor(each)) for each in ensembles]
        lead = x.shape[: -2 - (self.law.variables.classes > 1)]
        return _array(torch.stack(alpha)).reshape(*lead, self.internal_size)

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ, g and α̇ for ε ``(..., n_ε)`` and α ``(..., n_α)``."""
        with torch.no_grad():
            return Rates(*(_array(v) for v in self.law(_tensor(strain), _tensor(internal))))

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""
        with torch.no_grad():
            return _array(self.law.potentials.energy_hessian(_tensor(strain), _tensor(internal)))

    def equilibrium(self, strain: npt.ArrayLike) -> FloatArray:
        """Return argmin_α f(ε, α), shape ``(n_α,)``, for ε of shape ``(n_ε,)``.

        See :func:`ibvonn_train.training.equilibrium.minimiser`; it starts in the middle of the
        training range.

        Raises:
            ArithmeticError: If it does not converge: f has no minimum there.
        """
        eps = np.asarray(strain, dtype=np.float64)
        variables, n = self.law.variables, self.strain_size
        matrix, offset = (part.numpy() for part in variables.fractions())
        rest = minimiser(
            lambda alpha: self.rates(eps, alpha).driving_force,
            lambda alpha: self.energy_hessian(eps, alpha)[n:, n:],
            inside(self.envelope[n:].mean(1), variables.groups),
            fractions=(matrix, offset),
            unit=float(self.law.potentials.energy_scale),
        )
        if rest.converged:
            return rest.internal
        raise ArithmeticError(
            f"equilibrium: f has no minimum over α at strain {eps.tolist()}; last driving force "
            f"{rest.force.tolist()}. Choose an initial strain inside the training range."
        )


def _tensor(value: npt.ArrayLike) -> Tensor:
    return torch.tensor(np.asarray(value, dtype=np.float64))  # a copy: arrays may be read-only


def _array(value: Tensor) -> FloatArray:
    array: FloatArray = value.detach().numpy()
    return array


def _ranges(series: Tensor) -> list[list[float]]:
    ranges: list[list[float]] = torch.stack([series.amin(0), series.amax(0)], -1).tolist()
    return ranges
