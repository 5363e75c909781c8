"""The decoder against the distribution of the microstates: numbers, and the figure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from known_processes import record
from small_ensembles import small_ensemble

from ibvonn_train.closed_form.exact_models import export_trap
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw, evaluate
from ibvonn_train.evaluation.decoder_density import density_errors
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.figures import densities
from ibvonn_train.simulation import PeriodicLattice, TetheredParticle, simulate, trap_of_paper
from ibvonn_train.simulation.protocols import Protocol
from ibvonn_train.simulation.systems.system import Preparation
from ibvonn_train.studies.tables import errors_table


class Gaussian:
    """A law whose decoder is the normal distribution of some microstates ``(n, n_x)``."""

    name = "gaussian"
    strain_reference, internal_size = np.zeros(3), 3

    def __init__(self, microstates: np.ndarray, shift: float = 0.0) -> None:
        self.mean = microstates.mean(0)
        self.root = np.linalg.cholesky(np.cov(microstates.T))
        self.mean += shift * np.diag(self.root)

    def encode(self, microstate: np.ndarray) -> tuple[None, np.ndarray]:
        return None, np.zeros((*microstate.shape[: -(2 if microstate.ndim < 4 else 3)], 3))

    def log_density(self, x: np.ndarray, *_: Any) -> np.ndarray:
        y = (x - self.mean) @ np.linalg.inv(self.root).T
        size = len(self.mean)
        volume = np.log(np.diag(self.root)).sum() + 0.5 * size * np.log(2.0 * np.pi)
        log_density: np.ndarray = -0.5 * np.square(y).sum(-1) - volume
        return log_density

    def sample(self, noise: np.ndarray, *_: Any) -> np.ndarray:
        x: np.ndarray = noise @ self.root.T + self.mean
        return x


def cold_lattice(kind: Literal["samples", "histogram"], seed: int) -> TrajectoryEnsemble:
    """Bonds in their first well: their microstates (u − e, z) are normally distributed."""
    system = PeriodicLattice(cells=4, thermal_energy=1e-4, preparation=(Preparation(100, 0.1),))
    rest = Protocol("rest", lambda t: np.zeros((len(t), 3)), lambda t: np.zeros((len(t), 3)))
    return simulate(
        system, [rest], duration=100.0, time_step=0.1, stride=100, replicas=200, record=kind,
        seed=seed, progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def learned() -> np.ndarray:
    """Microstates of another ensemble, which a decoder may know."""
    samples = cold_lattice("samples", 1).samples
    return samples.reshape(-1, 2).astype(float)


def states(data: TrajectoryEnsemble) -> Any:
    """What is measured of every state, α being zero."""
    return SimpleNamespace(strain=data.strain, internal=np.zeros_like(data.strain))


@pytest.mark.parametrize("kind", ["samples", "histogram"])
def test_a_right_density_in_the_plane_is_off_by_the_sampling_error(
    learned: np.ndarray, kind: Literal["samples", "histogram"]
) -> None:
    data = cold_lattice(kind, 2)
    law: Any = Gaussian(learned)
    right = density_errors(law, data, states(data))
    assert 0.75 < right["error"] / right["sampling_error"] < 1.3
    law = Gaussian(learned, shift=0.3)  # of a standard deviation
    assert density_errors(law, data, states(data))["error"] > 2.0 * right["sampling_error"]


def test_the_density_of_the_trap_is_off_by_the_sampling_error(tmp_path: Path) -> None:
    exact = ExportedLaw(export_trap(tmp_path / "exact_trap"))
    pulls = small_ensemble(
        TetheredParticle(), trap_of_paper().test[::3], duration=3.0, replicas=2000, seed=7,
        engine="torch",
    )  # fmt: skip
    evaluation = evaluate(exact, pulls)
    assert 0.75 < evaluation.density["error"] / evaluation.density["sampling_error"] < 1.3
    assert "density of microstates" in errors_table({"pulls": evaluation})
    measured = encoded(exact, pulls)
    other = measured._replace(internal=measured.internal + 0.3)  # decodes other states
    assert density_errors(exact, pulls, other)["error"] > 2.0 * evaluation.density["error"]


@pytest.mark.parametrize("kind", ["samples", "histogram"])
def test_microstates_in_the_plane_are_drawn(
    learned: np.ndarray, kind: Literal["samples", "histogram"], tmp_path: Path
) -> None:
    law: Any = Gaussian(learned)
    densities(tmp_path / "densities.png", law, cold_lattice(kind, 2), times=3)
    assert (tmp_path / "densities.png").stat().st_size > 20_000


def test_the_first_two_of_three_components_are_compared_and_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mixed = np.array([[1.0, 0.0, 0.0], [0.5, 0.6, 0.0], [0.2, -0.4, 2.0]])
    data = record(rng.normal(size=(1, 4, 3000, 3)) @ mixed.T)
    law: Any = Gaussian(rng.normal(size=(20_000, 3)) @ mixed.T)
    right = density_errors(law, data, states(data))
    assert 0.75 < right["error"] / right["sampling_error"] < 1.4
    law.strain_reference = np.zeros(1)
    densities(tmp_path / "densities.png", law, data, times=3)
    assert (tmp_path / "densities.png").stat().st_size > 10_000
    law.mean[2] += 5.0  # unseen: not among the first two components
    assert density_errors(law, data, states(data)) == right
    law.mean[1] += 0.3
    assert density_errors(law, data, states(data))["error"] > 2.0 * right["error"]
