r"""Integration of overdamped Langevin dynamics in torch, all replicas at once.

Euler–Maruyama, of weak order 1:
:math:`x_{n+1} = x_n + \frac{\Delta t}{\eta} F(x_n, \lambda_n)
+ \sqrt{2 k_BT \Delta t/\eta}\,\xi_n`. Leimkuhler–Matthews takes the mean of :math:`\xi_n` and
:math:`\xi_{n+1}` in place of :math:`\xi_n`, and samples harmonic wells at k_BT exactly,
whatever the step (Leimkuhler and Matthews, *Appl. Math. Res. Express*, 2013). Each protocol draws
from a generator of its own, so its numbers do not depend on the cases that are simulated with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .plan import Plan
from .recorder import Sink
from .systems.system import MicroscopicSystem


class Integrator:
    """Positions of all replicas, advanced step by step in place.

    Args:
        system: The system.
        x: Positions, shape ``(n_protocol, n_degree, n_replica)``.
        generators: Source of randomness of each protocol.
    """

    def __init__(
        self, system: MicroscopicSystem, x: Tensor, generators: Sequence[torch.Generator]
    ) -> None:
        self.system, self.x, self._generators = system, x, generators
        self._noise = torch.empty_like(x)
        self._next: Tensor | None = None
        self._drag: Tensor | float = system.friction
        if system.degree_friction is not None:
            self._drag = torch.tensor(list(system.degree_friction)).to(x).unsqueeze(-1)
            if self._drag.shape[0] != x.shape[1] or not bool((self._drag > 0).all()):
                raise ValueError(
                    f"{system.name}: degree_friction must hold a positive number for each of the "
                    f"{x.shape[1]} degrees of freedom; found {list(system.degree_friction)}."
                )

    def begin(self) -> None:
        """Begin a stage: its first step draws noise that no step before it has used."""
        self._next = None

    def step(self, control: Tensor, time_step: float, noise_factor: float = 1.0) -> None:
        """Take one step with the force at its start.

        Args:
            control: λ at the start of the step, shape ``(n_protocol, n_control)``.
            time_step: Δt [time].
            noise_factor: Factor on the noise amplitude.
        """
        system, x, drag = self.system, self.x, self._drag
        force = system.force(x, control)
        variance = 2 * system.thermal_energy * time_step
        if isinstance(drag, float | int):
            x.add_(force, alpha=time_step / drag)
            amplitude: Tensor | float = noise_factor * math.sqrt(variance / drag)
        else:
            x.add_(force * (time_step / drag))
            amplitude = noise_factor * (variance / drag).sqrt()
        if variance and noise_factor:
            noise = self._drawn()
            if isinstance(amplitude, float):
                x.add_(noise, alpha=amplitude)
            else:
                x.add_(noise * amplitude)

    def _drawn(self) -> Tensor:
        """Return ξ_n, or the mean of ξ_n and ξ_{n+1}."""
        if self.system.scheme == "euler_maruyama":
            return self._fill(self._noise)
        if self._next is None:
            self._next = self._fill(torch.empty_like(self.x))
        torch.mul(self._next, 0.5, out=self._noise)
        return self._noise.add_(self._fill(self._next), alpha=0.5)

    def _fill(self, noise: Tensor) -> Tensor:
        for part, generator in zip(noise, self._generators, strict=True):
            part.normal_(generator=generator)
        return noise


def run_with_torch(plan: Plan, recorder: Sink, advance: Callable[[int], object]) -> None:
    """Simulate all protocols together; ``advance(n)`` is told of n steps of all of them."""
    cases = len(plan.control)
    generators = [plan.generator(case) for case in range(cases)]
    x = torch.stack([plan.start(case, generators[case]) for case in range(cases)]).contiguous()
    control = torch.from_numpy(plan.control).to(plan.device, plan.dtype)
    integrator = Integrator(plan.system, x, generators)
    for stage in plan.stages:
        integrator.begin()
        for _ in range(stage.steps):
            integrator.step(control[:, 0], stage.time_step, stage.noise_factor)
            advance(1)
    recorder.take(slice(None), slice(0, 1), x)
    integrator.begin()
    for index in range(control.shape[1] - 1):
        integrator.step(control[:, index], plan.time_step)
        place, rest = divmod(index + 1, plan.stride)
        if rest == 0:
            recorder.take(slice(None), slice(place, place + 1), x)
        advance(1)
