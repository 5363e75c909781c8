"""Simulation of a study: protocols × replicas, stored as a :class:`TrajectoryEnsemble`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.control_rates import require_rate
from ..data.ensemble import TrajectoryEnsemble
from ..files.c_compiler import CompilerError
from ..files.memory import require_memory
from ..files.toml_tables import shown
from .compiled import ENGINES, can_compile, run_compiled
from .compiler import lattice_library, library
from .histogram_store import FINE, HistogramStore, Pilot
from .langevin import run_with_torch
from .plan import Plan
from .protocols import FloatArray, Protocol
from .recorder import MicrostateStore, Recorder, SampleStore, sites_of
from .systems.periodic_lattice import PeriodicLattice
from .systems.system import MicroscopicSystem, require_record

logger = logging.getLogger(__name__)

Engine = Literal["auto", "torch", "compiled"]
Record = Literal["auto", "samples", "histogram"]


def simulate(
    system: MicroscopicSystem,
    protocols: Sequence[Protocol],
    *,
    duration: float,
    time_step: float,
    replicas: int,
    seed: int,
    stride: int = 1,
    first_microstate: npt.NDArray[np.floating[Any]] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    engine: Engine = "auto",
    record: Record = "auto",
    progress: bool = True,
) -> TrajectoryEnsemble:
    r"""Simulate every protocol with independent replicas.

    The same arguments give the same bits on the same machine, whatever the number of threads and
    whichever protocols stand behind in the list. Ctrl-C stops within a second or so.

    Args:
        system: The microscopic system, prepared at λ(0) by its own stages.
        protocols: One trajectory ensemble is simulated for each.
        duration: Length of the record [time]; a whole number of stored intervals.
        time_step: Δt of the integrator [time].
        replicas: Number of replicas of each protocol.
        seed: Not negative; every random number follows from it and the index of the protocol.
        stride: Integrator steps between stored instants.
        first_microstate: Start from these microstates, ``(n_protocol, n_site, n, n_x)``, each
            repeated ``replicas / n`` times, instead of the system's start and preparation.
        dtype: Precision of positions and stored microstates, float32 or float64.
        device: Device of the torch engine.
        engine: "compiled" runs chains, cells and the trap in C on the CPU, protocols shared among
            ``torch.get_num_threads()`` threads; "auto" takes it where it can.
        record: "samples" keeps every microstate, "histogram" their weights on nodes; "auto" keeps
            samples while they are few.
        progress: Show a progress bar on stderr.

    Returns:
        The record at instants 0, stride · Δt, …, in the measures of the system.

    Raises:
        ValueError: If an argument is out of range, or the engine cannot run the system.
        FloatingPointError: If the integration diverges.
    """
    plan, fine, control_rate = _plan(
        system,
        protocols,
        duration,
        time_step,
        replicas,
        seed,
        stride,
        first_microstate,
        dtype,
        device,
    )
    effective = system.effective_thermal_energy(time_step)
    stored = slice(None, None, stride)
    control, control_rate = plan.control[:, stored].copy(), control_rate[:, stored].copy()
    compiled = _use_compiled(engine, system, device)
    store = _store(plan, record, (*control.shape[:2], *sites_of(plan)), compiled)
    recorder = Recorder(plan, control, control_rate, store)
    total = plan.steps * (len(control) if compiled else 1)
    lock = Lock()
    with tqdm(
        total=total, desc=system.name, unit="step", disable=None if progress else True
    ) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        if compiled:
            run_compiled(plan, recorder, advance, torch.get_num_threads())
        else:
            run_with_torch(plan, recorder, advance)
    samples, histogram = store.result()
    basis: dict[str, Any] = {}
    if system.strain_basis is not None:
        basis["strain_basis"] = np.array(system.strain_basis)
    return TrajectoryEnsemble(
        time=fine[stored].copy(),
        strain=recorder.strain,
        stress=recorder.stress,
        microstate=samples,
        histogram=histogram,
        system=system.name,
        strain_kind=system.strain_kind,
        parameters={**system.parameters(), "effective_thermal_energy": effective},
        time_step=time_step,
        seed=seed,
        units=dict(system.units),
        drive=recorder.drive(),
        samples_per_replica=plan.elements if samples is not None else 1,
        energy=recorder.energy,
        stress_variance=recorder.stress_variance,
        strain_names=tuple(system.strain_names),
        stress_names=tuple(system.stress_names),
        strain_measure=system.strain_measure,
        classes=tuple(system.classes),
        symmetry=tuple(system.symmetry),
        reference_volume=system.reference_volume,
        **basis,
    )


SMALL = 2.0**31
"""Bytes of samples that are kept unless histograms are asked for."""
SMALL_OF_CELLS = 2.0**25
"""The same where a replica has many like elements, each of which is a sample."""


def _store(plan: Plan, record: Record, shape: tuple[int, ...], compiled: bool) -> MicrostateStore:
    """Return where the microstates go."""
    if record not in ("auto", "samples", "histogram"):
        raise ValueError(f"simulate: record must be auto, samples or histogram; found {record!r}.")
    size = float(np.prod([float(n) for n in shape])) * (8 if plan.dtype == torch.float64 else 4)
    cell = shape[3] > plan.replicas
    fits = shape[4] <= max(FINE) and plan.system.thermal_energy > 0
    if record == "samples" or (
        record == "auto" and (not fits or size <= (SMALL_OF_CELLS if cell else SMALL))
    ):
        return SampleStore(shape, plan.dtype)
    instant = (shape[0], *shape[2:])
    require_memory(
        f"simulate: microstates of shape {instant} of one instant",
        4 * size / shape[1],
        "Take fewer replicas.",
    )
    few = replace(
        plan,
        control=plan.control[:1, :1],
        replicas=min(plan.replicas, PILOT),
        first=None if plan.first is None else plan.first[:1, :, : PILOT * plan.elements],
    )
    if few.first is not None:
        few = replace(few, replicas=few.first.shape[2] // plan.elements)
    pilot = Pilot(few)
    run = partial(run_compiled, threads=1) if compiled else run_with_torch
    run(few, pilot, lambda _: None)
    return HistogramStore(shape, plan.replicas, pilot.mean, pilot.spread)


PILOT = 64
"""Replicas of the first protocol by whose spread the nodes of histograms are placed."""


def _plan(
    system: MicroscopicSystem,
    protocols: Sequence[Protocol],
    duration: float,
    time_step: float,
    replicas: int,
    seed: int,
    stride: int,
    first_microstate: npt.NDArray[np.floating[Any]] | None,
    dtype: torch.dtype,
    device: str,
) -> tuple[Plan, FloatArray, FloatArray]:
    """Check the arguments of :func:`simulate`; return the plan, all instants and λ̇ at them."""
    steps = _whole_steps(duration, time_step, stride)
    require_memory(
        "simulate: every step of the protocols",
        32.0 * (steps * stride + 1) * max(len(protocols), 1),
        "Take a shorter duration or a larger time_step.",
    )
    if replicas < 2 or not protocols:
        raise ValueError(
            f"simulate: needs at least 2 replicas and 1 protocol; found {replicas} replicas and "
            f"{len(protocols)} protocols."
        )
    if not 0 <= seed < 2**63:
        raise ValueError(f"simulate: seed must lie between 0 and 2^63 - 1; found {shown(seed)}.")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"simulate: dtype must be float32 or float64; found {dtype}.")
    fine: FloatArray = np.arange(steps * stride + 1, dtype=np.float64) * np.float64(time_step)
    series = {
        attribute: [_series(protocol, attribute, fine) for protocol in protocols]
        for attribute in ("value", "rate")
    }
    sizes = {each.shape[1] for values in series.values() for each in values}
    if len(sizes) > 1:
        raise ValueError(
            "simulate: the protocols of one set, and their rates, must be of one number of "
            f"components; found {sorted(sizes)}."
        )
    control, control_rate = (np.stack(values) for values in series.values())
    for protocol, λ, rate in zip(protocols, control, control_rate, strict=True):
        for step in {1, stride}:  # also as it will be stored
            for component in range(λ.shape[1]):
                place = f"simulate: the rate of protocol {protocol.name!r}"
                at = (slice(None, None, step), component)
                require_rate(place, fine[::step], λ[at], rate[at])
    require_record(system)
    plan = Plan(system, control, time_step, stride, replicas, seed, None, dtype, device)
    if first_microstate is not None:
        plan = replace(plan, first=_first(first_microstate, plan))
    return plan, fine, control_rate


def _series(protocol: Protocol, attribute: str, fine: FloatArray) -> FloatArray:
    """Return λ or its rate at all instants, ``(n_time, n_control)``."""
    values = np.asarray(getattr(protocol, attribute)(fine), np.float64)
    whole = values[:, None] if values.ndim == 1 else values
    if whole.ndim != 2 or len(whole) != len(fine) or not np.isfinite(whole).all():
        raise ValueError(
            f"simulate: {'λ(t)' if attribute == 'value' else 'its rate'} of protocol "
            f"{protocol.name!r} must be one finite number, or one for each component of the "
            "strain, for each instant; it is not."
        )
    return whole


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
            f"{time_step * stride:.6g}; the nearest is "
            f"{max(steps, 1) * time_step * stride:.6g}. Take it, or another time_step or stride."
        )
    return steps


def _first(microstate: npt.NDArray[np.floating[Any]], plan: Plan) -> Tensor:
    """Check first microstates."""
    shape, cases, replicas = np.shape(microstate), len(plan.control), plan.replicas
    elements = plan.elements
    count = shape[2] // elements if len(shape) == 4 and shape[2] % elements == 0 else 0
    if len(shape) != 4 or shape[0] != cases or count == 0 or replicas % count:
        each = f", each with {elements} samples" if elements > 1 else ""
        raise ValueError(
            "simulate: first_microstate must have shape (n_protocol, n_site, n, n_x) with "
            f"{cases} protocols and n a divisor of {replicas} replicas{each}; found {shape}."
        )
    return torch.from_numpy(np.array(microstate))


def _use_compiled(engine: Engine, system: MicroscopicSystem, device: str) -> bool:
    if engine not in ("auto", "torch", "compiled"):
        raise ValueError(f"simulate: engine must be auto, torch or compiled; found {engine!r}.")
    compilable = can_compile(system) and torch.device(device).type == "cpu"
    if engine == "compiled" and not compilable:
        raise ValueError(
            f"simulate: the compiled engine runs {', '.join(sorted(k.__name__ for k in ENGINES))} "
            f"on the CPU; found {type(system).__name__} on {device}. Use engine='torch'."
        )
    if engine == "torch" or not compilable:
        return False
    try:
        lattice_library() if isinstance(system, PeriodicLattice) else library()
    except CompilerError as error:
        if engine == "compiled":
            raise ValueError(
                f"simulate: the compiled engine is not available: {error} Use engine='torch'."
            ) from error
        logger.warning("simulating with torch, which is slower: %s", error)
        return False
    return True
