"""The table of studies, in small, and the reference model that chains are compared with."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from short_training import EXPERT_TOML
from small_ensembles import small_ensemble

from ibvonn_train.audits import energy_consistency as free_energy
from ibvonn_train.audits.audit_data import Evidence
from ibvonn_train.cli import main
from ibvonn_train.cli.parser import REPRODUCED
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import evaluate
from ibvonn_train.evaluation.closed_form_reference import ClosedFormReference, fitted_reference
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import Preparation, SpringChain
from ibvonn_train.simulation.protocols import smooth_pull
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.studies.one_seed import training_sets
from ibvonn_train.studies.reproduced import STUDIES, Quantity, Study
from ibvonn_train.studies.reproduction import Reproduction, table
from ibvonn_train.studies.tables import seeds_entry

TEMPLATES = Path(__file__).parents[2] / "ibvonn_train/cli/templates"

STUDY = (
    """
[simulation]
system = "tethered_particle"
time_step = 0.01
replicas = 100

[[simulation.sets]]
name = "train"
seed = 1
duration = 3.0
stride = 5
protocols = [{ kind = "paper", part = "train" }]

[[simulation.sets]]
name = "test"
seed = 2
duration = 3.0
stride = 5
protocols = [{ kind = "paper", part = "test" }]

[[simulation.sets]]
name = "linear"
seed = 3
duration = 3.0
stride = 5
protocols = [{ kind = "paper", part = "extrapolation" }]

[[simulation.sets]]
name = "slow"
seed = 4
duration = 3.0
stride = 5
protocols = [{ kind = "ramp", rate = 0.1 }]

