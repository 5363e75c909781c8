"""Spot check: the exact law passes, laws that are wrong by stated amounts do not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ibvonn_train.cli import main
from ibvonn_train.data.point_histories import PointHistories, read_point_histories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.rollouts.converged_path import converged_path
from ibvonn_train.simulation import ChainCell, PeriodicLattice, TetheredParticle
from ibvonn_train.simulation.systems.registry import recorded_system
from ibvonn_train.studies.energy_of_histories import StepEnergies
from ibvonn_train.studies.followed_histories import system_of_law
from ibvonn_train.studies.spot_check import SpotCheck, spot_check
from tests.helpers.recorded_histories import recorded, write

EXPORTED = Path(__file__).parents[2] / "exported_models"
POINTS = 3
ALPHA = 0.05


class WrongLaw:
    """A law whose moduli (and frictions) or whose rates are off by a factor."""

    def __init__(self, law: ExportedLaw, modulus: float = 1.0, rate: float = 1.0) -> None:
        self.law, self.modulus, self.rate = law, modulus, rate

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)

    def update(self, strain: Any, strain_old: Any, internal: Any, dt: Any) -> Any:
        stress, state = self.law.update(strain, strain_old, internal, self.rate * dt)
        return self.modulus * stress, state


@pytest.fixture(scope="module")
def trap() -> ExportedLaw:
    return ExportedLaw(EXPORTED / "exact_trap")


@pytest.fixture(scope="module")
def pulled(trap: ExportedLaw) -> PointHistories:
    """Ramp, hold and return of three points, after a state of rest and an elastic step."""
    time = np.array([0.0, *np.linspace(0.0, 2.0, 21)])
    shape = np.interp(time, [0.0, 0.8, 1.4, 2.0], [0.0, 1.0, 1.0, -0.5])
    return recorded(trap, time, np.array([2.0, 3.0, -4.0])[:, None, None] * shape[:, None])


def checked(law: Any, histories: PointHistories, seed: int, **options: Any) -> list[str]:
    settings = {"replicas": 64, "tolerance": 0.0, "progress": False, **options}
    result = spot_check(law, histories, TetheredParticle(), seed=seed, **settings)
    return [point.verdict for point in result.points]


def false_alarms(law: ExportedLaw, histories: PointHistories, seeds: range) -> int:
    return sum("off" in checked(law, histories, seed, replicas=32) for seed in seeds)


def test_the_exact_law_raises_no_false_alarm_at_no_tolerance(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    assert false_alarms(trap, pulled, range(6)) <= 1


@pytest.mark.slow
def test_of_two_hundred_seeds_at_most_five_in_a_hundred_are_false_alarms(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    assert false_alarms(trap, pulled, range(200)) <= ALPHA * 200


@pytest.mark.parametrize("factors", [{"modulus": 1.02}, {"rate": 1.3}], ids=["modulus", "rate"])
def test_a_wrong_law_is_found(
    trap: ExportedLaw, pulled: PointHistories, factors: dict[str, float]
) -> None:
    for seed in range(4):
        assert "off" in checked(WrongLaw(trap, **factors), pulled, seed)


@pytest.mark.slow
@pytest.mark.parametrize("factors", [{"modulus": 1.02}, {"rate": 1.3}], ids=["modulus", "rate"])
def test_of_forty_seeds_at_least_ninety_five_in_a_hundred_find_a_wrong_law(
    trap: ExportedLaw, pulled: PointHistories, factors: dict[str, float]
) -> None:
    law = WrongLaw(trap, **factors)
    caught = sum("off" in checked(law, pulled, seed) for seed in range(40))
    assert caught >= 0.95 * 40


def test_the_exact_law_is_within_two_per_cent(trap: ExportedLaw, pulled: PointHistories) -> None:
    verdicts = checked(trap, pulled, 0, replicas=4000, tolerance=2.0)
    assert verdicts == ["within"] * POINTS


def test_few_replicas_leave_the_verdict_open(trap: ExportedLaw, pulled: PointHistories) -> None:
    assert "undecided" in checked(trap, pulled, 0, replicas=8, tolerance=0.1)


def test_the_time_error_of_the_analysis_is_that_of_its_steps(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    def largest(histories: PointHistories) -> float:
        result = spot_check(trap, histories, TetheredParticle(), replicas=8, progress=False)
        errors = [point.time_error for point in result.points]
        return max(error for error in errors if error is not None)

    time = np.array([0.0, *np.linspace(0.0, 2.0, 41)])
    shape = np.interp(time, [0.0, 0.8, 1.4, 2.0], [0.0, 1.0, 1.0, -0.5])
    finer = recorded(trap, time, np.array([2.0, 3.0, -4.0])[:, None, None] * shape[:, None])
    coarse, fine = largest(pulled), largest(finer)
    assert 1.7 < coarse / fine < 2.3  # backward Euler is of first order


def test_groups_of_points_are_simulated_one_after_the_other(
    trap: ExportedLaw, pulled: PointHistories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> SpotCheck:
        return spot_check(trap, pulled, TetheredParticle(), tolerance=2.0, seed=3, progress=False)

    together = check()
    monkeypatch.setattr(f"{spot_check.__module__}.POINTS_AT_ONCE", 1)
    apart = check()
    np.testing.assert_array_equal(apart.stress[0], together.stress[0])
    assert (apart.stress[1:] != together.stress[1:]).any()  # each group has a seed of its own
    difference = np.abs(apart.window_errors - together.window_errors)
    assert (difference < 6.0 * together.window_standard_errors).all()
    assert [each.point for each in apart.points] == [each.point for each in together.points]


def test_the_law_stores_and_dissipates_the_work_that_the_system_takes(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    def energies(law: Any) -> list[StepEnergies]:
        result = spot_check(
            law, pulled, TetheredParticle(), replicas=4000, seed=2, tolerance=2.0, progress=False
        )
        return [point.energies for point in result.points]

    for point in energies(trap):
        assert point.dissipated > 0.05 * abs(point.law_work)
        assert point.law_work == pytest.approx(point.stored + point.dissipated, rel=0.01)
        assert abs(point.work - point.law_work) < 4.0 * point.work_error
        assert point.work_error < 0.02 * abs(point.work)
    wrong = energies(WrongLaw(trap, modulus=1.2))
    assert any(abs(each.work - each.law_work) > 4.0 * each.work_error for each in wrong)


def test_a_jump_of_the_strain_is_followed(trap: ExportedLaw) -> None:
    time = np.array([0.0, *np.linspace(0.0, 1.0, 11), *np.linspace(1.0, 2.0, 11)])
    level = np.array([0.0, *np.full(11, 3.0), *np.full(11, -2.0)])
    jumps = recorded(trap, time, level[None, :, None])
    assert checked(trap, jumps, 0, replicas=4000, tolerance=2.0) == ["within"]
    assert checked(WrongLaw(trap, 1.05), jumps, 0, replicas=4000, tolerance=2.0) == ["off"]


def test_the_roll_out_converges_to_the_closed_form(trap: ExportedLaw) -> None:
    """Of a ramp ε = t: m = t/2 − (1 − e^{−2t})/4."""
    time = np.linspace(0.0, 2.0, 9)
    rolled = converged_path(trap, time, time[None, :, None], np.zeros((1, 1)), 1e-5)
    mean = time / 2.0 - (1.0 - np.exp(-2.0 * time)) / 4.0
    np.testing.assert_allclose(rolled.stress[0, :, 0], time - mean, atol=1e-5)


def test_a_lattice_law_is_checked_with_its_populations() -> None:
    law = ExportedLaw(EXPORTED / "lattice")
    micro = law.manifest["microscopic"]
    system = recorded_system(micro["system"], micro["parameters"])
    assert isinstance(system, PeriodicLattice)
    time = np.linspace(0.0, 300.0, 11)
    strain = np.linspace(0.0, 1.0, 11)[None, :, None] * np.array([0.15, 0.08, 0.03])
    histories = recorded(law, time, strain)
    for modulus, verdict in ((1.0, ("within", "undecided")), (1.1, ("off",))):
        result = spot_check(
            WrongLaw(law, modulus), histories, system, replicas=8, seed=1, tolerance=3.0,
            progress=False,
        )  # fmt: skip
        (point,) = result.points
        assert point.verdict in verdict
        np.testing.assert_allclose(point.law_populations, point.populations, atol=0.05)
        assert max(point.populations) > 0.05


@pytest.mark.parametrize("name", ["unfolding_chain", "double_well_chain"])
def test_a_law_of_a_chain_is_checked_with_a_cell_of_its_springs(name: str) -> None:
    law = ExportedLaw(EXPORTED / f"{name}_populations")
    envelope = law.manifest["envelope"]
    high, fastest = envelope["strain"][0][1], envelope["strain_rate"][0][1]
    amplitude, duration = 0.8 * high, 0.8 * high / (0.3 * fastest)
    time = np.linspace(0.0, 3.0 * duration, 121)
    strain = np.interp(time, duration * np.arange(4.0), amplitude * np.array([0.0, 1.0, 1.0, 0.0]))
    histories = recorded(law, time, strain[None, :, None])
    system = system_of_law(law)
    assert isinstance(system, ChainCell)
    assert system.springs == 100
    result = spot_check(law, histories, system, replicas=32, progress=False)
    (point,) = result.points
    assert point.error < 6.0  # that of the springs' law with held ends in a cell
    assert abs(point.law_populations[0] - point.populations[0]) < 0.1
    # The check is of these springs: with others the law is far off.
    softer = dataclasses.replace(system, stiffness=0.7 * system.stiffness)
    assert spot_check(law, histories, softer, replicas=32, progress=False).points[0].error > 20.0


def test_the_command_prints_writes_and_fails(
    pulled: PointHistories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "bar.h5", pulled, scale=5.0)
    out, figure = tmp_path / "check.json", tmp_path / "check.png"
    command = ["spot-check", str(file), "--model", str(EXPORTED / "exact_trap")]
    options = ["--replicas", "400", "--json", str(out), "--figure", str(figure), "--strict"]
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "Tolerance 2 % (the manifest has no error of the stress)" in printed
    record = json.loads(out.read_text())
    assert [point["point"] for point in record["points"]] == [0, 7, 14]
    assert "work: law" in printed
    assert all(point["energies"]["dissipated"] > 0.0 for point in record["points"])
    assert figure.stat().st_size > 1000
    assert main([*command, "--tolerance", "-1"]) == 1
    assert "must not be negative" in capsys.readouterr().err


def test_a_time_step_that_is_not_taken_is_named(
    trap: ExportedLaw,
    pulled: PointHistories,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two units of time are stored in 80 intervals, one of which the jump at the start takes."""
    file = write(tmp_path / "bar.h5", pulled)
    command = ["spot-check", str(file), "--model", str(EXPORTED / "exact_trap"), "--quiet"]
    for step, warned in (("0.5", True), ("0.026", True), ("0.025", False), ("0.01", False)):
        caplog.clear()
        assert main([*command, "--replicas", "8", "--time-step", step]) == 0
        words = f"takes steps of {2.0 / 79:.4g} in place of the time step {float(step)}"
        assert (words in caplog.text) is warned
    caplog.clear()
    assert main([*command, "--replicas", "8"]) == 0
    assert not caplog.text


def test_histories_that_do_not_fit_are_refused(
    pulled: PointHistories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "bar.h5", pulled)
    cases = [
        (["--model", str(EXPORTED / "lattice")], "must be of a law with the strains"),
        (["--model", str(EXPORTED / "exact_sls")], "names no microscopic system"),
        (["--model", str(EXPORTED / "exact_trap"), "--replicas", "4"], "at least 8 replicas"),
    ]
    for options, words in cases:
        assert main(["spot-check", str(file), *options]) == 1
        assert words in capsys.readouterr().err
    with h5py.File(file, "r+") as opened:
        opened["internal"][:, 0] = 1.0
    assert main(["spot-check", str(file), "--model", str(EXPORTED / "exact_trap")]) == 1
    assert "begin at rest" in capsys.readouterr().err
    with h5py.File(file, "r+") as opened:
        opened.attrs["ibvonn_histories"] = 2
    with pytest.raises(ValueError, match="format 1; found 2"):
        read_point_histories(file)
