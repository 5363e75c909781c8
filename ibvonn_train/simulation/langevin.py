r"""Euler–Maruyama integration of overdamped Langevin dynamics in torch, all replicas at once.

:math:`x_{n+1} = x_n + \frac{\Delta t}{\eta} F(x_n, \lambda_n)
+ \sqrt{2 k_BT \Delta t/\eta}\,\xi_n`, of weak order 1. Each protocol draws from a generator of its
own, so its numbers do not depend on the cases that are simulated with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .plan import Plan
from .recorder import Recorder
from .systems.system import MicroscopicSystem


def step(
    system: MicroscopicSystem,
    x: Tensor,
    control: Tensor,
    time_step: float,
    generators: Sequence[torch.Generator],
    noise: Tensor,
    noise_factor: float = 1.0,
) -> None:
    """Advance ``x`` in place by one step with the force at its start.

    Args:
        system: The system.
        x: Positions, shape ``(n_protocol, n_degree, n_replica)``.
        control: λ at the start of the step, shape ``(n_protocol, 1)``.
        time_step: Δt [time].
        generators: Source of randomness of each protocol.
        noise: Work array of the shape of ``x``.
        noise_factor: Factor on the noise amplitude.
    """
    amplitude = noise_factor * math.sqrt(2 * system.thermal_energy * time_step / system.friction)
    force = system.force(x, control)
    x.add_(force, alpha=time_step / system.friction)
    if amplitude:
        for part, generator in zip(noise, generators, strict=True):
            part.normal_(generator=generator)
        x.add_(noise, alpha=amplitude)


def run_with_torch(plan: Plan, recorder: Recorder, advance: Callable[[int], object]) -> None:
    """Simulate all protocols together; ``advance(n)`` is told of n steps of all of them."""
    system, cases = plan.system, len(plan.control)
    generators = [plan.generator(case) for case in range(cases)]
    x = torch.stack([plan.start(case, generators[case]) for case in range(cases)]).contiguous()
    control = torch.from_numpy(plan.control).to(plan.device, plan.dtype)
    noise = torch.empty_like(x)
    for stage in plan.stages:
        for _ in range(stage.steps):
            step(system, x, control[:, :1], stage.time_step, generators, noise, stage.noise_factor)
            advance(1)
    recorder.take(slice(None), slice(0, 1), x)
    for index in range(control.shape[1] - 1):
        step(system, x, control[:, index : index + 1], plan.time_step, generators, noise)
        place, rest = divmod(index + 1, plan.stride)
        if rest == 0:
            recorder.take(slice(None), slice(place, place + 1), x)
        advance(1)
