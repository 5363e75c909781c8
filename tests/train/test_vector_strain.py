"""Strain and stress of three components from the simulation to the certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor
from vector_systems import VectorTether

from ibvonn_train.audits.certificate import certify
from ibvonn_train.closed_form.dumbbell_law import DumbbellLaw, mandel_of, matrix_of
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import evaluate
from ibvonn_train.figures.trajectories import trajectories
from ibvonn_train.law.rates import Rates
from ibvonn_train.rollouts.drives import Record, SpringsInSeries, StrainDrive, drive_of
from ibvonn_train.simulation import HookeanDumbbell, SpringChain, repeat_from_first
from ibvonn_train.simulation.protocols import ramp, smooth_pull
from ibvonn_train.simulation.strain_paths import strain_test_set
from ibvonn_train.simulation.systems.system import Preparation
from ibvonn_train.statistical_mechanics.microscopic_energy import Physics

LAW = DumbbellLaw()


class ExactDumbbell:
    """The closed law as the evaluation sees it; α = the second moments less those at rest."""

    name, system = "exact dumbbell", "hookean_dumbbell"
    averaged, has_decoder, has_potentials = False, False, False
    strain_size, internal_size = 3, 3
    strain_reference, internal_scale = np.zeros(3), np.ones(3)
    training_normalisation = None
    envelope = np.array([[-0.3, 0.3]] * 3 + [[-1.0, 3.0]] * 3)
    physics = Physics(None, 1.0, 1.0, 1.0)
    law = LAW

    def encode(self, microstate: Any) -> tuple[None, Any]:
        moments = np.einsum("...ri,...rj->...ij", microstate, microstate) / microstate.shape[-2]
        return None, mandel_of(moments - np.eye(2))

    def rates(self, strain: Any, internal: Any) -> Rates[Any]:
        # An audit asks for states beyond those that second moments can have.
        values, vectors = np.linalg.eigh(matrix_of(np.asarray(internal)) + np.eye(2))
        moments = (vectors * values.clip(1e-3)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
        strain = np.asarray(strain)
        return Rates(
            self.law.energy(strain, moments),
            self.law.stress(moments),
            mandel_of(self.law.driving_force(strain, moments)),
            mandel_of(self.law.rate(strain, moments)),
        )


@pytest.fixture(scope="module")
def data() -> TrajectoryEnsemble:
    paths = strain_test_set((-0.3,) * 3, (0.3,) * 3, 3.0, seed=5, directions=24)
    return small_ensemble(HookeanDumbbell(), paths, duration=3.0, stride=2, replicas=4000)


def test_the_exact_law_is_off_by_sampling_alone(data: TrajectoryEnsemble) -> None:
    result = evaluate(ExactDumbbell(), data)  # type: ignore[arg-type]
    assert set(result.errors) == {"controlled/stress", "controlled/internal"}
    error = np.sqrt((data.stress_variance / data.replicas).mean() / (data.stress**2).mean())
    assert result.errors["controlled/stress"] < 150 * error

    class Slow(ExactDumbbell):
        law = DumbbellLaw(friction=1.5)

    slow = evaluate(Slow(), data)  # type: ignore[arg-type]
    assert slow.errors["controlled/stress"] > 2 * result.errors["controlled/stress"]


def test_a_repetition_is_its_noise_free_reference(data: TrajectoryEnsemble) -> None:
    few = data.select([0, 5, 11])
    many = repeat_from_first(few, factor=4, seed=77, progress=False)
    result = evaluate(ExactDumbbell(), few, noise_free=many)  # type: ignore[arg-type]
    assert result.noise_free["controlled/stress"] < result.sampling_error["controlled/stress"]


def test_the_certificate_judges_what_it_can_and_says_what_it_cannot(
    data: TrajectoryEnsemble, tmp_path: Path
) -> None:
    law: Any = ExactDumbbell()
    result = evaluate(law, data)
    audits = {audit.audit: audit for audit in certify(law, data, result)}
    assert audits["stress at encoded states"].verdict == "pass"
    assert audits["Markov residual"].value < 30.0  # of few trajectories, it is mostly noise
    assert audits["dissipation sign"].verdict == "pass"
    for name in ("equilibrium response", "Jarzynski equality", "f against F_flow"):
        assert audits[name].verdict == "not available"
    assert "momentum residual" not in audits
    trajectories(tmp_path / "paths.png", data, result)
    assert (tmp_path / "paths.png").stat().st_size > 10_000


def zener(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """σ = ε − α, α̇ = ε − 2α, in any number of components."""
    return strain - internal, strain - 2.0 * internal


def test_a_strain_of_three_components_rolls_out_as_three_of_one() -> None:
    generator = torch.Generator().manual_seed(0)
    strain = torch.randn(2, 40, 1, 3, generator=generator, dtype=torch.float64)
    time = 0.05 * torch.arange(40, dtype=torch.float64)
    start = torch.zeros(2, 1, 3, dtype=torch.float64)
    whole = StrainDrive().roll_out(zener, Record(time, strain), start)["controlled"]
    for component in range(3):
        own = Record(time, strain[..., component : component + 1])
        part = StrainDrive().roll_out(zener, own, start[..., :1])["controlled"]
        assert torch.equal(part.stress[..., 0], whole.stress[..., component])


@pytest.fixture(scope="module")
def chains() -> TrajectoryEnsemble:
    system = SpringChain(springs=4, preparation=(Preparation(200, 0.01),))
    pulls = [smooth_pull(0.02, 0.05), smooth_pull(-0.02, 0.07)]
    return small_ensemble(system, pulls, duration=0.5, replicas=100)


def test_a_record_says_what_drives_its_roll_outs(
    data: TrajectoryEnsemble, chains: TrajectoryEnsemble
) -> None:
    given, followed = drive_of(data), drive_of(chains)
    assert given.modes == ("controlled",)
    assert given.strain_given
    assert followed.modes == ("end", "force")
    assert not followed.strain_given
    assert set(followed.quantities) == set(followed.modes)
    pulled = small_ensemble(
        SpringChain(drive="force", springs=4, preparation=()), [ramp(1e-3)], duration=0.1,
        replicas=10,
    )  # fmt: skip
    drive = drive_of(pulled)
    assert isinstance(drive, SpringsInSeries)
    assert drive.end_rate is None


def test_a_protocol_rolls_out_as_it_does_among_others(chains: TrajectoryEnsemble) -> None:
    """From the middle of the record, as if it began there."""
    later = chains.select([0, 1], slice(20, 45))
    path = Record(torch.from_numpy(later.time), torch.from_numpy(later.strain))
    internal = torch.zeros(2, 4, 1, dtype=torch.float64)
    both = drive_of(later).roll_out(zener, path, internal)
    single = chains.select([1], slice(20, 45))
    own = Record(torch.from_numpy(single.time), torch.from_numpy(single.strain))
    chosen = drive_of(later).select(torch.tensor([1]))
    for drive in (drive_of(single), chosen):
        alone = drive.roll_out(zener, own, internal[:1])
        for mode in drive.modes:
            torch.testing.assert_close(both[mode].strain[1:], alone[mode].strain)
            torch.testing.assert_close(both[mode].force[1:], alone[mode].force)


def test_protocols_in_turn_roll_out_as_in_all_modes(chains: TrajectoryEnsemble) -> None:
    later = chains.select([0, 1, 0], slice(20, 45))
    path = Record(torch.from_numpy(later.time), torch.from_numpy(later.strain))
    internal = torch.zeros(3, 4, 1, dtype=torch.float64)
    turns = torch.tensor([1, 0, 1])
    every = drive_of(later).roll_out(zener, path, internal)
    some = drive_of(later).roll_out(zener, path, internal, turns=turns)
    for number, mode in enumerate(("end", "force")):
        for series, whole in zip(some[mode], every[mode], strict=True):
            torch.testing.assert_close(series, whole[turns == number])


@pytest.mark.parametrize(
    ("microstate_size", "strain_size"), [(1, 1), (2, 1), (3, 1), (2, 3), (3, 3), (6, 6)]
)
def test_records_of_every_size_have_the_exact_stress_and_relax_as_they_must(
    microstate_size: int, strain_size: int
) -> None:
    system = VectorTether(microstate_size, strain_size)
    paths = system.protocols(2.0, walks=2, directions=2)
    data = small_ensemble(system, paths, duration=2.0, replicas=500)
    assert data.samples.shape == (4, 201, 1, 500, microstate_size)
    assert data.strain.shape == data.stress.shape == (4, 201, 1, strain_size)
    matrix = system.matrix.numpy()
    mean, strain = data.samples[:, :, 0].mean(2, dtype=float), data.strain[:, :, 0]
    exact = (strain @ matrix.T - mean) @ matrix + strain
    np.testing.assert_allclose(data.stress[:, :, 0], exact, atol=1e-5)
    expected = [mean[:, 0]]
    for n in range(200):
        expected.append(expected[-1] + 0.01 * (strain[:, n] @ matrix.T - 2 * expected[-1]))
    away = (np.stack(expected, 1) - mean) / np.sqrt(0.01 / 2 / 500)
    assert np.abs(away).max() < 5.0
    assert away[:, 100:].std() == pytest.approx(1.0, abs=0.5)  # it forgets its first mean
