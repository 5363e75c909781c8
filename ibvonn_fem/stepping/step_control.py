"""Length of the steps by the Bregman audit of the energy balance.

The numerical dissipation of a step, N = W − ΔΨ − D (:mod:`ibvonn_fem.body.energy_balance`), is the
Bregman distance of f between the states at its ends: zero in the exact solution, of second order
in Δt for backward Euler, and known without a second solve. A step is accepted where

    |N| ≤ tolerance × energy handled so far,   and   Δt_next = 0.9 Δt √(allowed / |N|),

the energy handled being the largest sum so far of stored energy and everything dissipated.
Over a run the steps then follow the process: their number grows with 1/√tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..body.argument_checks import require_number
from ..body.energy_balance import EnergyBalance

SAFETY = 0.9
"""Fraction of the longest acceptable step that is taken, so that the next one is seldom refused."""

SHORTEST_CUT = 0.1
"""Smallest factor on a refused step: far from the limit N is not of second order."""

ROUND_OFF = 1e-4
"""|N| is taken as at least this fraction of the allowed value: below it may be round-off."""


class AuditControl:
    """Accepts or refuses steps by their numerical dissipation.

    Args:
        tolerance: Largest numerical dissipation of a step as a fraction of the energy handled.
        energy_scale: Energy that replaces the energy handled [energy].

    Raises:
        TypeError: If one of them is no number.
        ValueError: If one of them is not positive and finite.
    """

    def __init__(self, tolerance: float, energy_scale: float | None = None) -> None:
        for name, value in (("audit_tolerance", tolerance), ("energy_scale", energy_scale)):
            if value is None:
                continue
            if not (require_number("TimeStepping", name, value) > 0.0 and math.isfinite(value)):
                raise ValueError(
                    f"TimeStepping: {name} must be positive and finite; found {value}."
                )
        self.tolerance = tolerance
        self.energy_scale = energy_scale
        self._handled = self._stored = self._spent = 0.0

    @property
    def scale(self) -> float:
        """Energy with which the numerical dissipation is compared; 0 before anything happened."""
        return self._handled if self.energy_scale is None else self.energy_scale

    def factor(self, balance: EnergyBalance) -> float:
        """Factor on the length of a step that would bring its |N| to 0.8 of the allowed value.

        Infinite where there is no energy to compare with yet.
        """
        allowed = self.tolerance * self.scale
        if allowed == 0.0:
            return math.inf
        # N < 0 where f is not jointly convex, at finite strain for instance: an error as well.
        return SAFETY * math.sqrt(allowed / max(abs(balance.numerical), ROUND_OFF * allowed))

    def refusal(self, balance: EnergyBalance) -> str:
        """Reason for which a step is refused; empty if it is accepted."""
        excess = abs(balance.numerical)
        if self.scale == 0.0 or excess <= self.tolerance * self.scale:
            return ""
        return (
            f"its numerical dissipation is {excess / self.scale:.2g} of the energy handled, "
            f"allowed is {self.tolerance:.2g}"
        )

    def account(self, balance: EnergyBalance) -> None:
        """Add a committed step to the energy handled."""
        self._stored += balance.stored
        self._spent += balance.dissipated + balance.dragged
        self._handled = max(self._handled, abs(self._stored) + self._spent)

    def state(self) -> dict[str, float]:
        """State of the step control, for a run that goes on later."""
        return {"handled": self._handled, "stored": self._stored, "spent": self._spent}

    def set_state(self, state: Mapping[str, float]) -> None:
        """Set a state of :meth:`state`; entries that are missing are zero."""
        self._handled, self._stored, self._spent = (
            state.get(name, 0.0) for name in ("handled", "stored", "spent")
        )
