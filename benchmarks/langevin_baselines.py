"""The Euler–Maruyama scheme of the trap and the chain as one writes it in NumPy, JAX and torchsde.

Each draws single-precision noise, steps all replicas of a protocol (the trap: of all protocols) at
once and records what our engine records: microstates and mean external forces. None is a straw
man: arrays are allocated once in NumPy, all steps are one compiled scan in JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from ibvonn_train.simulation import Protocol, SpringChain, TetheredParticle

TIME_STEP = 0.01
Run = Callable[[], np.ndarray]


def installed() -> tuple[str, ...]:
    """Names of the baselines that can run here."""
    return ("numpy", *(name for name in ("jax", "torchsde") if find_spec(name) is not None))


def controls(protocols: list[Protocol], steps: int) -> np.ndarray:
    """λ at every step, shape ``(n_protocol, steps + 1)``, float32."""
    time = TIME_STEP * np.arange(steps + 1)
    return np.array([protocol.value(time) for protocol in protocols], dtype=np.float32)


def trap_in_numpy(protocols: list[Protocol], replicas: int, steps: int) -> Run:
    """Mean external forces, shape ``(n_protocol, steps + 1)``."""
    trap, rng = TetheredParticle(), np.random.default_rng(0)
    λ = controls(protocols, steps)
    drift = trap.stiffness * TIME_STEP / trap.friction
    amplitude = math.sqrt(2 * trap.thermal_energy * TIME_STEP / trap.friction)

    def run() -> np.ndarray:
        spread = math.sqrt(trap.thermal_energy / (2 * trap.stiffness))
        shape = (len(λ), replicas)
        x = λ[:, :1] / 2 + np.float32(spread) * rng.standard_normal(shape, dtype=np.float32)
        record = np.empty((steps + 1, *shape), dtype=np.float32)
        noise = np.empty_like(x)
        record[0] = x
        for n in range(steps):
            rng.standard_normal(dtype=np.float32, out=noise)
            noise *= np.float32(amplitude)
            x *= np.float32(1 - 2 * drift)
            x += np.float32(drift) * λ[:, n, None]
            x += noise
            record[n + 1] = x
        return trap.stiffness * (λ - record.mean(-1, dtype=np.float64).T)

    return run


def chain_in_numpy(protocol: Protocol, replicas: int, steps: int) -> Run:
    """Mean force of the last spring, shape ``(steps + 1,)``, after the paper's preparation."""
    chain, rng = SpringChain(), np.random.default_rng(0)
    spring, size = chain.spring, chain.springs
    λ = controls([protocol], steps)[0]

    def run() -> np.ndarray:
        beads = np.zeros((size + 1, replicas), dtype=np.float32)  # with the wall and the end
        beads[:] = λ[0] * np.arange(size + 1, dtype=np.float32)[:, None] / size
        u, tension = np.empty((2, size, replicas), dtype=np.float32)
        opened = np.empty(u.shape, dtype=bool)
        noise, move = np.empty((2, size - 1, replicas), dtype=np.float32)
        microstate = np.empty((steps + 1, size, replicas), dtype=np.float32)
        force = np.empty(steps + 1)

        def find_tension() -> None:
            np.subtract(beads[1:], beads[:-1], out=u)
            np.subtract(u, np.float32(chain.reference_length), out=u)
            np.greater(u, np.float32(spring.crossing), out=opened)
            np.multiply(opened, np.float32(-spring.well_distance), out=tension)
            np.add(tension, u, out=tension)
            np.multiply(tension, np.float32(spring.stiffness), out=tension)

        def step(drift: np.float32, amplitude: np.float32) -> None:
            rng.standard_normal(dtype=np.float32, out=noise)
            np.multiply(noise, amplitude, out=noise)
            np.subtract(tension[1:], tension[:-1], out=move)
            np.multiply(move, drift, out=move)
            np.add(beads[1:-1], move, out=beads[1:-1])
            np.add(beads[1:-1], noise, out=beads[1:-1])

        for stage in chain.preparation:
            factors = _factors(chain, stage.time_step, stage.noise_factor)
            for _ in range(stage.steps):
                find_tension()
                step(*factors)
        factors = _factors(chain, TIME_STEP, 1.0)
        for n in range(steps + 1):
            beads[-1] = λ[n]
            find_tension()
            np.divide(u, np.float32(chain.reference_length), out=microstate[n])
            force[n] = tension[-1].mean(dtype=np.float64)
            step(*factors)
        return force

    return run


def _factors(chain: SpringChain, time_step: float, noise_factor: float) -> tuple[Any, Any]:
    """Δt/η and the amplitude of the noise of one step."""
    variance = 2 * chain.thermal_energy * time_step / chain.friction
    return np.float32(time_step / chain.friction), np.float32(noise_factor * math.sqrt(variance))


