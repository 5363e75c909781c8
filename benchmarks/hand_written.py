"""The update with derivatives written out, as a careful user would write it in NumPy or torch.

Plain Newton steps for all points at once, as many as the slowest point needs (told beforehand: no
safeguard and no test of convergence inside), then one evaluation of everything. The same text runs
on NumPy arrays, on torch tensors, under ``torch.compile`` and under ``jax.jit``.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class HandWritten:
    """A law of ``parameters.npz`` on arrays of ``xp``: ``numpy``, ``torch`` or ``jax.numpy``."""

    def __init__(self, parameters: dict[str, Any], xp: Any) -> None:
        self.xp = xp

        def array(key: str) -> Any:
            value = np.ascontiguousarray(parameters[key], dtype=np.float64)
            return xp.asarray(value)

        p = parameters
        self.ne, self.n = int(p["strain_size"]), int(p["internal_size"])
        layers, context = int(p["energy_layers"]), int(p["context_layers"])
        self.constant = float(p["energy_constant"])
        self.linear, self.quadratic = array("energy_linear"), array("energy_quadratic")
        self.skip = [array(f"energy_skip_{l}") for l in range(1, layers + 1)]
        self.bias = [array(f"energy_bias_{l}") for l in range(1, layers + 1)]
        self.hidden = [None, *(array(f"energy_hidden_{l}") for l in range(2, layers + 1))]
        self.output = array("energy_output")
        self.ridge, self.ridge_bias = array("ridge_weight"), array("ridge_bias")
        self.weights = [array(f"context_weight_{l}") for l in range(1, context + 1)]
        self.biases = [array(f"context_bias_{l}") for l in range(1, context + 1)]
        self.scale, self.box = array("internal_scale"), array("envelope")
        self.rest = self.activate(self.ridge_bias)

    def activate(self, z: Any) -> tuple[Any, Any, Any]:
        """Softplus, sigmoid and its complement."""
        xp = self.xp
        e = xp.exp(-abs(z))
        inverse = 1.0 / (1.0 + e)
        positive = z >= 0.0
        value = xp.where(positive, z, 0.0 * z) + xp.log1p(e)
        return (
            value,
            xp.where(positive, inverse, e * inverse),
            xp.where(positive, e * inverse, inverse),
        )

    def energy(self, x: Any, first: int, want_value: bool) -> tuple[Any, Any, list[list[Any]]]:
        """f (if wanted), gradient and Hessian from component ``first`` on, as columns."""
        columns = range(first, self.ne + self.n)
        h, passed, tangents, slopes, complements = None, [], [], [], []
        for skip, bias, hidden in zip(self.skip, self.bias, self.hidden, strict=True):
            z = x @ skip.T + bias
            t = [skip[:, c] for c in columns]
            if hidden is not None:
                z = z + h @ hidden.T
                t = [u @ hidden.T + s for u, s in zip(passed, t, strict=True)]
            h, s, complement = self.activate(z)
            passed = [s * column for column in t]
            tangents.append(t)
            slopes.append(s)
            complements.append(complement)
        product = x @ self.quadratic
        gradient = (self.linear + product)[:, first:]
        hessian: list[list[Any]] = [
            [0.0 * x[:, 0] + self.quadratic[a, b] for b in columns if b <= a] for a in columns
        ]
        bar = self.output
        for l in reversed(range(len(self.skip))):
            a = bar * slopes[l]
            bend = a * complements[l]
            gradient = gradient + a @ self.skip[l][:, first:]
            for i, row in enumerate(hessian):
                weighted = bend * tangents[l][i]
                for j in range(i + 1):
                    row[j] = row[j] + (weighted * tangents[l][j]).sum(-1)
            if self.hidden[l] is not None:
                bar = a @ self.hidden[l]
        value = None
        if want_value:
            value = self.constant + (x * (self.linear + 0.5 * product)).sum(-1) + h @ self.output
        return value, gradient, hessian

    def frozen(self, old: Any) -> tuple[list[list[Any]], Any]:
        """Λ as rows of columns, and A, at the start of the step."""
        y = old
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            y = self.xp.tanh(y @ weight.T + bias)
        y = y @ self.weights[-1].T + self.biases[-1]
        lower, entry = [], 0
        for i in range(self.n):
            row = [y[:, entry + j] for j in range(i)]
            lower.append([*row, self.xp.exp(y[:, entry + i])])
            entry += i + 1
        mobility = [
            [sum(lower[i][c] * lower[j][c] for c in range(j + 1)) for j in range(i + 1)]
            for i in range(self.n)
        ]
        return mobility, self.xp.exp(y[:, entry:])

    def dissipation(self, g: Any, frozen: Any, want_value: bool) -> tuple[Any, list[Any], Any]:
        """φ (if wanted), ∂φ/∂g and ∂²φ/∂g² as columns."""
        mobility, amplitude = frozen
        u = g @ self.ridge.T
        soft, s, complement = self.activate(u + self.ridge_bias)
        slope, bend = amplitude * (s - self.rest[1]), amplitude * s * complement

        def entry(i: int, j: int) -> Any:
            return mobility[max(i, j)][min(i, j)]

        n = range(self.n)
        linear = [sum(entry(i, j) * g[:, j] for j in n) for i in n]
        rate = [linear[i] + slope @ self.ridge[:, i] for i in n]
        curvature = [
            [entry(i, j) + bend @ (self.ridge[:, i] * self.ridge[:, j]) for j in n] for i in n
        ]
        value = None
        if want_value:
            value = 0.5 * sum(linear[i] * g[:, i] for i in n)
            value = value + (amplitude * (soft - self.rest[0] - self.rest[1] * u)).sum(-1)
        return value, rate, curvature

    def inverse(self, j: list[list[Any]]) -> list[list[Any]]:
        if self.n == 1:
            return [[1.0 / j[0][0]]]
        determinant = j[0][0] * j[1][1] - j[0][1] * j[1][0]
        return [
            [j[1][1] / determinant, -j[0][1] / determinant],
            [-j[1][0] / determinant, j[0][0] / determinant],
        ]

    def linearise(
        self, alpha: Any, statev: Any, dt: float, frozen: Any, gradient: Any, f: Any
    ) -> Any:
        """r, J⁻¹, the rate's curvature and φ at ``alpha``; ``f`` is f_αα."""
        n = range(self.n)
        phi, rate, curvature = self.dissipation(-gradient, frozen, True)
        r = [alpha[:, i] - statev[:, i] - dt * rate[i] for i in n]
        j = [
            [
                (1.0 if i == k else 0.0)
                + dt * sum(curvature[i][l] * f[max(l, k)][min(l, k)] for l in n)
                for k in n
            ]
            for i in n
        ]
        return r, self.inverse(j), curvature, phi

    def update(
        self, strain: Any, strain_old: Any, statev: Any, dt: float, newton_steps: int
    ) -> Any:
        """Stress, new state, tangent, energy, dissipation, residual, validity."""
        xp, n, ne = self.xp, range(self.n), self.ne
        join = xp.concatenate
        frozen = self.frozen(join([strain_old, statev], 1))
        alpha = statev
        for _ in range(newton_steps):
            _, gradient, hessian = self.energy(join([strain, alpha], 1), ne, False)
            r, inverse, *_ = self.linearise(alpha, statev, dt, frozen, gradient, hessian)
            alpha = alpha - xp.stack([sum(inverse[i][k] * r[k] for k in n) for i in n], 1)
        x = join([strain, alpha], 1)
        energy, gradient, hessian = self.energy(x, 0, True)
        f = [row[ne:] for row in hessian[ne:]]
        force = gradient[:, ne:]
        r, inverse, curvature, phi = self.linearise(alpha, statev, dt, frozen, force, f)
        # K = Δt J⁻¹ φ″, C = f_εε − f_εα K f_αε
        gain = [[dt * sum(inverse[i][l] * curvature[l][k] for l in n) for k in n] for i in n]
        mixed = [[hessian[ne + i][c] for i in n] for c in range(ne)]
        tangent = xp.stack(
            [
                hessian[max(a, b)][min(a, b)]
                - sum(mixed[a][i] * gain[i][k] * mixed[b][k] for i in n for k in n)
                for a in range(ne)
                for b in range(ne)
            ],
            1,
        ).reshape(-1, ne, ne)
        dissipation = -(force * (alpha - statev)).sum(-1)
        start = self.energy(join([strain, statev], 1), ne + self.n, True)[0]
        stable = energy + dissipation - dt * phi <= start + 1e-9 * (abs(energy) + abs(start))
        worst = sum(abs(r[i]) / self.scale[i] for i in n)
        residual = xp.where(stable, worst, worst + np.inf)
        half = 0.5 * (self.box[:, 1] - self.box[:, 0])
        outside = abs(x - 0.5 * (self.box[:, 1] + self.box[:, 0])) / half - 1.0
        largest = xp.amax(outside, 1)
        validity = xp.where(largest > 0.0, largest, 0.0 * largest)
        return gradient[:, :ne], alpha, tangent, energy, dissipation, residual, validity
