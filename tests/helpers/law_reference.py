"""The law of ``parameters.npz`` in plain NumPy: slow, short, and independent of the C kernel.

Used to check the kernel, and to make laws that nobody has trained.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def random_parameters(
    strain_size: int,
    internal_size: int,
    *,
    seed: int = 0,
    energy_layers: int = 2,
    context_layers: int = 3,
    width: int = 20,
    ridge_count: int = 8,
    stiffness: float = 1.0,
    mobility: float = 1.0,
) -> dict[str, Array]:
    """An untrained law: convex by its signs only.

    Args:
        strain_size: n_ε.
        internal_size: n_α.
        seed: Of the weights.
        energy_layers: L.
        context_layers: M, the linear last layer included.
        width: Of every hidden layer.
        ridge_count: K.
        stiffness: Factor on f.
        mobility: Factor on φ.
    """
    rng = np.random.default_rng(seed)
    d, n = strain_size + internal_size, internal_size
    root = rng.normal(size=(d, d)) / np.sqrt(d)
    p: dict[str, Array] = {
        "strain_size": np.array(strain_size),
        "internal_size": np.array(internal_size),
        "energy_layers": np.array(energy_layers),
        "context_layers": np.array(context_layers),
        "ridge_count": np.array(ridge_count),
        "energy_constant": np.array(rng.normal()),
        "energy_linear": stiffness * rng.normal(size=d),
        "energy_quadratic": stiffness * (root @ root.T + 0.1 * np.eye(d)),
        "energy_output": stiffness * rng.uniform(size=width if energy_layers else 0),
        "ridge_weight": rng.normal(size=(ridge_count, n)),
        "ridge_bias": rng.normal(size=ridge_count),
        "internal_scale": rng.uniform(0.5, 2.0, size=n),
        "envelope": np.stack([np.full(d, -1.0), np.full(d, 1.0)], axis=1),
        "residual_tolerance": np.array(1e-10),
    }
    for l in range(1, energy_layers + 1):
        p[f"energy_skip_{l}"] = rng.normal(size=(width, d))
        p[f"energy_bias_{l}"] = rng.normal(size=width)
        if l > 1:
            p[f"energy_hidden_{l}"] = rng.uniform(size=(width, width)) * (2.0 / width)
    columns = d
    for l in range(1, context_layers + 1):
        rows = n * (n + 1) // 2 + ridge_count if l == context_layers else width
        p[f"context_weight_{l}"] = rng.normal(size=(rows, columns)) / np.sqrt(columns)
        p[f"context_bias_{l}"] = 0.3 * rng.normal(size=rows)
        columns = rows
    last = p[f"context_bias_{context_layers}"]
    last[[i * (i + 1) // 2 + i for i in range(n)]] += 0.5 * np.log(mobility)
    last[n * (n + 1) // 2 :] += np.log(mobility)
    return p


def zener_parameters() -> dict[str, Array]:
    """The trap: f = ½ (λ − y)² + ½ y² with y = α, φ = ½ g² (k = η = 1). No hidden layers."""
    return {
        "strain_size": np.array(1),
        "internal_size": np.array(1),
        "energy_layers": np.array(0),
        "context_layers": np.array(1),
        "ridge_count": np.array(0),
        "energy_constant": np.array(0.0),
        "energy_linear": np.zeros(2),
        "energy_quadratic": np.array([[1.0, -1.0], [-1.0, 2.0]]),
        "energy_output": np.zeros(0),
        "ridge_weight": np.zeros((0, 1)),
        "ridge_bias": np.zeros(0),
        "context_weight_1": np.zeros((1, 2)),
        "context_bias_1": np.zeros(1),
        "internal_scale": np.ones(1),
        "envelope": np.array([[-2.0, 2.0], [-1.0, 1.0]]),
        "residual_tolerance": np.array(1e-10),
    }


def softplus(y: Array) -> Array:
    return np.logaddexp(0.0, y)


def sigmoid(y: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -y))


def energy(p: dict[str, Array], x: Array) -> tuple[Array, Array, Array]:
    """f(x), gradient (n, d), Hessian (n, d, d) at ``x`` of shape (n, d)."""
    q = p["energy_quadratic"]
    f = p["energy_constant"] + x @ p["energy_linear"] + 0.5 * np.einsum("pi,ij,pj->p", x, q, x)
    gradient = p["energy_linear"] + x @ q
    hessian = np.tile(q, (len(x), 1, 1))
    h = np.zeros((len(x), 0))
    dh = np.zeros((len(x), 0, x.shape[1]))
    ddh = np.zeros((len(x), 0, x.shape[1], x.shape[1]))
    for l in range(1, int(p["energy_layers"]) + 1):
        z = x @ p[f"energy_skip_{l}"].T + p[f"energy_bias_{l}"]
        dz = np.tile(p[f"energy_skip_{l}"], (len(x), 1, 1))
        ddz = np.zeros((*dz.shape, x.shape[1]))
        if l > 1:
            hidden = p[f"energy_hidden_{l}"]
            z = z + h @ hidden.T
            dz = dz + np.einsum("ij,pjc->pic", hidden, dh)
            ddz = ddz + np.einsum("ij,pjcb->picb", hidden, ddh)
        s, bend = sigmoid(z), sigmoid(z) * sigmoid(-z)
        h, dh = softplus(z), s[:, :, None] * dz
        ddh = s[:, :, None, None] * ddz + np.einsum("pi,pic,pib->picb", bend, dz, dz)
    v = p["energy_output"]
    return (
        f + h @ v,
        gradient + np.einsum("i,pic->pc", v, dh),
        hessian + np.einsum("i,picb->pcb", v, ddh),
    )


def potential(p: dict[str, Array], x: Array, g: Array) -> tuple[Array, Array, Array]:
    """φ(g; x), φ'(g), φ''(g) for points ``x`` (n, d) and forces ``g`` (n, n_α)."""
    n, m = int(p["internal_size"]), int(p["context_layers"])
    y = x
    for l in range(1, m + 1):
        y = y @ p[f"context_weight_{l}"].T + p[f"context_bias_{l}"]
        y = np.tanh(y) if l < m else y
    lower = np.zeros((len(x), n, n))
    rows, columns = np.tril_indices(n)
    lower[:, rows, columns] = y[:, : len(rows)]
    diagonal = np.arange(n)
    lower[:, diagonal, diagonal] = np.exp(lower[:, diagonal, diagonal])
    quadratic = lower @ lower.transpose(0, 2, 1)
    a, w, b = np.exp(y[:, len(rows) :]), p["ridge_weight"], p["ridge_bias"]
    u = g @ w.T
    value = 0.5 * np.einsum("pi,pij,pj->p", g, quadratic, g)
    value = value + np.sum(a * (softplus(u + b) - softplus(b) - sigmoid(b) * u), axis=1)
    first = np.einsum("pij,pj->pi", quadratic, g) + (a * (sigmoid(u + b) - sigmoid(b))) @ w
    bend = a * sigmoid(u + b) * sigmoid(-u - b)
    return value, first, quadratic + np.einsum("pk,ki,kj->pij", bend, w, w)