def trap_in_jax(protocols: list[Protocol], replicas: int, steps: int) -> Run:
    """As :func:`trap_in_numpy`; the first call compiles."""
    import jax
    from jax import numpy as jnp

    trap = TetheredParticle()
    λ = jnp.asarray(controls(protocols, steps).T)
    drift = trap.stiffness * TIME_STEP / trap.friction
    amplitude = math.sqrt(2 * trap.thermal_energy * TIME_STEP / trap.friction)
    shape = (λ.shape[1], replicas)

    def advance(x: Any, given: Any) -> Any:
        control, key = given
        noise = jax.random.normal(key, shape, dtype=jnp.float32)
        x = x + drift * (control[:, None] - 2 * x) + amplitude * noise
        return x, x

    @jax.jit
    def simulate(key: Any) -> Any:
        keys = jax.random.split(key, steps + 1)
        spread = math.sqrt(trap.thermal_energy / (2 * trap.stiffness))
        start = λ[0][:, None] / 2 + spread * jax.random.normal(keys[-1], shape, dtype=jnp.float32)
        _, record = jax.lax.scan(advance, start, (λ[:-1], keys[:-1]))
        record = jnp.concatenate([start[None], record])
        return record, trap.stiffness * (λ - record.mean(-1))

    return lambda: np.asarray(jax.block_until_ready(simulate(jax.random.PRNGKey(0)))[1]).T


def chain_in_jax(protocol: Protocol, replicas: int, steps: int) -> Run:
    """As :func:`chain_in_numpy`; the first call compiles."""
    import jax
    from jax import numpy as jnp

    chain = SpringChain()
    spring, size = chain.spring, chain.springs
    λ = jnp.asarray(controls([protocol], steps)[0])

    def advance(x: Any, control: Any, key: Any, factors: tuple[Any, Any]) -> Any:
        wall = jnp.zeros((1, replicas), jnp.float32)
        end = jnp.full((1, replicas), control, jnp.float32)
        u = jnp.diff(jnp.concatenate([wall, x, end]), axis=0) - chain.reference_length
        opened = jnp.where(u > spring.crossing, spring.well_distance, 0)
        tension = spring.stiffness * (u - opened)
        noise = jax.random.normal(key, x.shape, dtype=jnp.float32)
        new = x + factors[0] * jnp.diff(tension, axis=0) + factors[1] * noise
        return new, (u / chain.reference_length, tension[-1].mean())

    @jax.jit
    def simulate(key: Any) -> Any:
        x = λ[0] * jnp.arange(1, size, dtype=jnp.float32)[:, None] / size
        x = jnp.broadcast_to(x, (size - 1, replicas))
        for stage in chain.preparation:
            key, own = jax.random.split(key)
            factors = _factors(chain, stage.time_step, stage.noise_factor)

            def hold(n: Any, x: Any, own: Any = own, factors: Any = factors) -> Any:
                return advance(x, λ[0], jax.random.fold_in(own, n), factors)[0]

            x = jax.lax.fori_loop(0, stage.steps, hold, x)
        factors = _factors(chain, TIME_STEP, 1.0)
        keys = jax.random.split(key, steps + 1)
        return jax.lax.scan(lambda x, given: advance(x, *given, factors), x, (λ, keys))[1]

    return lambda: np.asarray(jax.block_until_ready(simulate(jax.random.PRNGKey(0)))[1])


def trap_in_torchsde(protocols: list[Protocol], replicas: int, steps: int) -> Run:
    """As :func:`trap_in_numpy`, by ``torchsde.sdeint`` with its Euler method."""
    import torch
    import torchsde

    trap = TetheredParticle()
    λ = torch.from_numpy(controls(protocols, steps))
    amplitude = math.sqrt(2 * trap.thermal_energy / trap.friction)

    class Trap(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Any, x: Any) -> Any:
            control = λ[:, min(round(float(t) / TIME_STEP), steps)]
            return trap.stiffness / trap.friction * (control[:, None] - 2 * x)

        def g(self, t: Any, x: Any) -> Any:  # noqa: ARG002
            return torch.full_like(x, amplitude)

    def run() -> np.ndarray:
        spread = math.sqrt(trap.thermal_energy / (2 * trap.stiffness))
        x = λ[:, :1] / 2 + spread * torch.randn(len(λ), replicas)
        time = TIME_STEP * torch.arange(steps + 1)
        with torch.no_grad():
            record = torchsde.sdeint(Trap(), x, time, method="euler", dt=TIME_STEP)
        force: np.ndarray = (trap.stiffness * (λ - record.mean(-1).T)).numpy()
        return force

    return run
