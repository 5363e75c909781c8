r"""Euler–Maruyama integration of overdamped Langevin dynamics, many replicas at once.

:math:`x_{n+1} = x_n + \frac{\Delta t}{\eta} F(x_n, \lambda_n)
+ \sqrt{2 k_BT \Delta t/\eta}\,\xi_n`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .potentials import MicroscopicSystem, Preparation


def step(
    system: MicroscopicSystem,
    x: Tensor,
    control: Tensor,
    time_step: float,
    generator: torch.Generator,
    noise: Tensor,
    noise_factor: float = 1.0,
) -> None:
    """Advance ``x`` in place by one step with the force at its start.

    Args:
        system: The system.
        x: Positions, shape ``(n_protocol, n_degree, n_replica)``.
        control: λ at the start of the step, shape ``(n_protocol, 1)``.
        time_step: Δt [time].
        generator: Source of randomness.
        noise: Work array of the shape of ``x``.
        noise_factor: Factor on the noise amplitude.
    """
    amplitude = noise_factor * math.sqrt(2 * system.thermal_energy * time_step / system.friction)
    force = system.force(x, control)
    x.add_(force, alpha=time_step / system.friction)
    if amplitude:
        noise.normal_(generator=generator)
        x.add_(noise, alpha=amplitude)


def prepare(
    system: MicroscopicSystem,
    x: Tensor,
    control: Tensor,
    stage: Preparation,
    generator: torch.Generator,
    advance: Callable[[int], object],
) -> None:
    """Run one preparation stage in place; ``advance(1)`` is called after each step."""
    noise = torch.empty_like(x)
    for _ in range(stage.steps):
        step(system, x, control, stage.time_step, generator, noise, stage.noise_factor)
        advance(1)
