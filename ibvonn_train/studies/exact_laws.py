"""What the exact law scores in every audit, beside what a learned one does.

An audit that a law with the exact free energy fails judges its yardstick. The trap is known in
closed form altogether. Of chains of two-well springs f and σ are (of sharp wells), and the kinetics
are those of the reference model with one fitted friction: approximate, as is what depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..audits import Audit, Evidence, energy_consistency
from ..audits.audit import AcceptanceRange
from ..audits.certificate import AUDITS, MakeAudit, audits_on
from ..evaluation.interface import Law
from ..evaluation.law_rollouts import encoded
from .decoder_of_data import DecoderOfData
from .tables import Cell, text_table
from .wells_decoder_of_data import WellsDecoderOfData

OF_THE_DECODER: tuple[MakeAudit, ...] = (
    energy_consistency.decoder_energy,
    energy_consistency.value_against_flow,
    energy_consistency.gradient_against_flow,
)
"""Audits that ask the decoder: the ones that the decoder of the data is for."""


def certificates(laws: Mapping[str, Law], evidence: Evidence) -> dict[str, list[Audit]]:
    """Return the audits of each law on the same data."""
    return {
        name: audits_on(
            law,
            Evidence(evidence.data, encoded(law, evidence.data), evidence.slow),
            OF_THE_DECODER if isinstance(law, DecoderOfData | WellsDecoderOfData) else AUDITS,
        )
        for name, law in laws.items()
    }


def scores_table(made: Mapping[str, Sequence[Audit]]) -> str:
    """Return one line for each audit: its range, and value and verdict of each law.

    Args:
        made: Name of the law → its certificate.
    """
    by_name = {name: {audit.audit: audit for audit in audits} for name, audits in made.items()}
    order: dict[str, Audit] = {}
    for audits in made.values():
        for audit in audits:
            order.setdefault(audit.audit, audit)
    rows: list[list[Cell]] = []
    for name, first in order.items():
        row: list[Cell] = [name, shown(first.acceptance_range)]
        for audits_of_law in by_name.values():
            made_of_law = audits_of_law.get(name)
            row += [None, ""] if made_of_law is None else [made_of_law.value, made_of_law.verdict]
        rows.append(row)
    header = ["audit", "range"]
    for name in made:
        header += [name, ""]
    return text_table(header, rows)


def shown(acceptance_range: AcceptanceRange) -> str:
    """Return a range in words, none where it is open at both ends."""
    low, high = ("…" if end is None else f"{end:g}" for end in acceptance_range)
    return "" if low == high == "…" else f"{low} to {high}"


def scores_record(made: Mapping[str, Sequence[Audit]]) -> dict[str, list[dict[str, Any]]]:
    """Return the certificates, for JSON."""
    return {name: [audit.record() for audit in audits] for name, audits in made.items()}
