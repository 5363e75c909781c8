"""Microstates, stresses and energies of the stored instants."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.drive_records import ChainDriven, Drive, StrainDriven
from ..data.histogram import Histogram
from ..files.memory import require_memory
from .plan import Plan
from .protocols import FloatArray
from .systems.energy_agreement import require_one_energy

SampleArray = npt.NDArray[np.floating[Any]]


class Sink(Protocol):
    """Where an engine puts positions."""

    def take(self, cases: slice, instants: slice, x: Tensor) -> None:
        """Record positions ``(protocols × instants, n_degree, n_replica)``."""


class MicrostateStore(Protocol):
    """Where microstates of the stored instants go."""

    def add(self, cases: slice, instants: slice, microstate: SampleArray) -> None:
        """Keep microstates ``(protocols × instants, n_site, n_sample, n_x)``."""

    def result(self) -> tuple[SampleArray | None, Histogram | None]:
        """Return all samples, or the histogram of them."""


class SampleStore:
    """Keeps every sample.

    Args:
        shape: ``(n_protocol, n_time, n_site, n_sample, n_x)``.
        dtype: Of the samples.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        kind = np.float64 if dtype == torch.float64 else np.float32
        require_memory(
            f"simulate: microstates of shape {shape}",
            float(math.prod(shape)) * np.dtype(kind).itemsize,
            "Take fewer replicas or protocols, a larger stride, or record = 'histogram'.",
        )
        self._samples: SampleArray = np.empty(shape, kind)

    def add(self, cases: slice, instants: slice, microstate: SampleArray) -> None:
        """Keep microstates."""
        place = self._samples[cases, instants]
        place[...] = microstate.reshape(place.shape)

    def result(self) -> tuple[SampleArray | None, Histogram | None]:
        """Return all samples."""
        return self._samples, None


class Recorder:
    """Takes positions and keeps what a :class:`TrajectoryEnsemble` holds.

    Args:
        plan: What is simulated.
        control: λ at the stored instants, ``(n_protocol, n_time, n_control)``.
        control_rate: λ̇, same shape.
        store: Where the microstates go.
    """

    def __init__(
        self, plan: Plan, control: FloatArray, control_rate: FloatArray, store: MicrostateStore
    ) -> None:
        self.system, self.store = plan.system, store
        self._arrays = control, control_rate
        self.control, self.control_rate = torch.from_numpy(control), torch.from_numpy(control_rate)
        λ = self.control[:1, 0]
        probe = plan.probe()
        extremes = [control[:, 0].min(0), control.min((0, 1)), control.max((0, 1))]
        require_one_energy(self.system, probe, torch.from_numpy(np.unique(extremes, axis=0)))
        self._volume = self.system.reference_volume * plan.elements
        series = control.shape[:2]
        self.force: FloatArray = np.empty(series)
        self.points = 1
        if self.system.drive != "strain":
            springs = self.system.site_force(probe, λ)
            if springs is None:
                raise ValueError(
                    f"{self.system.name}: springs in series need the method `site_force`, their "
                    f"mean forces, for the stress; {type(self.system).__name__} has none. Write it."
                )
            self.points = springs.shape[1]
        shape = (*series, self.points, control.shape[2])
        self.stress: FloatArray = np.empty(shape)
        self.strain: FloatArray = np.empty(shape)
        self.energy: FloatArray | None = None
        if self.system.drive == "strain":
            self.energy = np.empty(shape[:3])
        self.stress_variance: FloatArray | None = None
        if self.system.stress_of_replicas(probe, λ) is not None:
            self.stress_variance = np.empty(shape)

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
        size = self.control.shape[2]
        λ = self.control[cases, instants].reshape(-1, size).to(x.device)
        rate = self.control_rate[cases, instants].reshape(-1, size).to(x.device)
        microstate = self.system.microstate(x, λ.to(x)).cpu().numpy()
        self.store.add(cases, instants, microstate)
        wide = x.double()
        force = self.system.external_force(wide, λ, rate)
        if self.system.drive == "strain":
            self._put(self.stress, cases, instants, force)
            self._put(self.strain, cases, instants, λ)
            assert self.energy is not None  # noqa: S101 (made above)
            energy = self.system.energy(wide, λ).mean(-1) / self._volume
            self._put(self.energy, cases, instants, energy)
        else:
            self._put(self.force, cases, instants, force)
            springs = self.system.site_force(wide, λ)
            assert springs is not None  # noqa: S101 (refused above)
            self._put(self.stress, cases, instants, springs)
            # The mean of what is stored, in the precision of the microstates.
            mean = torch.from_numpy(microstate.mean(2, dtype=np.float64))
            self._put(self.strain, cases, instants, mean)
        stresses = self.system.stress_of_replicas(wide, λ)
        if self.stress_variance is not None and stresses is not None:
            self._put(self.stress_variance, cases, instants, stresses.var(2))

    @staticmethod
    def _put(series: FloatArray, cases: slice, instants: slice, values: Tensor) -> None:
        place = series[cases, instants]
        place[...] = values.cpu().numpy().reshape(place.shape)

    def drive(self) -> Drive:
        """Return the record of the drive."""
        control, rate = self._arrays
        if self.system.drive == "strain":
            return StrainDriven(rate[:, :, None])
        return ChainDriven(self.system.drive, control[..., 0], rate[..., 0], self.force)


