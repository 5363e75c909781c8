"""Audits that only chains have: momentum, translation, equilibrium; and the statistics behind."""

from __future__ import annotations

from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.audits import Evidence, kinetics
from ibvonn_train.audits import energy_consistency as free_energy
from ibvonn_train.audits import relaxed_response as equilibrium
from ibvonn_train.closed_form.exact_models import export_kramers_chain
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw, Rates
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import Preparation, SpringChain
from ibvonn_train.simulation.protocols import smooth_pull
from ibvonn_train.statistical_mechanics.boltzmann import Boltzmann
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of

CHAIN = SpringChain(springs=4, preparation=(Preparation(2000, 0.01),))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ExportedLaw:
    """Closed-form law of these springs: its stress is exact."""
    return ExportedLaw(export_kramers_chain(tmp_path_factory.mktemp("models") / "reference"))


@pytest.fixture(scope="module")
def evidence(reference: ExportedLaw) -> Evidence:
    data: TrajectoryEnsemble = small_ensemble(
        CHAIN, [smooth_pull(0.02, 0.05), smooth_pull(-0.02, 0.09)], duration=3.0, replicas=1000,
        seed=3,
    )  # fmt: skip
    return Evidence(data, encoded(reference, data))


class Changed:
    """The reference model with some attributes replaced."""

    def __init__(self, law: Any, **changes: Any) -> None:
        self.law, self.changes = law, changes

    def __getattr__(self, name: str) -> Any:
        return self.changes[name] if name in self.changes else getattr(self.law, name)


def test_mean_spring_force_of_the_reference_model_is_exact(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    result = free_energy.stress(reference, evidence)
    assert result.verdict == "pass"
    assert result.value is not None
    assert result.value < 1e-3  # float32 microstates


def test_beads_move_as_the_exact_momentum_balance_says(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    result = kinetics.momentum(reference, evidence)
    assert result is not None
    assert result.verdict == "pass"
    # 2 protocols x 300 steps x 3 beads independent squares: 0.01 is one standard deviation / 1.6.
    assert result.value == pytest.approx(1.0, abs=0.06)


def test_coarse_record_is_compared_with_its_own_measured_forces(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    """At 20 steps an interval even exact forces miss the noise: their mean is not their ends'."""
    data = evidence.data
    data = data.select(slice(None), slice(None, None, 20))
    coarse = Evidence(data, encoded(reference, data))
    result = kinetics.momentum(reference, coarse)
    assert result is not None
    assert result.value == pytest.approx(1.0, abs=1e-4)

    def rates(strain: Any, internal: Any) -> Rates:
        right = reference.rates(strain, internal)
        wrong = 0.5 * np.random.default_rng(0).normal(size=right.stress.shape)
        return right._replace(stress=right.stress * (1 + wrong))

    perturbed = kinetics.momentum(Changed(reference, rates=rates), coarse)  # type: ignore[arg-type]
    assert perturbed is not None
    assert perturbed.value is not None
    assert perturbed.value > 1.5
    assert perturbed.verdict == result.verdict == "reported"


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_wrong_friction_breaks_the_momentum_balance(
    reference: ExportedLaw, evidence: Evidence, factor: float
) -> None:
    assert reference.physics is not None
    wrong = replace(reference.physics, friction=factor * reference.physics.friction)
    result = kinetics.momentum(Changed(reference, physics=wrong), evidence)  # type: ignore[arg-type]
    assert result is not None
    assert result.verdict == "fail"


def test_wrong_stress_breaks_the_momentum_balance(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    def rates(strain: Any, internal: Any) -> Rates:
        result = reference.rates(strain, internal)
        # Uncorrelated from spring to spring.
        wrong = 0.5 * np.random.default_rng(0).normal(size=result.stress.shape)
        return result._replace(stress=result.stress * (1 + wrong))

    result = kinetics.momentum(Changed(reference, rates=rates), evidence)  # type: ignore[arg-type]
    assert result is not None
    assert result.verdict == "fail"


def test_gauge_audit_sees_an_encoder_that_moves_with_the_springs(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    """The variance of the microstates is frozen under translation; their mean is not."""

    def frozen(x: Any) -> tuple[Any, Any]:
        return x.mean(-2), x.var(-2)

    def moving(x: Any) -> tuple[Any, Any]:
        return x.mean(-2), x.mean(-2)

    values = [
        result.value
        for encode in (frozen, moving)
        if (result := kinetics.stress_defect(Changed(reference, encode=encode), evidence))  # type: ignore[arg-type]
    ]
    assert None not in values
    assert values[0] < 1.0 < 20.0 < values[1]


def test_energy_of_others_makes_no_equilibrium_audit(
    reference: ExportedLaw, evidence: Evidence
) -> None:
    assert equilibrium.response(reference, evidence).verdict == "not available"  # it has no decoder


def two_wells() -> Boltzmann:
    parameters = CHAIN.parameters()
    physics = physics_of("double_well_chain", parameters)
    assert physics.energy is not None
    return Boltzmann(physics, physics.energy, -4.0, 6.0)


def sharp_wells(strain: float, springs: int) -> float:
    """Force of a chain with held ends, B = 10: P(n) ~ C(N, n) exp(−N B (ε − 2n/N)²)."""
    n = np.arange(springs + 1)
    weight = np.array([comb(springs, int(i)) for i in n], dtype=float)
    weight *= np.exp(-springs * 10.0 * (strain - 2 * n / springs) ** 2)
    return float(0.01 * (strain - 2 * (n @ weight) / weight.sum() / springs))


@pytest.mark.parametrize("springs", [4, 10])
def test_equilibrium_force_of_a_chain_is_that_of_its_occupations(springs: int) -> None:
    strains = np.linspace(0.1, 1.9, 7)
    result = two_wells().chain_force(strains, springs)
    expected = [sharp_wells(float(strain), springs) for strain in strains]
    # Wells that end at the crossing miss parts of order exp(−10) = 5e-5 of their Gaussians.
    np.testing.assert_allclose(result, expected, atol=5e-5 * 0.01)


def test_long_chain_has_the_force_of_one_spring_under_constant_force() -> None:
    strains = np.linspace(0.1, 0.9, 5)
    one, ten, forty = (two_wells().chain_force(strains, n) for n in (None, 10, 40))
    assert np.max(np.abs(forty - one)) < 0.3 * np.max(np.abs(ten - one))
    assert np.max(np.abs(ten - one)) > 0.01 * 0.01


def test_equilibrium_of_linear_springs_is_their_law(tmp_path: Path) -> None:
    physics = physics_of("double_well_chain", CHAIN.parameters())
    linear = Boltzmann(physics, lambda x, strain: 0.005 * x[..., 0] ** 2, -3.0, 3.0)
    strains = np.array([-0.5, 0.0, 0.3])
    for springs in (None, 3):
        np.testing.assert_allclose(linear.chain_force(strains, springs), 0.01 * strains, atol=1e-10)
