"""Springs of two wells: an exact f passes the audits, one that is a stated amount wrong fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.audits import Audit, Evidence, kinetics, structure
from ibvonn_train.audits import closed_form_potentials as closed
from ibvonn_train.audits import energy_consistency as free_energy
from ibvonn_train.audits import entropy_production as dissipation
from ibvonn_train.audits import relaxed_response as equilibrium
from ibvonn_train.audits.acceptance_ranges import derived
from ibvonn_train.audits.audit import OPEN
from ibvonn_train.audits.bounds import allowed, bounds_of
from ibvonn_train.audits.certificate import AUDITS, MakeAudit
from ibvonn_train.audits.closed_forms import TwoWellForm, closed_form_of
from ibvonn_train.audits.reasons import REASONS
from ibvonn_train.closed_form.two_wells import TwoWells
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw, Rates
from ibvonn_train.evaluation.closed_form_reference import ClosedFormReference
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import Preparation, SpringChain, unfolding_chain
from ibvonn_train.simulation.protocols import smooth_pull
from ibvonn_train.statistical_mechanics.boltzmann import Boltzmann
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.calibration import exact_scores, perturbed_scores, sampling_errors
from ibvonn_train.studies.decoder_of_data import DecoderOfData
from ibvonn_train.studies.exact_ensembles import ExactCase
from ibvonn_train.studies.exact_laws import scores_table

CHAIN = SpringChain(springs=4, preparation=(Preparation(500, 0.005),), initial="equilibrium")


@pytest.fixture(scope="module")
def data() -> TrajectoryEnsemble:
    """Stretched and shortened through the transformation at rates that tear some springs."""
    protocols = [smooth_pull(0.025, 0.04), smooth_pull(0.03, 0.046), smooth_pull(-0.02, 0.088)]
    return small_ensemble(
        CHAIN, protocols, duration=3.0, time_step=0.005, stride=10, replicas=2000, seed=3
    )


@pytest.fixture(scope="module")
def exact(data: TrajectoryEnsemble) -> ClosedFormReference:
    return ClosedFormReference(data, 0.25)


@pytest.fixture(scope="module")
def evidence(exact: ClosedFormReference, data: TrajectoryEnsemble) -> Evidence:
    return Evidence(data, encoded(exact, data), count=400)


class Wrong:
    """The closed form with chosen errors.

    Args:
        law: The closed form.
        stress: Factor on σ.
        rate: Factor on α̇.
        tilt: Added to f: this times k_BT p.
        curved: Added to f: this times k_BT p²/2.
        stretch: Factor on x − ε of the decoder: wells of a wrong distance and width.
        translation: Added to α: this times the mean strain.
        attributes: Attributes in place of those of the law.
    """

    def __init__(
        self, law: Any, *, stress: float = 1.0, rate: float = 1.0, tilt: float = 0.0,
        curved: float = 0.0, stretch: float = 1.0, translation: float = 0.0, **attributes: Any,
    ) -> None:  # fmt: skip
        self.law, self.attributes = law, attributes
        self.stress, self.rate, self.stretch = stress, rate, stretch
        self.tilt, self.curved, self.translation = tilt, curved, translation

    def __getattr__(self, name: str) -> Any:
        return self.attributes[name] if name in self.attributes else getattr(self.law, name)

    def encode(self, x: Any) -> tuple[Any, Any]:
        strain, internal = self.law.encode(x)
        return strain, internal + self.translation * strain

    def rates(self, strain: Any, internal: Any) -> Rates:
        f, σ, g, rate = self.law.rates(strain, internal)
        thermal, p = self.law.physics.thermal_energy, np.asarray(internal)
        f = f + thermal * (self.tilt * p + self.curved * p**2 / 2)[:, 0]
        g = g - thermal * (self.tilt + self.curved * p)
        return Rates(f, self.stress * σ, g, self.rate * rate)

    def energy_hessian(self, strain: Any, internal: Any) -> Any:
        hessian = self.law.energy_hessian(strain, internal).copy()
        hessian[:, 1, 1] += self.curved * self.law.physics.thermal_energy
        return hessian

    def _relaxed(self, x: Any, strain: Any) -> Any:
        mean = (strain + self.law.strain_reference)[:, None]
        return mean + (x - mean) / self.stretch

    def log_density(self, x: Any, strain: Any, internal: Any) -> Any:
        inner = self.law.log_density(self._relaxed(x, strain), strain, internal)
        return inner - np.log(self.stretch)

    def sample(self, noise: Any, strain: Any, internal: Any) -> Any:
        mean = (strain + self.law.strain_reference)[:, None]
        return mean + self.stretch * (self.law.sample(noise, strain, internal) - mean)


REPORTED = {
    "joint convexity of f",
    "relaxed modulus",
    "finite size: dissipation",
    "finite size: relaxed stress",
    "energy of the decoder",
    "g against F_flow",
    "frame indifference",
    "momentum residual",
    "Markov residual",
}
"""Of a chain whose record is coarser than the steps."""


def test_exact_free_energy_passes_every_audit_of_it(
    exact: ClosedFormReference, evidence: Evidence
) -> None:
    made = {each.audit: each for each in (a(exact, evidence) for a in AUDITS) if each is not None}
    assert {name for name, each in made.items() if each.verdict == "reported"} == REPORTED
    missing = {name for name, each in made.items() if each.verdict == "not available"}
    assert missing == {"fluctuation-dissipation", "Jarzynski equality"}
    assert made.keys() - REPORTED <= REASONS.keys()  # whatever fails can say why
    judged = made.keys() - REPORTED - missing
    assert {name: made[name].value for name in judged if made[name].verdict != "pass"} == {}


def test_four_springs_are_no_limit_of_many(exact: ClosedFormReference, evidence: Evidence) -> None:
    """Why the chain of the data is no reference for the law of a point."""
    point, chain = (
        audit(exact, evidence) for audit in (equilibrium.response, equilibrium.finite_chain)
    )
    assert chain is not None
    assert point.value is not None
    assert chain.value is not None
    assert point.value < 0.1
    assert chain.value > 10.0


# The amounts were chosen as what these audits detect.
PERTURBED: list[tuple[MakeAudit, dict[str, float]]] = [
    (free_energy.stress, {"stress": 1.03}),
    (free_energy.stress, {"stress": 0.97}),
    (closed.energy, {"tilt": 1.0}),
    (closed.driving_force, {"tilt": 2.0}),
    (closed.driving_force, {"curved": 8.0}),
    (free_energy.value_against_flow, {"tilt": 1.0}),
    (free_energy.value_against_flow, {"stretch": 1.3}),
    (dissipation.dissipated_work, {"tilt": 1.0}),
    (dissipation.dissipated_work, {"tilt": -1.0}),
    (equilibrium.response, {"tilt": 1.0}),
    (structure.convexity, {"curved": -200.0}),
    (structure.dissipation_sign, {"rate": -1.0}),
]


@pytest.mark.parametrize(("audit", "errors"), PERTURBED)
def test_wrong_law_fails(
    exact: ClosedFormReference, evidence: Evidence, audit: MakeAudit, errors: dict[str, float]
) -> None:
    law: Any = Wrong(exact, **errors)
    result = audit(law, evidence)
    assert result is not None
    assert result.verdict == "fail", result
    assert result.reason
    assert result.reason.endswith(".")


@pytest.mark.parametrize(
    ("audit", "errors", "growth"),
    [
        (free_energy.decoder_energy, {"stretch": 1.3}, 1.5),
        (free_energy.gradient_against_flow, {"tilt": 5.0}, 3.0),
        (kinetics.stress_defect, {"translation": 0.1}, 2.0),
    ],
)
def test_reported_value_tells_a_wrong_law(
    exact: ClosedFormReference,
    evidence: Evidence,
    audit: MakeAudit,
    errors: dict[str, float],
    growth: float,
) -> None:
    wrong: Any = Wrong(exact, **errors)
    right, result = (audit(law, evidence) for law in (exact, wrong))
    assert right is not None
    assert result is not None
    assert right.value is not None
    assert result.value is not None
    assert result.value > growth * right.value
    assert result.verdict == right.verdict == "reported"


def test_law_that_is_a_fifth_wrong_passes_no_audit_that_judges(
    exact: ClosedFormReference, evidence: Evidence
) -> None:
    """The one amount of which every range is smaller."""
    case = ExactCase("four springs", "torn", 0, exact, None, evidence)
    perturbed = [each for each in perturbed_scores(case) if each.acceptance_range != OPEN]
    assert len({each.audit for each in perturbed}) == 6
    for score in perturbed:
        assert score.value > score.acceptance_range[1], score  # type: ignore[operator]
    for score in exact_scores(case):
        if score.acceptance_range != OPEN:
            assert score.value <= score.acceptance_range[1], score  # type: ignore[operator]


def test_ranges_follow_the_rule() -> None:
    """1.5 times the score, the sampling error, both to one digit, or the smallest range."""
    assert derived(2.1) == 4.0
    assert derived(2.0) == 3.0
    assert derived(0.028, sampling=0.061) == 0.07
    assert derived(1e-13, smallest=0.5) == 0.5
    assert derived(0.0, sampling=0.16, smallest=0.05) == 0.2


def test_sampling_error_is_that_of_the_number_of_replicas(
    exact: ClosedFormReference, evidence: Evidence
) -> None:
    """A mean spring force over N replicas has a relative error of sd/(√N rms σ)."""
    case = ExactCase("four springs", "torn", 0, exact, None, evidence)
    result = {each.audit: each.value for each in sampling_errors(case)}
    data = evidence.data
    stiffness, crossing, distance = (
        CHAIN.spring.stiffness,
        CHAIN.spring.crossing,
        CHAIN.spring.well_distance,
    )
    x = data.samples[..., 0].astype(np.float64) * CHAIN.reference_length
    force = stiffness * (x - distance * (x > crossing))
    variance = force.var(-1, ddof=1) / data.replicas
    expected = 100 * np.sqrt(variance.mean() / np.mean(data.stress**2))
    assert result["stress at encoded states"] == pytest.approx(
        expected, rel=0.2
    )  # states depend on each other


def test_reported_dissipation_follows_the_rates(
    exact: ClosedFormReference, evidence: Evidence
) -> None:
    """Rates that are 30 % too high dissipate nearly as much more from the same states on."""
    slow, fast = (
        dissipation.entropy_production(law, evidence)  # type: ignore[arg-type]
        for law in (exact, Wrong(exact, rate=1.3))
    )
    assert slow.value is not None
    assert fast.value is not None
    assert 1.05 < (100 + fast.value) / (100 + slow.value) < 1.3


def test_best_decoder_of_the_open_fraction_tells_an_exact_from_a_tilted_free_energy(
    data: TrajectoryEnsemble,
) -> None:
    """A marginal density has not the slope of the exact f: that audit is reported."""
    law: Any = DecoderOfData(data)
    tilted: Any = Wrong(law, tilt=5.0)
    evidence = Evidence(data, encoded(law, data), count=200)
    slopes = [free_energy.gradient_against_flow(each, evidence) for each in (law, tilted)]
    assert slopes[0].value is not None
    assert slopes[1].value is not None
    assert 5.0 < slopes[0].value < slopes[1].value / 1.5
    values = [free_energy.value_against_flow(each, evidence).value for each in (law, tilted)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[1] > 10 * values[0]
    spread = free_energy.decoder_energy(law, evidence).value
    assert spread is not None
    assert spread < 0.5


def test_convexity_is_asked_of_the_internal_variables_alone(
    exact: ClosedFormReference, evidence: Evidence
) -> None:
    """f_εp² > f_εε f_pp with f_pp > 0: a step has one solution, the relaxed material softens."""

    def hessian(strain: Any, internal: Any) -> Any:
        result = exact.energy_hessian(strain, internal).copy()
        result[:, 0, 1] *= 3.0
        result[:, 1, 0] *= 3.0
        return result

    law: Any = Wrong(exact)
    law.energy_hessian = hessian
    assert structure.convexity(law, evidence).verdict == "pass"
    for audit in (structure.joint_convexity, structure.curvature):
        result = audit(law, evidence)
        assert result.verdict == "reported"
        assert result.value is not None
        assert result.value < 0
        assert "% of the envelope, mostly at ε from" in result.detail
        assert "not negative" in audit(exact, evidence).detail


def wells() -> TwoWells:
    return TwoWells(width=0.2, distance=2.0, crossing=1.1, offset=3.0, thermal_energy=1e-3)


def test_slopes_of_the_free_energy_of_two_wells() -> None:
    rng = np.random.default_rng(0)
    strain, p, step = rng.uniform(-0.2, 2.2, 300), rng.uniform(0.02, 0.98, 300), 1e-5
    two = wells()
    by_strain = (two.energy(strain + step, p) - two.energy(strain - step, p)) / (2 * step)
    by_fraction = (two.energy(strain, p + step) - two.energy(strain, p - step)) / (2 * step)
    stiffness = two.thermal_energy / two.width**2
    np.testing.assert_allclose(by_strain, stiffness * two.force(strain, p), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(-by_fraction, two.driving_force(strain, p), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("chain", "low", "high"), [(CHAIN, -4.0, 6.0), (unfolding_chain(), -0.6, 1.0)]
)
def test_two_wells_rest_at_the_boltzmann_average(
    chain: SpringChain, low: float, high: float
) -> None:
    """Where g = 0 mean, open fraction and force are those of one spring by quadrature."""
    physics = physics_of(chain.name, chain.parameters())
    assert physics.energy is not None
    two = TwoWellForm(chain, chain.thermal_energy).wells
    boltzmann = Boltzmann(physics, physics.energy, low, high)
    strain = np.linspace(0.1, 0.9, 9) * two.distance
    weight, force = boltzmann.averaged_weights(strain)
    fraction = weight[:, boltzmann.nodes > two.crossing].sum(1)
    thermal, stiffness = two.thermal_energy, two.thermal_energy / two.width**2
    # The nodes cut the crossing to a step of theirs.
    np.testing.assert_allclose(two.driving_force(strain, fraction), 0.0, atol=3e-3 * thermal)
    tolerance = 1e-3 * np.abs(force).max()
    np.testing.assert_allclose(stiffness * two.force(strain, fraction), force, atol=tolerance)


def test_quantiles_of_the_wells_have_their_means_and_sides() -> None:
    two = wells()
    force = np.linspace(-0.5, 1.5, 7)
    folded, unfolded = two.ensembles(force, 20_000)
    assert (folded < two.crossing).all()
    assert (unfolded > two.crossing).all()
    np.testing.assert_allclose(
        np.stack([folded, unfolded]).mean(-1), two.wells(force).mean, atol=1e-5
    )


def test_forces_follow_the_encoder_by_the_chain_rule(
    exact: ClosedFormReference, data: TrajectoryEnsemble
) -> None:
    """∂α/∂p at given ε of a soft encoder, against a difference between whole ensembles."""
    form: Any = closed_form_of(data)

    class Soft(Wrong):
        def encode(self, x: Any) -> tuple[Any, Any]:
            features = np.concatenate([np.tanh(3 * (x - 1.05)), x**2], -1)
            return x.mean(-2), features.mean(-2)

    law: Any = Soft(exact)
    strain, p, step = np.array([0.4, 0.9, 1.3]), np.array([0.05, 0.5, 0.8]), 1e-4

    def alpha(fraction: Any) -> Any:
        first, second = form.wells.ensembles(form.wells.force(strain, fraction), 4000)
        parts = [law.encode(part[..., None])[1] for part in (first, second)]
        return (1 - fraction)[:, None] * parts[0] + fraction[:, None] * parts[1]

    expected = (alpha(p + step) - alpha(p - step)) / (2 * step)
    np.testing.assert_allclose(form.slope(law, strain, p), expected, rtol=2e-3, atol=2e-3)
    crisp = form.slope(exact, strain, p)
    np.testing.assert_allclose(crisp, 1.0, atol=1e-9)  # the open fraction itself


def test_states_of_populations_respect_their_bounds(exact: ClosedFormReference) -> None:
    """A population of two states, a mean, and a population of three states at rest 0.2, 0.3."""
    low = np.array([-0.1, -np.inf, -0.2, -0.3])
    bounds = np.stack([low, np.array([0.9, np.inf, 0.8, 0.7])], 1)
    law: Any = Wrong(
        exact,
        bounds=bounds,
        groups=np.array([[0, 2], [2, 3]]),
        internal_size=4,
        envelope=np.array([[-1.0, 1.0], [-0.1, 0.9], [-5.0, 5.0], [-0.2, 0.8], [-0.3, 0.7]]),
    )
    _, internal = structure.random_states(law, 2.0, seed=0)
    fraction = internal[:, [0, 2, 3]] - low[[0, 2, 3]]
    assert (fraction > 0).all()
    assert (fraction[:, 0] < 1).all()
    assert (fraction[:, 1:].sum(1) < 1).all()
    assert np.abs(internal[:, 1]).max() > 9  # a mean has no bounds
    inside = internal[np.abs(internal[:, 1]) < 1]
    np.testing.assert_allclose(allowed(law, inside), inside, atol=1e-12)
    free: Any = Wrong(exact, bounds=None)
    np.testing.assert_array_equal(allowed(free, internal), internal)


def test_bounds_of_an_exported_law_are_those_of_its_manifest() -> None:
    """Fractions of a population between −rest and 1 − rest; means have none."""
    models = Path(__file__).parents[2] / "exported_models"
    population, mean = (ExportedLaw(models / name) for name in ("kramers_unfolding", "exact_trap"))
    (rest,) = population.manifest["internal"]["variables"][0]["rest"]
    assert 0 < rest < 0.5
    np.testing.assert_array_equal(population.bounds, [[-rest, 1 - rest]])
    np.testing.assert_array_equal(population.groups, [[0, 2]])
    assert mean.groups.shape == (0, 2)
    assert bounds_of(mean) is None
    result = bounds_of(population)
    assert result is not None
    far = np.array([[-3.0], [0.1], [3.0]])
    np.testing.assert_allclose(
        allowed(population, far)[:, 0], [-rest, 0.1, 1 - rest], rtol=0, atol=2e-6
    )


def test_bounded_law_relaxes_within_its_bounds(exact: ClosedFormReference) -> None:
    """The same minimum as without bounds where it lies inside, and no state outside is asked."""
    asked: list[Any] = []

    class Bounded(Wrong):
        def rates(self, strain: Any, internal: Any) -> Rates:
            asked.append(np.asarray(internal))
            return super().rates(strain, internal)

    law: Any = Bounded(exact, bounds=np.array([[-0.5, 0.5]]), groups=np.array([[0, 2]]))
    free: Any = Wrong(exact, bounds=None)
    for strain in (-0.6, 0.0, 0.55):
        expected, result = equilibrium.relaxed(free, strain), equilibrium.relaxed(law, strain)
        np.testing.assert_allclose(result.energy, expected.energy, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(result.stress, expected.stress, rtol=1e-5, atol=1e-9)
    assert np.abs(np.concatenate(asked)).max() < 0.5


def test_population_of_three_states_relaxes_to_its_boltzmann_weights() -> None:
    """With f = k_BT Σ p ln p + Σ E p and p_0 = 1 − p_1 − p_2, p ∝ exp(−E/k_BT)."""
    rest, levels = np.array([0.2, 0.3]), np.array([1.0, -7.0])

    class Three:
        strain_size, internal_size, internal_scale = 1, 2, np.array([0.1, 0.2])
        bounds = np.stack([-rest, 1 - rest], 1)
        groups = np.array([[0, 3]])
        envelope = np.array([[-1.0, 1.0], [-0.2, 0.8], [-0.3, 0.7]])

        def rates(self, strain: Any, internal: Any) -> Rates:
            p = internal + rest
            first = 1 - p.sum(1, keepdims=True)
            assert (first > 0).all()
            assert (p > 0).all()
            f = (p * np.log(p) + levels * p).sum(1) + first[:, 0] * np.log(first[:, 0])
            g = np.log(first) - np.log(p) - levels
            return Rates(f, internal[:, :1] + 10 * internal[:, 1:], g, g)

    law: Any = Three()
    weight = np.exp(-np.array([0.0, *levels]))
    p = weight[1:] / weight.sum()
    state = equilibrium.relaxed(law, 0.0)
    assert state.energy == pytest.approx(-np.log(weight.sum()), abs=1e-8)
    assert state.stress[0] == pytest.approx((p - rest) @ [1.0, 10.0], abs=1e-4)
    np.testing.assert_allclose(state.internal, p - rest, atol=1e-5)


def test_scores_stand_beside_each_other() -> None:
    """One line an audit in the order of the certificate, a blank where a law was not asked."""
    first = [Audit.compare("a", 1.0, (0.0, None), ""), Audit.report("b", 2.0, "")]
    table = scores_table({"exact": first, "learned": [Audit.compare("a", -1.0, (0.0, None), "")]})
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["audit", "range", "exact", "learned"]
    assert lines[2] == ["a", "0", "to", "…", "1", "pass", "-1", "fail"]
    assert lines[3] == ["b", "2", "reported", "-"]


def test_report_decides_nothing() -> None:
    result = Audit.report("any", -1.0, "somewhere")
    assert result.verdict == "reported"
    assert result.record()["acceptance_range"] == [None, None]
    assert "reason" not in result.record()
    assert replace(result, reason="Because.").record()["reason"] == "Because."