def sites_of(plan: Plan) -> tuple[int, int, int]:
    """Return (n_site, n_sample, n_x) of a system's microstates, after a look at two replicas.

    Raises:
        ValueError: If the system returns arrays of other shapes than it must.
    """
    system, λ, probe = plan.system, torch.tensor(plan.control[:1, 0]), plan.probe()
    microstate = system.microstate(probe, λ)
    degrees = probe.shape[1] if probe.ndim == 3 else 0
    sites, samples, size = (0, 0, 0)
    if microstate.ndim == 4:
        sites, samples, size = microstate.shape[1:]
    springs = sites if system.drive != "strain" else 1
    controls = λ.shape[1]
    force = system.external_force(probe, λ, torch.zeros_like(λ))
    for name, array, expected in (
        ("start", probe, (1, degrees, 2)),
        ("microstate", microstate, (1, sites, 2 * max(samples // 2, 1), size)),
        ("energy", system.energy(probe, λ), (1, 2)),
        ("external_force", force, (1, controls) if force.ndim > 1 or controls > 1 else (1,)),
        ("site_force", system.site_force(probe, λ), (1, springs)),
        ("stress_of_replicas", system.stress_of_replicas(probe, λ), (1, springs, 2, controls)),
    ):
        if array is not None and (tuple(array.shape) != expected or 0 in expected):
            raise ValueError(
                f"{system.name}: {name} of one protocol and 2 replicas must have the shape "
                f"{SHAPES[name]}; found {tuple(array.shape)}."
            )
    if system.drive == "strain" and sites != len(system.classes):
        raise ValueError(
            f"{system.name}: microstate must have one site for each of the "
            f"{len(system.classes)} classes of the point whose strain is imposed; found {sites}. "
            "Like elements are samples: put them on the axis of the replicas, side by side. "
            "Springs in series say drive = 'end' or 'force'."
        )
    if plan.first is not None and plan.first.shape[1] != sites:
        raise ValueError(
            f"simulate: first_microstate must have the {sites} sites of {system.name}; "
            f"found {plan.first.shape[1]}."
        )
    return sites, plan.replicas * samples // 2, size


SHAPES = {
    "start": "(1, n_degree, 2)",
    "microstate": "(1, n_site, 2 n_element, n_x)",
    "energy": "(1, 2)",
    "external_force": "(1,) or (1, n_control)",
    "site_force": "(1, n_site), the sites of its microstate",
    "stress_of_replicas": "(1, n_point, 2, n_control)",
}
