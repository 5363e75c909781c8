"""Simulation of a study: protocols × replicas, stored as a :class:`TrajectoryEnsemble`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data import TrajectoryEnsemble
from . import langevin
from .compiled import CompiledChain, compiler_available
from .potentials import MicroscopicSystem, SpringChain, TetheredParticle
from .protocols import FloatArray, Protocol

logger = logging.getLogger(__name__)

Engine = Literal["auto", "torch", "compiled"]


def simulate(
    system: MicroscopicSystem,
    protocols: Sequence[Protocol],
    *,
    duration: float,
    time_step: float,
    replicas: int,
    seed: int,
    stride: int = 1,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    engine: Engine = "auto",
    progress: bool = True,
) -> TrajectoryEnsemble:
    r"""Simulate every protocol with independent replicas.

    Args:
        system: The microscopic system, prepared at λ(0) by its own stages.
        protocols: One trajectory ensemble is simulated for each.
        duration: Length of the record [time]; a whole number of stored intervals.
        time_step: Δt of the integrator [time].
        replicas: Number of replicas of each protocol.
        seed: Every random number follows from it; other seeds give independent data.
        stride: Integrator steps between stored instants.
        dtype: Precision of the torch engine; stored microstates are float32.
        device: Device of the torch engine.
        engine: "compiled" runs two-well chains and the trap in C; "auto" takes it where it can.
        progress: Show a progress bar on stderr.

    Returns:
        The record at instants 0, stride · Δt, …, in the measures of the system.

    Raises:
        ValueError: If an argument is out of range, or the engine cannot run the system.
        FloatingPointError: If the integration diverges.
    """
    steps = _whole_steps(duration, time_step, stride)
    if replicas < 2 or not protocols:
        raise ValueError(
            f"simulate: needs at least 2 replicas and 1 protocol; found {replicas} replicas and "
            f"{len(protocols)} protocols."
        )
    fine: FloatArray = np.arange(steps * stride + 1, dtype=np.float64) * np.float64(time_step)
    control = np.stack([each.value(fine) for each in protocols])
    control_rate = np.stack([each.rate(fine) for each in protocols])
    if not (np.isfinite(control).all() and np.isfinite(control_rate).all()):
        bad = [p.name for p, c in zip(protocols, control, strict=True) if not np.isfinite(c).all()]
        raise ValueError(
            f"simulate: λ(t) and its rate must be finite; look at {bad or 'the rates'}."
        )
    recorder = _Recorder(system, control, control_rate, stride, replicas)
    if _use_compiled(engine, system):
        _run_compiled(system, recorder, control, time_step, seed, progress)
    else:
        _run_torch(system, recorder, control, time_step, seed, dtype, device, progress)
    return TrajectoryEnsemble(
        time=fine[::stride].copy(),
        control=control[:, ::stride].copy(),
        control_rate=control_rate[:, ::stride].copy(),
        microstate=recorder.microstate,
        force=recorder.force,
        site_force=recorder.site_force,
        system=system.name,
        drive=system.drive,
        strain_kind=system.strain_kind,
        parameters={
            **system.parameters(),
            "effective_thermal_energy": system.effective_thermal_energy(time_step),
        },
        time_step=time_step,
        seed=seed,
        units=dict(system.units),
    )


def _whole_steps(duration: float, time_step: float, stride: int) -> int:
    if not (duration > 0 and time_step > 0 and stride >= 1):
        raise ValueError(
            "simulate: duration and time_step must be positive and stride at least 1; found "
            f"{duration}, {time_step} and {stride}."
        )
    steps = round(duration / (time_step * stride))
    if steps < 1 or abs(steps * time_step * stride - duration) > 1e-6 * duration:
        raise ValueError(
            f"simulate: duration {duration} must be a whole number of stored intervals of "
            f"{time_step * stride:.6g}."
        )
    return steps


class _Recorder:
    """Takes microstates and mean forces at the stored instants."""

    def __init__(
        self,
        system: MicroscopicSystem,
        control: FloatArray,
        control_rate: FloatArray,
        stride: int,
        replicas: int,
    ) -> None:
        self.system, self.stride, self.replicas = system, stride, replicas
        self.control, self.control_rate = torch.from_numpy(control), torch.from_numpy(control_rate)
        probe = system.start(self.control[:, :1].float(), 2, torch.Generator().manual_seed(0))
        sites, size = system.microstate(probe, self.control[:, :1].float()).shape[1::2]
        count, instants = len(control), (control.shape[1] - 1) // stride + 1
        self.microstate = np.empty((count, instants, sites, replicas, size), np.float32)
        self.force = np.empty((count, instants))
        springs = system.site_force(probe, self.control[:, :1].float())
        self.site_force = None if springs is None else np.empty((count, instants, sites))

    def take(self, index: int, x: Tensor, cases: slice = slice(None)) -> None:
        """Record the positions ``x`` of ``cases`` after ``index`` steps, where they are stored."""
        place, remainder = divmod(index, self.stride)
        if remainder:
            return
        if not torch.isfinite(x).all():
            raise FloatingPointError(
                f"simulate: positions are not finite after {index} steps; use a smaller time_step "
                "than friction / stiffness."
            )
        λ = self.control[cases, index : index + 1].to(x)
        rate = self.control_rate[cases, index : index + 1].to(x)
        self.microstate[cases, place] = self.system.microstate(x, λ).float().cpu().numpy()
        wide = x.double()
        self.force[cases, place] = (
            self.system.external_force(wide, λ.double(), rate.double()).cpu().numpy()
        )
        if self.site_force is not None:
            springs = self.system.site_force(wide, λ.double())
            assert springs is not None  # noqa: S101 (it was not at construction)
            self.site_force[cases, place] = springs.cpu().numpy()


def _run_torch(
    system: MicroscopicSystem,
    recorder: _Recorder,
    control: FloatArray,
    time_step: float,
    seed: int,
    dtype: torch.dtype,
    device: str,
    progress: bool,
) -> None:
    generator = torch.Generator(device).manual_seed(seed)
    λ = torch.from_numpy(control).to(device, dtype)
    x = system.start(λ[:, :1], recorder.replicas, generator).contiguous()
    noise = torch.empty_like(x)
    total = sum(stage.steps for stage in system.preparation) + control.shape[1] - 1
    with tqdm(total=total, desc=system.name, unit="step", disable=not progress) as bar:
        for stage in system.preparation:
            langevin.prepare(system, x, λ[:, :1], stage, generator, bar.update)
        recorder.take(0, x)
        for index in range(control.shape[1] - 1):
            langevin.step(system, x, λ[:, index : index + 1], time_step, generator, noise)
            recorder.take(index + 1, x)
            bar.update()


def _use_compiled(engine: Engine, system: MicroscopicSystem) -> bool:
    if engine not in ("auto", "torch", "compiled"):
        raise ValueError(f"simulate: engine must be auto, torch or compiled; found {engine!r}.")
    known = type(system) in (SpringChain, TetheredParticle)
    if engine == "compiled" and not known:
        raise ValueError(
            f"simulate: the compiled engine runs SpringChain and TetheredParticle; found "
            f"{type(system).__name__}. Use engine='torch'."
        )
    if engine == "torch" or not known:
        return False
    if compiler_available():
        return True
    if engine == "compiled":
        raise ValueError("simulate: the compiled engine needs a C compiler (cc); none was found.")
    logger.warning("no C compiler (cc) found: simulating with torch, which is slower")
    return False


def _run_compiled(
    system: MicroscopicSystem,
    recorder: _Recorder,
    control: FloatArray,
    time_step: float,
    seed: int,
    progress: bool,
) -> None:
    engine = CompiledChain(system)
    prepared = sum(stage.steps for stage in system.preparation)
    total = len(control) * (prepared + control.shape[1] - 1)
    with tqdm(total=total, desc=system.name, unit="step", disable=not progress) as bar:
        for case, λ in enumerate(control):
            first = torch.full((1, 1), float(λ[0]), dtype=torch.float32)
            generator = torch.Generator().manual_seed(seed * 1_000_003 + case)
            x = system.start(first, recorder.replicas, generator).contiguous()
            run = engine.ensemble(x, seed, case)
            for stage in system.preparation:
                run.hold(float(λ[0]), stage.steps, stage.time_step, stage.noise_factor, bar.update)
            cases = slice(case, case + 1)
            recorder.take(0, x, cases)
            for index in range(0, len(λ) - 1, recorder.stride):
                run.follow(λ[index : index + recorder.stride], time_step)
                recorder.take(index + recorder.stride, x, cases)
            bar.update(len(λ) - 1)
