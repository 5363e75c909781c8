"""Errors, roll-outs and truths, on laws that are known exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.closed_form.exact_models import export_trap
from ibvonn_train.closed_form.exact_trap import ExactTrap
from ibvonn_train.data import StrainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw, Normalisation, Rates, evaluate, open_law
from ibvonn_train.evaluation.errors import deviation, relative_error
from ibvonn_train.evaluation.law_rollouts import Trajectories, roll_out
from ibvonn_train.simulation import (
    SpringChain,
    TetheredParticle,
    repeat_from_first,
    trap_of_paper,
)
from ibvonn_train.simulation.protocols import smooth_pull
from ibvonn_train.simulation.systems.system import Preparation
from ibvonn_train.statistical_mechanics.microscopic_energy import Physics


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> ExportedLaw:
    """The trap's law in closed form, through its exported graphs."""
    return ExportedLaw(export_trap(tmp_path_factory.mktemp("models") / "exact_trap"))


@pytest.fixture(scope="module")
def pulls() -> TrajectoryEnsemble:
    return small_ensemble(
        TetheredParticle(), trap_of_paper().test[::3], duration=3.0, replicas=2000, seed=7,
        engine="torch",
    )  # fmt: skip


class PerturbedFriction:
    """The exact law with another friction: everything but the rate is right."""

    def __init__(self, law: ExportedLaw, factor: float) -> None:
        self.law, self.factor = law, factor

    def __getattr__(self, name: str) -> object:
        return getattr(self.law, name)

    def rates(self, strain: np.ndarray, internal: np.ndarray) -> Rates:
        result = self.law.rates(strain, internal)
        return result._replace(rate=result.rate / self.factor)


def test_errors_are_relative_norms_pooled_over_everything() -> None:
    truth = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert relative_error(truth + np.array([[0.0, 0.3], [0.4, 0.0]]), truth) == pytest.approx(10.0)
    assert deviation(truth + 5.0, truth) == pytest.approx(0.0)
    assert deviation(1.02 * truth + 5.0, truth) == pytest.approx(2.0)


def test_normalised_states_have_zero_mean_unit_variance_and_no_correlation() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(50, 40, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]]) + [1.0, -3.0]
    normalised = Normalisation.of(states)(states).reshape(-1, 2)
    np.testing.assert_allclose(normalised.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(normalised.T, bias=True), np.eye(2), atol=1e-9)


