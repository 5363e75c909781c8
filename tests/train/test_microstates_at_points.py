"""Microstates at a point of an analysis: decoder and re-run agree, and a wrong history is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from ibvonn_train.cli import main
from ibvonn_train.data.point_histories import PointHistories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.studies.followed_histories import system_of_law
from ibvonn_train.studies.microstates_figure import lattice_bonds, microstates_figure
from ibvonn_train.studies.sampled_microstates import Microstates, microstates, opened
from tests.helpers.recorded_histories import recorded, write

EXPORTED = Path(__file__).parents[2] / "exported_models"


@pytest.fixture(scope="module")
def trap() -> ExportedLaw:
    return ExportedLaw(EXPORTED / "exact_trap")


@pytest.fixture(scope="module")
def pulled(trap: ExportedLaw) -> PointHistories:
    time = np.linspace(0.0, 2.0, 201)
    shape = np.interp(time, [0.0, 0.8, 1.4, 2.0], [0.0, 1.0, 1.0, -0.5])
    return recorded(trap, time, np.array([2.0, -3.0])[:, None, None] * shape[:, None])


def distance_p(law: ExportedLaw, histories: PointHistories, time: float) -> float:
    sample = microstates(
        law, histories, system_of_law(law), point=7, time=time, replicas=1000, progress=False
    )
    return float(ks_2samp(sample.decoded.ravel(), sample.simulated.ravel()).pvalue)


def test_decoder_and_simulation_agree_in_the_middle_of_a_history(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    assert distance_p(trap, pulled, 0.985) > 1e-3


def test_a_state_that_is_off_by_a_standard_deviation_is_seen(
    trap: ExportedLaw, pulled: PointHistories
) -> None:
    """Guards the test above: the decoder is asked at the state of the analysis."""
    moved = replace(pulled, internal=pulled.internal + 0.07 * (pulled.time > 0)[:, None])
    assert distance_p(trap, moved, 0.985) < 1e-6


def test_rows_until_an_instant_end_on_the_line_between_rows(pulled: PointHistories) -> None:
    cut = pulled.until(0.985)
    assert cut.time[-1] == 0.985
    assert len(cut.time) == 100
    middle = 0.5 * (pulled.strain[:, 98] + pulled.strain[:, 99])
    np.testing.assert_allclose(cut.strain[:, -1], middle)
    whole = pulled.until(2.0)
    np.testing.assert_array_equal(whole.strain, pulled.strain)


def test_the_open_bonds_of_a_lattice_are_those_of_the_law() -> None:
    law = ExportedLaw(EXPORTED / "lattice")
    system = system_of_law(law)
    assert isinstance(system, PeriodicLattice)
    time = np.linspace(0.0, 300.0, 11)
    strain = np.linspace(0.0, 1.0, 11)[None, :, None] * np.array([0.15, 0.08, 0.03])
    histories = recorded(law, time, strain)
    sample = microstates(law, histories, system, point=0, replicas=4, progress=False)
    decoded, simulated = (
        np.asarray(opened(system, states, sample.control)).mean(1)
        for states in (sample.decoded, sample.simulated)
    )
    np.testing.assert_allclose(decoded, simulated, atol=0.05)  # four standard errors
    for fractions in (decoded, simulated):  # the directions differ, as their strains do
        assert fractions.argmax() == 0
        assert fractions.max() - fractions.min() > 0.06


def test_the_springs_of_a_chain_are_drawn_beside_those_of_a_cell() -> None:
    law = ExportedLaw(EXPORTED / "unfolding_chain_populations")
    system = system_of_law(law)
    time = np.linspace(0.0, 60.0, 61)
    histories = recorded(law, time, np.linspace(0.0, 0.3, 61)[None, :, None])
    states = microstates(law, histories, system, point=0, replicas=20, progress=False)
    assert states.simulated.shape == states.decoded.shape == (1, 2000, 1)
    # Both have the strain of the point, and a quarter of the springs are open, one in ten more.
    mean = float(states.control[0])
    assert states.simulated.mean() == pytest.approx(mean, abs=1e-6)
    assert states.decoded.mean() == pytest.approx(mean, abs=0.02)
    crossing = system.parameters()["crossing"]
    decoded, simulated = (
        float((each > crossing).mean()) for each in (states.decoded, states.simulated)
    )
    assert decoded == pytest.approx(simulated, abs=0.1)
    assert simulated > 0.15


def test_the_bonds_that_are_drawn_have_the_lengths_of_the_microstates() -> None:
    system = PeriodicLattice(cells=4)
    rng = np.random.default_rng(3)
    moved = 0.02 * rng.normal(size=(16, 2))
    control = np.array([0.1, -0.02, 0.05])
    geometry = system.lattice
    far = geometry.neighbours(4)
    elongation = np.einsum("ad,and->an", geometry.directions, moved[far] - moved)
    states = np.stack([elongation, np.zeros((3, 16))], -1)
    begins, ends = lattice_bonds(system, control, states)
    along = np.einsum("ad,and->an", geometry.directions, ends - begins)
    mean = geometry.strain_basis @ control
    np.testing.assert_allclose(along - geometry.lengths[:, None], mean[:, None] + elongation)


def test_bonds_of_true_length_are_drawn_on_the_affine_motion() -> None:
    """Their mean elongations e_a are those of the strain; positions do not follow from lengths."""
    system = PeriodicLattice(cells=3, true_lengths=True)
    control = np.array([0.1, -0.02, 0.05])
    begins, ends = lattice_bonds(system, control, 0.1 * np.ones((3, 9, 2)))
    length = np.linalg.norm(ends - begins, axis=-1)
    mean = system.lattice.strain_basis @ control
    np.testing.assert_allclose(length - system.lattice.lengths[:, None], mean[:, None] + 0 * length)


@pytest.mark.parametrize("geometry", ["triangular", "square_with_diagonals", "fcc"])
def test_a_cell_of_every_geometry_is_drawn(geometry: str, tmp_path: Path) -> None:
    system = PeriodicLattice(geometry=geometry, cells=3)
    classes, strains = system.lattice.strain_basis.shape
    states = 0.12 * np.random.default_rng(0).uniform(size=(classes, 2 * system.nodes, 2))
    zero = np.zeros(strains)
    sample = Microstates(1, 2.0, zero, zero, zero, zero, 0.0, states, states, zero, None, 2)
    assert sample.of_replica(states).shape == (classes, system.nodes, 2)
    microstates_figure(tmp_path / "cell.png", system, sample)
    assert (tmp_path / "cell.png").stat().st_size > 10_000


def test_the_command_draws_and_writes(pulled: PointHistories, tmp_path: Path) -> None:
    file = write(tmp_path / "bar.h5", pulled)
    picture, out = tmp_path / "trap.png", tmp_path / "trap.json"
    command = ["microstates", str(file), "--model", str(EXPORTED / "exact_trap"), "-q"]
    options = ["--point", "7", "--time", "1", "--out", str(picture), "--json", str(out)]
    assert main([*command, *options]) == 0
    assert picture.stat().st_size > 5000
    record = json.loads(out.read_text())
    assert record["time"] == 1.0
    assert record["strain"] == [-3.0]


def test_a_time_step_longer_than_the_history_is_named(
    trap: ExportedLaw, pulled: PointHistories, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"point": 7, "time": 0.8, "replicas": 2, "progress": False}
    for step, warned in ((5.0, True), (0.8, False), (0.4, False)):
        caplog.clear()
        microstates(trap, pulled, system_of_law(trap), time_step=step, **options)
        assert ("takes steps of 0.8 in place of the time step 5" in caplog.text) is warned
        assert warned or not caplog.text


def test_what_cannot_be_drawn_is_refused_in_words(
    pulled: PointHistories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "bar.h5", pulled)
    trap = str(EXPORTED / "exact_trap")
    cases = [
        (trap, ["--point", "3"], "must be among the 2 that were recorded (0, 7); found 3"),
        (trap, ["--point", "7", "--time", "9"], "not behind 2, which was recorded; found 9"),
        (trap, ["--point", "7", "--replicas", "1"], "at least 2 replicas"),
        (str(EXPORTED / "chain_paper"), ["--point", "7"], "and 2 internal variables; they have"),
    ]
    for model, options, words in cases:
        out = ["--out", str(tmp_path / "no.png")]
        assert main(["microstates", str(file), "--model", model, "-q", *options, *out]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "no.png").exists()
