"""The audits of cells on the lattice itself: the exported law passes, wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interacting_law import Interacting

from ibvonn_train.audits import (
    Audit,
    Evidence,
    acceptance_ranges,
    cell_energy,
    cell_equilibrium,
    cell_fluxes,
    cell_memory,
    cell_structure,
)
from ibvonn_train.audits import entropy_production as dissipation
from ibvonn_train.evaluation import open_law
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload
from ibvonn_train.studies.perturbed_law import PerturbedLaw

pytestmark = pytest.mark.export

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"
TARGETS = [[0.17, 0.0, 0.0], [0.12, 0.12, 0.0], [0.088, 0.062, 0.1044], [0.02, 0.16, 0.0]]
DURATION = 5000.0


@pytest.fixture(scope="module")
def law() -> Any:
    return open_law(MODEL)


@pytest.fixture(scope="module")
def evidence(law: Any) -> Evidence:
    data = simulate(
        PeriodicLattice(), load_hold_unload(DURATION, TARGETS), duration=DURATION, time_step=0.1,
        stride=1000, replicas=32, record="samples", seed=8, progress=False,
    )  # fmt: skip
    return Evidence(data, encoded(law, data))


def made(audit: Callable[[Any, Evidence], Audit | None], law: Any, evidence: Evidence) -> Audit:
    result = audit(law, evidence)
    assert result is not None
    return result


LIMIT = acceptance_ranges.CELL_FLUXES[1] * 1.5
"""Of few jumps: more than the range, by the noise that their counts leave."""


def flux_error(law: Any, evidence: Evidence) -> float:
    """Return the error of g against the fluxes in per cent, whatever the verdict on few jumps."""
    result = made(cell_fluxes.driving_force, law, evidence)
    assert result.value is not None, result.detail
    return result.value


def test_the_exported_law_passes(law: Any, evidence: Evidence) -> None:
    for audit in (
        cell_energy.value,
        cell_memory.chi_squared,
        cell_structure.convexity,
        cell_structure.symmetry,
        dissipation.dissipated_work,
        dissipation.entropy_production,
        dissipation.fluctuation_dissipation,
    ):
        result = made(audit, law, evidence)
        assert result.verdict == "pass", f"{result.audit}: {result.value}; {result.detail}"
    assert 0.0 < flux_error(law, evidence) < LIMIT


@pytest.mark.parametrize("factor", [1 / 1.5, 1.5])
def test_wrong_rates_fail(law: Any, evidence: Evidence, factor: float) -> None:
    wrong = PerturbedLaw(law, dissipation=factor)
    assert made(dissipation.fluctuation_dissipation, wrong, evidence).verdict == "fail"


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_wrong_energies_fail(law: Any, evidence: Evidence, factor: float) -> None:
    assert made(cell_energy.value, PerturbedLaw(law, energy=factor), evidence).verdict == "fail"
    wrong = PerturbedLaw(law, force=factor)
    assert flux_error(wrong, evidence) > LIMIT
    assert made(dissipation.dissipated_work, wrong, evidence).verdict == "fail"


@pytest.mark.parametrize("repulsion", [-3.0, 3.0])
def test_a_wrong_interaction_fails(law: Any, evidence: Evidence, repulsion: float) -> None:
    """A third of κ z_h² = 8.75 k_BT."""
    wrong = Interacting(law, -repulsion)
    assert made(cell_energy.value, wrong, evidence).verdict == "fail"
    assert flux_error(wrong, evidence) > LIMIT


def test_neighbours_of_independent_bonds_are_not_correlated(law: Any, evidence: Evidence) -> None:
    """Those of the lattice are; bonds of which each is of another replica are not."""
    result = cell_memory.neighbour_correlations(law, evidence)
    assert result is not None
    data = evidence.data
    shape = (*data.samples.shape[:3], data.replicas, data.elements, 2)
    apart = data.samples.reshape(shape).copy()
    for bond in range(data.elements):
        apart[:, :, :, :, bond] = np.roll(apart[:, :, :, :, bond], bond, axis=3)
    # Directions must not share their replicas either.
    for direction in range(3):
        apart[:, :, direction] = np.roll(apart[:, :, direction], 11 * direction, axis=2)
    mixed = replace(evidence, data=replace(data, microstate=apart.reshape(data.samples.shape)))
    none = cell_memory.neighbour_correlations(law, mixed)
    assert none is not None
    active = evidence.measured.internal[:, :, 0].min(-1) > 0.02
    assert np.abs(result[active].mean((0, 1))).max() > 0.02
    assert np.abs(none[active].mean((0, 1))).max() < 0.01


def test_the_cell_is_as_large_as_one_of_twice_the_size(law: Any, evidence: Evidence) -> None:
    """Cells of three nodes are not."""
    data = evidence.data
    small = replace(data, parameters={**data.parameters, "cells": 3})
    tiny = made(cell_equilibrium.cell_size, law, replace(evidence, data=small))
    assert tiny.verdict == "reported"
    assert tiny.value is not None
    assert tiny.value > 0.5
    large = replace(data, parameters={**data.parameters, "cells": 15})
    assert (
        made(cell_equilibrium.cell_size, law, replace(evidence, data=large)).verdict
        == "not available"
    )
