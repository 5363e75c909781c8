"""One audit: a number, the band it must lie in, and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["pass", "fail", "not identifiable", "not available"]
Band = tuple[float | None, float | None]


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        audit: Name.
        value: What was found, or None where the audit is not available.
        band: Lowest and highest acceptable value; None is open.
        verdict: Of the comparison.
        detail: What was measured, on what, and against what.
    """

    audit: str
    value: float | None
    band: Band
    verdict: Verdict
    detail: str

    @classmethod
    def judge(cls, audit: str, value: float, band: Band, detail: str) -> Audit:
        """Compare a value with its band; what is not finite fails."""
        low, high = band
        inside = (
            math.isfinite(value)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )
        return cls(audit, float(value), band, "pass" if inside else "fail", detail)

    @classmethod
    def not_available(cls, audit: str, band: Band, reason: str) -> Audit:
        """Say why an audit cannot be made: this is never a pass."""
        return cls(audit, None, band, "not available", reason)

    @classmethod
    def not_identifiable(cls, audit: str, value: float, band: Band, reason: str) -> Audit:
        """Say that the data cannot decide: this is never a pass."""
        return cls(audit, float(value), band, "not identifiable", reason)

    def record(self) -> dict[str, Any]:
        """Return the entry of the manifest's certificate."""
        return {
            "audit": self.audit,
            "value": self.value,
            "acceptance_range": list(self.band),
            "verdict": self.verdict,
            "detail": self.detail,
        }
