"""One audit: a number, the acceptance range it must lie in, and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from .reasons import REASONS, UNEXPLAINED

Verdict = Literal["pass", "fail", "reported", "not identifiable", "not available"]
AcceptanceRange = tuple[float | None, float | None]
OPEN: AcceptanceRange = (None, None)
"""Of a value that is reported and decides nothing."""


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        audit: Name.
        value: Its result, or None where the audit is not available.
        acceptance_range: Lowest and highest acceptable value; None is open.
        verdict: Of the comparison.
        detail: What was measured, on what, and against what.
        reason: Where it fails, one sentence on what that means for the law.
    """

    audit: str
    value: float | None
    acceptance_range: AcceptanceRange
    verdict: Verdict
    detail: str
    reason: str | None = None

    @classmethod
    def compare(
        cls, audit: str, value: float, acceptance_range: AcceptanceRange, detail: str
    ) -> Audit:
        """Compare a value with its acceptance range; what is not finite fails.

        Where the range is :data:`OPEN` a finite value is reported.
        """
        if acceptance_range == OPEN and math.isfinite(value):
            return cls.report(audit, value, detail)
        low, high = acceptance_range
        inside = (
            math.isfinite(value)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )
        if inside:
            return cls(audit, float(value), acceptance_range, "pass", detail)
        return cls(
            audit, float(value), acceptance_range, "fail", detail, REASONS.get(audit, UNEXPLAINED)
        )

    @classmethod
    def report(cls, audit: str, value: float, detail: str) -> Audit:
        """Tell a value that no law has to meet, such as the effect of a finite system."""
        return cls(audit, float(value), OPEN, "reported", detail)

    @classmethod
    def not_available(cls, audit: str, acceptance_range: AcceptanceRange, reason: str) -> Audit:
        """Say why an audit cannot be made: this is never a pass."""
        return cls(audit, None, acceptance_range, "not available", reason)

    @classmethod
    def not_identifiable(
        cls, audit: str, value: float, acceptance_range: AcceptanceRange, reason: str
    ) -> Audit:
        """Say that the data cannot decide: this is never a pass."""
        return cls(audit, float(value), acceptance_range, "not identifiable", reason)

    def record(self) -> dict[str, Any]:
        """Return the entry of the manifest's certificate; JSON has no value that is not finite."""
        finite = self.value is not None and math.isfinite(self.value)
        entry = {
            "audit": self.audit,
            "value": self.value if finite else None,
            "acceptance_range": list(self.acceptance_range),
            "verdict": self.verdict,
            "detail": self.detail,
        }
        return entry if self.reason is None else {**entry, "reason": self.reason}
