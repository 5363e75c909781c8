"""The update of a law with populations of two states, as a careful user would write it.

As :mod:`hand_written`: plain Newton steps for all points at once, as many as the slowest point
needs (told beforehand), then one evaluation of everything. The unknown is the force that stands for
G = −∂F/∂α, as in the exported update; it starts at G(ε⁺, α_n), as that of the C kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hand_written import HandWritten


class HandWrittenPopulations(HandWritten):
    """A law with n_α populations of two states on arrays of ``xp``: numpy, torch or jax.numpy."""

    def __init__(self, parameters: dict[str, Any], xp: Any) -> None:
        super().__init__(parameters, xp)

        def array(key: str) -> Any:
            return xp.asarray(np.ascontiguousarray(parameters[key], dtype=np.float64))

        layers = range(1, int(parameters["rate_layers"]) + 1)
        self.theta = float(parameters["thermal_energy"])
        self.p_rest = array("rest")
        self.rate_weights = [array(f"rate_weight_{l}") for l in layers]
        self.rate_biases = [array(f"rate_bias_{l}") for l in layers]
        self.barrier = array("rate_barrier")
        self.identity = xp.asarray(np.eye(self.n))

    def log_rates(self, old: Any) -> Any:
        """ln k' at the start of the step, the saturation left out; drives are −G_1/θ."""
        drive = self.energy(old, self.ne, False)[1] / self.theta
        y = self.xp.concatenate([old, drive], 1)
        for weight, bias in zip(self.rate_weights[:-1], self.rate_biases[:-1], strict=True):
            y = self.xp.tanh(y @ weight.T + bias)
        return y @ self.rate_weights[-1].T + self.rate_biases[-1]

    def balance(self, force: Any, before: Any, log_rates: Any, dt: float) -> tuple[Any, Any, Any]:
        """Open and closed fractions at a given force, and the derivative of the open ones."""
        y = -force / (2.0 * self.theta)
        above, slope_above, _ = self.activate(y - self.barrier)
        below, slope_below, _ = self.activate(-y - self.barrier)
        log_rates, rise = log_rates - above - below, slope_below - slope_above
        closing = dt * self.xp.exp(log_rates + y)
        opening = dt * self.xp.exp(log_rates - y)
        total = 1.0 + closing + opening
        is_open = (before + opening) / total
        closed = (1.0 - before + closing) / total
        flows = opening * (1.0 - rise) * closed + closing * (1.0 + rise) * is_open
        return is_open, closed, flows / (2.0 * self.theta * total)

    def solve(self, matrix: Any, right: Any) -> Any:
        """A⁻¹ b of every point, ``right`` of shape (n, n_α, columns)."""
        if self.n == 1:
            return right / matrix
        return self.xp.linalg.solve(matrix, right)

    def matrix(self, hessian: list[list[Any]], rows: range, columns: range) -> Any:
        """A block of the Hessian as an array, ``(n, rows, columns)``."""
        entries = [hessian[max(i, k)][min(i, k)] for i in rows for k in columns]
        return self.xp.stack(entries, 1).reshape(-1, len(rows), len(columns))

    def mixing(self, is_open: Any, closed: Any) -> tuple[Any, Any]:
        """θ Σ p ln p, and its derivative."""
        up, down = self.xp.log(is_open), self.xp.log(closed)
        return self.theta * (is_open * up + closed * down).sum(-1), self.theta * (up - down)

    def update(
        self, strain: Any, strain_old: Any, statev: Any, dt: float, newton_steps: int
    ) -> Any:
        """Stress, new state, tangent, energy, dissipation, residual, validity."""
        xp, n, ne = self.xp, self.n, self.ne
        join = xp.concatenate
        log_rates = self.log_rates(join([strain_old, statev], 1))
        before = self.p_rest + statev
        inner = range(n)
        start = join([strain, statev], 1)
        f_start, slope, _ = self.energy(start, ne, True)
        f_start = f_start + self.mixing(before, 1.0 - before)[0]
        force = -slope
        for _ in range(newton_steps):
            is_open, _, compliance = self.balance(force, before, log_rates, dt)
            x = join([strain, is_open - self.p_rest], 1)
            _, slope, hessian = self.energy(x, ne, False)
            stiff = self.matrix(hessian, inner, inner)
            jacobian = self.identity + stiff * compliance[:, None, :]
            force = force - self.solve(jacobian, (force + slope)[:, :, None])[:, :, 0]
        is_open, _, _ = self.balance(force, before, log_rates, dt)
        alpha = is_open - self.p_rest
        x = join([strain, alpha], 1)
        energy, gradient, hessian = self.energy(x, 0, True)
        end, closed, compliance = self.balance(-gradient[:, ne:], before, log_rates, dt)
        outer, inner = range(ne), range(ne, ne + n)
        stiff = self.matrix(hessian, inner, inner)
        mixed = self.matrix(hessian, inner, outer)
        jacobian = self.identity + compliance[:, :, None] * stiff
        moved = self.solve(jacobian, compliance[:, :, None] * mixed)
        outside = self.matrix(hessian, outer, inner)
        tangent = self.matrix(hessian, outer, outer) - outside @ moved
        entropy, logit = self.mixing(end, closed)
        energy = energy + entropy
        dissipation = -((gradient[:, ne:] + logit) * (alpha - statev)).sum(-1)
        stable = energy + dissipation <= f_start + 1e-9 * (abs(energy) + abs(f_start))
        worst = (abs(alpha - (end - self.p_rest)) / self.scale).sum(-1)
        residual = xp.where(stable, worst, worst + np.inf)
        half = 0.5 * (self.box[:, 1] - self.box[:, 0])
        largest = xp.amax(abs(x - 0.5 * (self.box[:, 1] + self.box[:, 0])) / half - 1.0, 1)
        validity = xp.where(largest > 0.0, largest, 0.0 * largest)
        return gradient[:, :ne], alpha, tangent, energy, dissipation, residual, validity