def test_errors_do_not_depend_on_the_zero_of_the_export(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    """An affine map of α, with the same normalisation, gives the same percentages."""
    plain = evaluate(exact, pulls)
    internal = plain.measured.internal
    flipped = Normalisation.of(-3.0 * internal + 1.0)(-3.0 * internal + 1.0)
    np.testing.assert_allclose(flipped, -Normalisation.of(internal)(internal), atol=1e-12)


def test_exact_law_has_no_error_but_the_noise_of_the_ensemble(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    result = evaluate(exact, pulls)
    for key in ("controlled/stress", "controlled/internal"):
        assert result.noise_free[key] < 1e-10
        assert result.errors[key] == pytest.approx(result.sampling_error[key], rel=1e-9)
    assert result.potentials["free_energy"] < 1e-10
    assert result.potentials["dual_dissipation"] < 1e-10
    assert result.outside == 0.0


def test_floor_is_the_sampling_noise_of_the_mean(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    """From the exact first mean, errors of the mean grow to the stationary k_BT/2k over N."""
    result = evaluate(exact, pulls)
    noise = result.measured.force - result.reference.force  # type: ignore[union-attr]
    time, replicas = pulls.time, pulls.microstate.shape[3]
    expected = 1e-2 / 2 * (1 - np.exp(-4 * time)) / replicas
    ratio = np.mean(noise**2 / expected[None].clip(1e-12))
    # About 2 independent values in each unit of time for each of 4 protocols.
    assert 0.4 < ratio < 2.0


def test_five_per_cent_error_in_friction_is_seen(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    """Guards the tests above."""
    result = evaluate(PerturbedFriction(exact, 1.05), pulls)
    assert result.noise_free["controlled/stress"] > 0.5
    assert result.errors["controlled/stress"] > 5 * result.sampling_error["controlled/stress"]


@pytest.mark.parametrize("stride", [1, 4])
def test_moments_of_the_scheme_are_exact(stride: int) -> None:
    """At zero temperature the simulation is its own mean; the variance has a closed form."""
    pull = smooth_pull(0.7, sine=2.0, frequency=1.0)
    cold = small_ensemble(
        TetheredParticle(thermal_energy=0.0), [pull], duration=2.0, replicas=2, stride=stride,
        engine="torch",
    )  # fmt: skip
    law = ExactTrap()
    mean, variance = law.discrete_moments(
        cold.time, cold.strain[..., 0, 0], cold.drive.strain_rate[..., 0, 0], cold.time_step,
        np.zeros(1), np.full(1, 0.04),
    )  # fmt: skip
    # float32; λ of a coarse record is a cubic: off by interval⁴/384 times its fourth derivative.
    bound = 2e-6 if stride == 1 else 4e-5
    np.testing.assert_allclose(mean, cold.microstate[:, :, 0, 0, 0], rtol=0, atol=bound)
    stationary = 1e-2 / 2 / (1 - 0.01)
    decayed = stationary + (0.04 - stationary) * 0.98 ** (2 * stride * np.arange(len(cold.time)))
    np.testing.assert_allclose(variance[0], decayed, rtol=1e-12)


def test_law_and_data_must_have_one_kind_of_strain(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    mean = pulls.microstate.mean(3, dtype=np.float64)
    other = replace(pulls, strain_kind="averaged", strain=mean, drive=StrainDriven())
    with pytest.raises(ValueError, match="needs controlled strain"):
        evaluate(exact, other)


def test_likelihood_of_the_exact_decoder_is_that_of_the_true_density(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    """The variance of the scheme is 1 % above the Boltzmann one: 2.5e-5 nats."""
    result = evaluate(exact, pulls).negative_log_likelihood
    assert abs(result["excess_over_true_density"]) < 1e-3

    class Wider(PerturbedFriction):
        def log_density(self, x: np.ndarray, strain: np.ndarray, alpha: np.ndarray) -> np.ndarray:
            middle = alpha[:, None]
            value = exact.log_density(middle + (x - middle) / 1.2, strain, alpha)
            return np.asarray(value - np.log(1.2))

    wide = evaluate(Wider(exact, 1.0), pulls).negative_log_likelihood
    # A Gaussian of 1.2 times the width: ln 1.2 − (1 − 1/1.44)/2 = 0.0295 nats.
    assert wide["excess_over_true_density"] == pytest.approx(0.0295, rel=0.1)


def test_order_parameter_of_the_trap_is_its_mean_position(
    exact: ExportedLaw, pulls: TrajectoryEnsemble
) -> None:
    known = evaluate(exact, pulls).order_parameter
    assert known is not None
    assert known.name == "mean position"
    assert known.residual_percent < 1e-4
    assert known.rank_correlation > 0.999999


class ElasticChain:
    """A chain of linear springs with an idle internal variable."""

    name, averaged, strain_size, internal_size = "elastic", True, 1, 1
    strain_reference = np.zeros(1)
    physics = Physics(None, 1e-4, 0.1, 0.01)

    def encode(self, microstate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = microstate.mean(-2)
        return mean, np.zeros_like(mean)

    def rates(self, strain: np.ndarray, internal: np.ndarray) -> Rates:
        stress = 0.01 * np.asarray(strain)
        return Rates(0.005 * strain[:, 0] ** 2, stress, -internal, -internal)


@pytest.fixture(scope="module")
def chains() -> TrajectoryEnsemble:
    """Two bistable chains of four springs, prepared in short."""
    system = SpringChain(springs=4, preparation=(Preparation(500, 0.01),))
    protocols = [smooth_pull(0.02, 0.05), smooth_pull(-0.02, 0.07)]
    return small_ensemble(system, protocols, duration=1.0, replicas=300, seed=3)


def test_chain_rolls_out_as_its_beads_move(chains: TrajectoryEnsemble) -> None:
    """Against the beads' own forward Euler in positions; both drives."""
    law = ElasticChain()
    start = Trajectories(
        chains.strain, np.zeros_like(chains.strain), chains.stress, chains.drive.force
    )
    runs = roll_out(law, chains, start)  # type: ignore[arg-type]
    length, friction, dt = 0.01, 0.1, 0.01
    for case in range(2):
        x = np.concatenate([[0.0], np.cumsum(length * (1 + chains.strain[case, 0, :, 0]))])
        moved, pulled = x.copy(), x.copy()
        for n in range(len(chains.time)):
            for place, drive in ((moved, "end"), (pulled, "force")):
                strain = np.diff(place) / length - 1
                result = runs[drive].strain[case, n, :, 0]
                np.testing.assert_allclose(result, strain, rtol=0, atol=1e-6)  # float32 data
                tension = 0.01 * strain
                place[1:-1] += dt / friction * np.diff(tension)
                if drive == "force":
                    place[-1] += dt / friction * (chains.drive.force[case, n] - tension[-1])
                    continue
                outer = tension[-1] + friction * chains.drive.control_rate[case, n]
                assert runs["end"].force[case, n] == pytest.approx(outer, abs=1e-8)
                if n + 1 < len(chains.time):
                    place[-1] = chains.drive.control[case, n + 1]


def test_noise_free_truth_of_a_chain_lowers_the_error_of_the_mean(
    chains: TrajectoryEnsemble,
) -> None:
    many = repeat_from_first(chains, factor=4, seed=4, progress=False)
    law = _Everything()
    result = evaluate(law, chains, noise_free=many)  # type: ignore[arg-type]
    assert 0 < result.sampling_error["end/strain"] < result.errors["end/strain"]
    assert result.reference is not None
    np.testing.assert_allclose(result.reference.strain[:, 0], chains.strain[:, 0], atol=1e-5)


def test_errors_of_strain_do_not_depend_on_what_the_law_calls_zero(
    chains: TrajectoryEnsemble,
) -> None:
    class Shifted(_Everything):
        strain_reference = np.ones(1)

        def encode(self, microstate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            strain, internal = super().encode(microstate)
            return strain - 1.0, internal

        def rates(self, strain: np.ndarray, internal: np.ndarray) -> Rates:
            return super().rates(strain + 1.0, internal)

    plain, shifted = (
        evaluate(law, chains).errors  # type: ignore[arg-type]
        for law in (_Everything(), Shifted())
    )
    assert shifted == pytest.approx(plain, rel=1e-9)


def test_noise_free_truth_must_be_a_repetition(chains: TrajectoryEnsemble) -> None:
    law = _Everything()
    other = small_ensemble(
        SpringChain(springs=4, preparation=(Preparation(500, 0.01),)),
        [smooth_pull(0.02, 0.05), smooth_pull(-0.02, 0.07)], duration=1.0, replicas=300, seed=9,
    )  # fmt: skip
    with pytest.raises(ValueError, match="must start from the first microstates"):
        evaluate(law, chains, noise_free=other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have the protocols"):
        evaluate(law, chains, noise_free=chains.select([1, 0]))  # type: ignore[arg-type]


def test_data_of_another_system_are_refused(chains: TrajectoryEnsemble) -> None:
    law = _Everything()
    law.system = "unfolding_chain"
    with pytest.raises(ValueError, match=r"a law of the system 'unfolding_chain'; the data are of"):
        evaluate(law, chains)  # type: ignore[arg-type]


class _Everything(ElasticChain):
    """The elastic chain with the rest of what an evaluation asks."""

    has_decoder = has_potentials = False
    system: str | None = None
    training_normalisation = None
    internal_scale = np.ones(1)
    envelope = np.array([[-10.0, 10.0], [-1.0, 1.0]])

    def encode(self, microstate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = microstate.astype(float)
        return x.mean(-2), np.tanh(x).mean(-2)


def test_path_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither an exported model"):
        open_law(tmp_path)
    with pytest.raises(FileNotFoundError, match="it has no manifest"):
        ExportedLaw(tmp_path)