def rates(p: dict[str, Array], strain: Array, statev: Array) -> SimpleNamespace:
    """The law in continuous time, under the names of ``rates.onnx``."""
    x = np.concatenate([strain, statev], axis=1)
    f, gradient, _ = energy(p, x)
    g = -gradient[:, strain.shape[1] :]
    return SimpleNamespace(
        energy=f, stress=gradient[:, : strain.shape[1]], driving_force=g, rate=potential(p, x, g)[1]
    )


def update(
    p: dict[str, Array], strain: Array, strain_old: Array, statev: Array, dt: Array | float
) -> SimpleNamespace:
    """One backward Euler step: Newton's method on the full Jacobian, halved until Θ falls."""
    ne, n, scale = strain.shape[1], statev.shape[1], p["internal_scale"]
    old = np.concatenate([strain_old, statev], axis=1)
    step = np.broadcast_to(np.asarray(dt, dtype=np.float64), (len(strain),))[:, None]

    def equation(alpha: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Residual r, dr/dα, Θ with dΘ/dα = F r, F, and the largest |r_i| / scale_i."""
        f, gradient, hessian = energy(p, np.concatenate([strain, alpha], axis=1))
        g, stiffness = -gradient[:, ne:], hessian[:, ne:, ne:]
        value, rate, curvature = potential(p, old, g)
        dual = step[:, 0] * value - np.sum(g * (alpha - statev), axis=1) - f
        jacobian = np.eye(n) + step[:, :, None] * curvature @ stiffness
        r = alpha - statev - step * rate
        return r, jacobian, dual, stiffness, np.max(np.abs(r) / scale, axis=1)

    alpha = statev.copy()
    for _ in range(100):
        r, jacobian, dual, stiffness, size = equation(alpha)
        delta = -np.linalg.solve(jacobian, r[:, :, None])[:, :, 0]
        slope = np.einsum("pi,pij,pj->p", r, stiffness, delta)
        fraction = np.ones(len(strain))
        for _ in range(30):
            trial = equation(alpha + fraction[:, None] * delta)
            worse = trial[2] > dual + 1e-4 * fraction * slope + 1e-13 * np.abs(dual)
            worse &= ~((trial[4] < size) & (size < 1e-6))  # there Θ is flat to round-off
            if not worse.any():
                break
            fraction[worse] *= 0.5
        alpha = alpha + fraction[:, None] * delta
        if np.max(np.abs(delta) / scale) < 1e-15:
            break
    x = np.concatenate([strain, alpha], axis=1)
    f, gradient, hessian = energy(p, x)
    g = -gradient[:, ne:]
    _, _, curvature = potential(p, old, g)
    _, jacobian, _, _, size = equation(alpha)
    coupling = hessian[:, :ne, ne:]
    gain = np.linalg.solve(jacobian, step[:, :, None] * curvature)
    stiff = np.max(np.sum(np.abs(jacobian - np.eye(n)) * scale / scale[:, None], axis=2), axis=1)
    low, high = p["envelope"].T
    outside = np.maximum(low - x, x - high) / (0.5 * (high - low))
    return SimpleNamespace(
        stress=gradient[:, :ne],
        statev_new=alpha,
        tangent=hessian[:, :ne, :ne] - coupling @ gain @ coupling.transpose(0, 2, 1),
        energy=f,
        dissipation=np.sum(g * (alpha - statev), axis=1),
        residual=size / (1.0 + stiff),
        validity=np.maximum(np.max(outside, axis=1), 0.0),
    )