[training]
name = "small"
internal = { means = 1 }
"""
    + EXPERT_TOML
)


@pytest.mark.slow
def test_table_has_every_line_with_median_and_worst_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "study.toml"
    config.write_text(STUDY)
    command = ["reproduce", "trap", "--config", str(config), "--seeds", "2"]
    command += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "table.json"), "-q"]
    assert main(command) == 0
    seeds = [tmp_path / f"out/trap/seed_{n}" for n in (0, 1)]
    data = [TrajectoryEnsemble.load(seed / "data/train.h5") for seed in seeds]
    assert data[0].sha256() != data[1].sha256()
    first = (seeds[0] / "result.json").stat().st_mtime_ns
    assert main([part for part in command if part != "-q"]) == 0  # from what is there
    assert (seeds[0] / "result.json").stat().st_mtime_ns == first
    shown = capsys.readouterr().out
    lines = [line for line in shown.splitlines() if line.startswith("trap ")]
    assert len(lines) == 9
    assert "1.203" in shown
    record = json.loads((tmp_path / "table.json").read_text())
    errors = [run["test"]["errors_percent"]["controlled/stress"] for run in record["runs"]]
    assert len(set(errors)) == 2
    row = next(line for line in lines if "F_ex, test" in line)
    assert f"{np.median(errors):.4g}" in row
    assert f"{max(errors):.4g}" in row
    assert row.split()[-1] == ("yes" if max(errors) <= 0.09 else "no")
    assert {each["audit"] for each in record["certificates"][0]} >= {"f against F_flow"}
    rows = {(row["ensemble"], row["quantity"]): row["spread"] for row in seeds_entry([record])}
    assert rows["test", "stress"] > 0
    assert rows["test", "internal variables"] is None


def _run(seed: int, stress: float, **of_first: Any) -> dict[str, Any]:
    errors = {"errors_percent": {"controlled/stress": stress}, "potentials_percent": {}}
    errors["sampling_error_percent"] = {"controlled/stress": 1.0} if seed == 0 else {}
    audits = [{"audit": "g", "value": stress, "verdict": "pass" if stress < 2.5 else "fail"}]
    record = {"seed": seed, "ensembles": {"test": errors}, "certificate": audits}
    return {**record, "training_cpu_seconds": 1.0, **of_first}


def test_the_worst_seed_decides_and_a_seed_that_failed_is_named() -> None:
    line = Quantity("stress", "test", "controlled/stress", 2.0, 2.5)
    runs = [_run(0, 1.0), _run(1, 1.5), _run(2, 3.0)]
    study = Study("study", (line,))
    row = Reproduction(study, runs).rows()[0]
    assert row == ["study", "stress, test", None, None, 1.0, 1.5, 3.0, 2.0, 2.5, "no"]
    assert Reproduction(study, runs[:2]).rows()[0][-1] == "yes"
    certified = replace(study, certified=True, twice_the_floor=True)
    rows = Reproduction(certified, runs, {3: "out of memory"}).rows()
    assert rows[0][-3:] == [2.0, 2.0, "no"]  # twice the sampling error
    assert rows[1][1] == "audits that fail: g"
    assert rows[1][-1] == "no"
    assert "seed 3: FAILED, out of memory" in table(
        [Reproduction(study, runs, {3: "out of memory"})]
    )
    lost = [_run(0, 1.0), _run(1, math.nan)]
    lost[1]["ensembles"]["test"]["errors_percent"]["controlled/stress"] = None  # as in its file
    for diverged in (lost, [_run(0, 1.0), _run(1, math.nan)]):
        assert Reproduction(study, diverged).rows()[0][-5:] == [math.inf, math.inf, 2.0, 2.5, "no"]
    runs[0]["closed_form"] = {"test": {"controlled/stress": 3.5}}
    assert Reproduction(certified, runs).rows()[0][-3:] == [3.5, 3.5, "yes"]


def test_a_study_of_which_every_seed_failed_has_a_record_all_the_same() -> None:
    failed = Reproduction(STUDIES["trap"], [], {0: "ValueError: bad data"})
    record = failed.record()
    assert record["failures"] == {0: "ValueError: bad data"}
    assert record["runs"] == record["seeds"] == record["training_cpu_seconds"] == []
    assert "ValueError: bad data" in table([failed])


def test_every_study_has_its_sets_and_its_name_on_the_command_line() -> None:
    assert tuple(STUDIES) == REPRODUCED
    for name, study in STUDIES.items():
        config = SimulationConfig.from_toml(TEMPLATES / f"{name}.toml")
        sets = {each.name: each for each in config.sets}
        assert {*study.tests, *([study.slow] if study.slow else [])} <= set(sets)
        drawn = [{each.seed for each in training_sets(config, seed)} for seed in range(5)]
        assert drawn[0]
        seeds = {each.seed for each in sets.values()}
        assert not any(drawn[seed] & (seeds | drawn[seed - 1]) for seed in range(1, 5))


@pytest.fixture(scope="module")
def chains() -> TrajectoryEnsemble:
    """Four springs at three lengths, long enough to go over their barriers."""
    system = SpringChain(springs=4, preparation=(Preparation(3000, 0.01),))
    protocols = [smooth_pull(0.03, start) for start in (0.04, 0.06, 0.08)]
    return small_ensemble(system, protocols, duration=3.0, replicas=500, seed=3)


@pytest.mark.slow
def test_one_fitted_friction_makes_the_reference_model_better(chains: TrajectoryEnsemble) -> None:
    plain, fitted = ClosedFormReference(chains), fitted_reference(chains)
    errors = [evaluate(reference, chains).errors["end/strain"] for reference in (plain, fitted)]
    assert errors[1] < 0.8 * errors[0]


def test_the_reference_model_is_for_chains(chains: TrajectoryEnsemble) -> None:
    with pytest.raises(ValueError, match=r"somebody's: must be one of .*double_well_chain"):
        ClosedFormReference(replace(chains, system="somebody's"))
    parameters = {k: v for k, v in chains.parameters.items() if k != "well_distance"}
    with pytest.raises(ValueError, match=r"must record \['well_distance'\]"):
        ClosedFormReference(replace(chains, parameters=parameters))


def test_density_of_the_reference_model_has_the_mean_strain_and_the_open_fraction(
    chains: TrajectoryEnsemble,
) -> None:
    reference, crossing = ClosedFormReference(chains), 1.0
    strain, internal = np.array([[-0.4], [0.3]]), np.array([[-0.2], [0.35]])  # from crossing, half
    x = np.tile(np.linspace(-3.0, 6.0, 4001)[:, None], (2, 1, 1))
    weight = np.exp(reference.log_density(x, strain, internal)) * (x[0, 1, 0] - x[0, 0, 0])
    np.testing.assert_allclose(weight.sum(1), 1.0, rtol=1e-9)
    np.testing.assert_allclose((weight * x[..., 0]).sum(1), strain[:, 0] + crossing, rtol=1e-9)
    middle = strain[:, 0] + crossing + 2.0 * (0.5 - (internal[:, 0] + 0.5))  # between the wells
    opened = (weight * (x[..., 0] > middle[:, None])).sum(1)
    np.testing.assert_allclose(opened, internal[:, 0] + 0.5, atol=1e-4)
    noise = np.random.default_rng(0).standard_normal((2, 4000, 1))
    drawn = reference.sample(noise, strain, internal)[..., 0]
    np.testing.assert_allclose(drawn.mean(1), strain[:, 0] + crossing, atol=0.06)


def test_free_energy_of_the_reference_model_is_that_of_its_density(
    chains: TrajectoryEnsemble,
) -> None:
    """Sharp wells: the closed form k/2 (ε − 2p)² + s(p) is ⟨e⟩ + k_BT ⟨ln q⟩ of two Gaussians."""
    reference = ClosedFormReference(chains)
    evidence = Evidence(chains, encoded(reference, chains), count=400)
    value = free_energy.value_against_flow(reference, evidence)
    assert value.value is not None
    assert value.value < 0.5


def test_open_fraction_is_what_the_reference_model_encodes_and_decodes(
    chains: TrajectoryEnsemble,
) -> None:
    reference = ClosedFormReference(chains)
    result = evaluate(reference, chains)
    assert result.order_parameter is not None
    assert result.order_parameter.name == "open fraction"
    assert result.order_parameter.residual_percent < 1e-6
    run = result.predicted["end"]
    assert run.order_parameter is not None
    p = np.clip(run.internal[..., 0] + 0.5, 0.0, 1.0)
    # Away from the crossing the two Gaussians do not overlap it.
    folded, opened = (run.strain[..., 0] + 1.0 - 2.0 * p + d for d in (0.0, 2.0))
    apart = (folded < 0.2) & (opened > 1.8)
    assert apart.mean() > 0.1
    np.testing.assert_allclose(run.order_parameter[apart], p[apart], atol=2e-3)
    measured = result.measured.order_parameter
    assert measured is not None
    expected = 100 * np.linalg.norm(run.order_parameter - measured) / np.linalg.norm(measured)
    assert result.errors["end/open_fraction"] == pytest.approx(expected)
    assert "force/open_fraction" not in result.errors
