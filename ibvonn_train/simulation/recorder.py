"""Microstates and mean forces of the stored instants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..files.memory import require_memory
from .plan import Plan
from .protocols import FloatArray
from .systems.energy_agreement import require_one_energy
from .systems.system import MicroscopicSystem


class Recorder:
    """Takes positions and keeps what a :class:`TrajectoryEnsemble` holds.

    Args:
        plan: What is simulated.
        control: λ at the stored instants, ``(n_protocol, n_time)``.
        control_rate: λ̇, same shape.
    """

    def __init__(self, plan: Plan, control: FloatArray, control_rate: FloatArray) -> None:
        self.system = plan.system
        self.control, self.control_rate = torch.from_numpy(control), torch.from_numpy(control_rate)
        λ = torch.tensor(control[:1, :1])
        probe = self.system.start(λ, 2, torch.Generator().manual_seed(0))
        sites, size = _shape(self.system, probe, λ)
        if plan.first is not None and plan.first.shape[1] != sites:
            raise ValueError(
                f"simulate: first_microstate must have the {sites} sites of {self.system.name}; "
                f"found {plan.first.shape[1]}."
            )
        extremes = np.unique([control[:, 0].min(), control.min(), control.max()])
        require_one_energy(self.system, probe, torch.from_numpy(extremes)[:, None])
        kind = np.float64 if plan.dtype == torch.float64 else np.float32
        shape = (*control.shape, sites, plan.replicas, size)
        require_memory(
            f"simulate: microstates of shape {shape}",
            float(math.prod(shape)) * np.dtype(kind).itemsize,
            "Take fewer replicas or protocols, or a larger stride.",
        )
        self.microstate: npt.NDArray[np.floating[Any]] = np.empty(shape, kind)
        self.force: FloatArray = np.empty(control.shape)
        springs = self.system.site_force(probe, λ)
        self.site_force: FloatArray | None = None
        if springs is not None:
            self.site_force = np.empty((*control.shape, springs.shape[1]))

    def take(self, cases: slice, instants: slice, x: Tensor) -> None:
        """Record positions.

        Args:
            cases: Their protocols.
            instants: Their stored instants; one protocol or one instant at a time.
            x: Shape ``(protocols × instants, n_degree, n_replica)``.

        Raises:
            FloatingPointError: If the integration has diverged.
        """
        if not torch.isfinite(x).all():
            raise FloatingPointError(
                f"simulate: positions of {self.system.name} must be finite; they are not at stored "
                f"instant {instants.stop - 1}. Use a time_step well below friction / stiffness."
            )
        λ = self.control[cases, instants].reshape(-1, 1).to(x.device)
        rate = self.control_rate[cases, instants].reshape(-1, 1).to(x.device)
        shape = self.force[cases, instants].shape
        microstate = self.system.microstate(x, λ.to(x)).cpu().numpy()
        self.microstate[cases, instants] = microstate.reshape(*shape, *microstate.shape[1:])
        wide = x.double()
        force = self.system.external_force(wide, λ, rate)
        self.force[cases, instants] = force.cpu().numpy().reshape(shape)
        springs = self.system.site_force(wide, λ)
        if self.site_force is not None and springs is not None:
            self.site_force[cases, instants] = springs.cpu().numpy().reshape(*shape, -1)


def _shape(system: MicroscopicSystem, probe: Tensor, λ: Tensor) -> tuple[int, int]:
    """Return (n_site, n_x) of a system's microstates, after a look at two of its replicas.

    Raises:
        ValueError: If the system returns arrays of other shapes than it must.
    """
    microstate = system.microstate(probe, λ)
    degrees = probe.shape[1] if probe.ndim == 3 else 0
    sites, size = (microstate.shape[1], microstate.shape[3]) if microstate.ndim == 4 else (0, 0)
    for name, array, expected in (
        ("start", probe, (1, degrees, 2)),
        ("microstate", microstate, (1, sites, 2, size)),
        ("energy", system.energy(probe, λ), (1, 2)),
        ("external_force", system.external_force(probe, λ, torch.zeros_like(λ)), (1,)),
        ("site_force", system.site_force(probe, λ), (1, sites)),
    ):
        if array is not None and (tuple(array.shape) != expected or 0 in expected):
            raise ValueError(
                f"{system.name}: {name} of one protocol and 2 replicas must have the shape "
                f"{SHAPES[name]}; found {tuple(array.shape)}."
            )
    return sites, size


SHAPES = {
    "start": "(1, n_degree, 2)",
    "microstate": "(1, n_site, 2, n_x)",
    "energy": "(1, 2)",
    "external_force": "(1,)",
    "site_force": "(1, n_site), the sites of its microstate",
}
