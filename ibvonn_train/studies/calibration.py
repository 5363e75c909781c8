"""Acceptance ranges from exact laws: their largest score in every audit, and what a fifth would be.

The rule stands in :mod:`ibvonn_train.audits.acceptance_ranges`. What counts as a score of the exact
law, on every calibration ensemble:

- the value of the audit for the exact law, as its distance from 0 (of ratios from 1);
- for audits that ask the decoder, in place of it the value with the best decoder of the open
  fraction alone, counted in an ensemble of another seed, where the exact law has no exact decoder.

The sampling error of σ, f and g is half the difference between what the exact law says of either
half of the replicas. The exact law and its reference see the same microstates, so that its score
lacks it.

A law that is a fifth wrong has its factor on the audited quantity, 1.2 or 0.8, whichever scores
less; in frame indifference α moves with the mean strain by as much as makes the defect a fifth
of σ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..audits import Audit, Evidence, cell_energy, cell_fluxes, cell_memory, kinetics
from ..audits import closed_form_potentials as closed
from ..audits import constrained_potentials as constrained
from ..audits import energy_consistency as free_energy
from ..audits import entropy_production as dissipation
from ..audits import relaxed_response as equilibrium
from ..audits.acceptance_ranges import derived
from ..audits.audit import AcceptanceRange
from ..audits.cell_states import of_cell
from ..audits.certificate import MakeAudit
from ..audits.closed_forms import closed_form_at_states
from ..evaluation.errors import deviation, relative_error
from ..evaluation.interface import FloatArray, Law
from .exact_ensembles import ExactCase
from .exact_laws import shown
from .perturbed_law import PerturbedLaw
from .tables import Cell, text_table

FIFTH = 0.2

Error = Callable[[FloatArray, FloatArray], float]
Perturbation = Callable[[float, Law, Evidence], dict[str, float]]
"""Errors of a law that is this part wrong in the audited quantity: arguments of `PerturbedLaw`."""


class Rule(NamedTuple):
    """How an audit is calibrated.

    Attributes:
        audit: Makes it.
        perturbation: None where the audited quantity belongs to the variables or the system.
        ideal: What a perfect law scores.
        decoder: Whether it asks the decoder.
        kinetics: Whether it asks φ, which not every exact case knows.
    """

    audit: MakeAudit
    perturbation: Perturbation | None
    ideal: float = 0.0
    decoder: bool = False
    kinetics: bool = False


def _factor(name: str) -> Perturbation:
    return lambda part, _law, _evidence: {name: 1 + part}


def _translation(part: float, law: Law, evidence: Evidence) -> dict[str, float]:
    """Move α with the mean strain so that the defect is this part of σ."""
    rates = law.rates(*evidence.all_states(law))
    size = np.linalg.norm(rates.stress) / np.linalg.norm(rates.driving_force)
    return {"translation": part * float(size)}


def _memory(law: Law, evidence: Evidence) -> Audit | None:
    """Make the Markov residual of others than cells, in per cent."""
    return None if of_cell(law, evidence) else kinetics.markov_residual(law, evidence)


RULES: tuple[Rule, ...] = (
    Rule(free_energy.stress, _factor("stress")),
    Rule(kinetics.stress_defect, _translation),
    Rule(free_energy.decoder_energy, _factor("width"), decoder=True),
    Rule(free_energy.value_against_flow, _factor("energy"), decoder=True),
    Rule(free_energy.gradient_against_flow, _factor("force"), decoder=True),
    Rule(closed.energy, _factor("energy")),
    Rule(closed.driving_force, _factor("force")),
    Rule(closed.mobility, _factor("dissipation")),
    Rule(constrained.energy, _factor("energy")),
    Rule(constrained.driving_force, _factor("force")),
    Rule(dissipation.dissipated_work, _factor("force")),
    Rule(dissipation.entropy_production, _factor("dissipation"), kinetics=True),
    Rule(dissipation.fluctuation_dissipation, _factor("dissipation"), ideal=1.0, kinetics=True),
    Rule(equilibrium.response, _factor("stress")),
    Rule(equilibrium.finite_chain, None),
    Rule(equilibrium.jarzynski, _factor("energy")),
    Rule(kinetics.momentum, _factor("stress"), ideal=1.0),
    Rule(_memory, None),
    Rule(cell_energy.value, _factor("energy")),
    Rule(cell_fluxes.driving_force, _factor("force")),
    Rule(cell_memory.chi_squared, None, ideal=1.0),
)


class Score(NamedTuple):
    """Distance of a value from that of a perfect law.

    Attributes:
        audit: Name of the audit.
        averaged: Whether it is of a law of averaged strain.
        value: The distance.
        source: On which ensemble.
        acceptance_range: In which the value itself must lie.
    """

    audit: str
    averaged: bool
    value: float
    source: str
    acceptance_range: AcceptanceRange


def exact_scores(case: ExactCase) -> Iterator[Score]:
    """Yield what the exact law scores in every audit on one ensemble."""
    place, averaged = f"{case.system}, {case.chosen}", case.exact.averaged
    for rule in _meaningful(case):
        law = _asked(case, rule)
        made = rule.audit(law, case.evidence)
        if made is not None and made.value is not None:
            value = abs(made.value - rule.ideal)
            yield Score(made.audit, averaged, value, place, made.acceptance_range)


def perturbed_scores(case: ExactCase, part: float = FIFTH) -> Iterator[Score]:
    """Yield what laws score that are a part wrong, by too much and by too little."""
    for rule in _meaningful(case):
        if rule.perturbation is None:
            continue
        law, place = _asked(case, rule), f"{case.system}, {case.chosen}"
        for error in (part, -part):
            perturbed: Any = PerturbedLaw(law, **rule.perturbation(error, law, case.evidence))
            made = rule.audit(perturbed, case.evidence)
            if made is not None and made.value is not None:
                value = abs(made.value - rule.ideal)
                yield Score(made.audit, law.averaged, value, place, made.acceptance_range)


def _meaningful(case: ExactCase) -> list[Rule]:
    return [rule for rule in RULES if case.kinetics or not rule.kinetics]


def _asked(case: ExactCase, rule: Rule) -> Law:
    return case.best_decoder if rule.decoder and case.best_decoder is not None else case.exact


def sampling_errors(case: ExactCase) -> Iterator[Score]:
    """Yield the sampling errors of σ, f and g of the exact law on an ensemble, in per cent.

    None for cells, whose laws are compared with data that do not see the same noise.
    """
    if of_cell(case.exact, case.evidence):
        return
    law, evidence, place = case.exact, case.evidence, f"{case.system}, {case.chosen}"
    data, shape = evidence.data, evidence.measured.strain.shape
    samples = data.samples.reshape(*shape[:3], data.replicas, data.elements, -1)
    halves = []
    for start in (0, 1):
        half = samples[:, :, :, start::2].reshape(*shape[:3], -1, samples.shape[-1])
        strain, internal = law.encode(half.astype(np.float64))
        strain = evidence.measured.strain if strain is None else strain
        halves.append(
            law.rates(strain.reshape(-1, law.strain_size), internal.reshape(-1, law.internal_size))
        )
    whole = law.rates(*evidence.all_states(law))

    def apart(made: Audit | None, error: Error, quantity: str, at: Any = ...) -> Score:
        assert made is not None  # noqa: S101 (the law of these systems is known)
        first, second, size = (getattr(rates, quantity)[at] for rates in (*halves, whole))
        value = 0.5 * error(size + first - second, size)
        return Score(made.audit, law.averaged, value, place, made.acceptance_range)

    known = closed_form_at_states(law, evidence)
    yield apart(free_energy.stress(law, evidence), relative_error, "stress")
    if known is None:  # the exact law sees the same α as its reference, the equilibrium at held α
        return
    yield apart(closed.energy(law, evidence), deviation, "energy")
    force = closed.driving_force(law, evidence)
    yield apart(force, relative_error, "driving_force", known.resolved)


def calibration_table(
    exact: Sequence[Score], sampling: Sequence[Score], perturbed: Sequence[Score]
) -> str:
    """Return one line for each audit and kind of strain.

    Args:
        exact: Scores of exact laws on the calibration ensembles.
        sampling: Sampling errors of these ensembles.
        perturbed: Scores of laws that are a fifth wrong.
    """
    rows: list[list[Cell]] = []
    for kind in dict.fromkeys(map(_kind, exact)):
        name, averaged, _ = kind
        worst = max((s for s in exact if _kind(s) == kind), key=lambda score: score.value)
        error, caught = (
            choose((s.value for s in scores if _kind(s) == kind), default=None)
            for choose, scores in ((max, sampling), (min, perturbed))
        )
        strain = "averaged" if averaged else "controlled"
        end = derived(worst.value, error or 0.0)
        stands = shown(worst.acceptance_range) or "reported"
        rows.append([name, strain, worst.value, worst.source, error, end, stands, caught])
    header = ["audit", "strain", "largest score", "of", "sampling error", "derived", "range"]
    return text_table([*header, "a fifth wrong"], rows)


def _kind(score: Score) -> tuple[str, bool, AcceptanceRange]:
    return score.audit, score.averaged, score.acceptance_range
