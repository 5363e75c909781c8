"""A Zener solid in NumPy, in closed form, behind the kernel protocol.

f = k/2 (ε − α)² + k/2 α² + c/4 ε⁴,  φ = g²/(2η),  k = η = 1: the optical trap, with a quartic term
that the tests of Newton's method switch on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_fem.kernels import LocalUpdate, Rates
from ibvonn_fem.manifest import Envelope, InitialState, Manifest
from ibvonn_fem.model import ExportedModel


class ZenerKernel:
    """The exact backward Euler step, optionally failing where |ε⁺ − ε_n| exceeds ``fails_beyond``."""

    codename = "closed form"
    strain_size = 1
    internal_size = 1

    def __init__(self, quartic: float = 0.0, fails_beyond: float = np.inf) -> None:
        self.quartic = quartic
        self.fails_beyond = fails_beyond
        self.calls = 0

    def update(self, strain, strain_old, statev, dt, *, guess=None, out=None):
        self.calls += 1
        n = len(strain)
        out = LocalUpdate.empty(n, 1, 1) if out is None else out
        a = np.broadcast_to(np.asarray(dt, dtype=float), (n,))[:, np.newaxis]
        new = (statev + a * strain) / (1.0 + 2.0 * a)
        out.statev_new[...] = new
        out.stress[...] = (strain - new) + self.quartic * strain**3
        out.tangent[:, :, 0] = (1.0 + a) / (1.0 + 2.0 * a) + 3.0 * self.quartic * strain**2
        energy = 0.5 * (strain - new) ** 2 + 0.5 * new**2 + 0.25 * self.quartic * strain**4
        out.energy[...] = energy[:, 0]
        out.dissipation[...] = ((strain - 2.0 * new) * (new - statev))[:, 0]
        out.residual[...] = np.abs(new - statev - a * (strain - 2.0 * new))[:, 0]
        out.residual[np.abs(strain - strain_old)[:, 0] > self.fails_beyond] = np.inf
        out.residual[~np.isfinite(strain[:, 0])] = np.nan
        excursion = np.maximum(np.abs(strain), np.abs(new)) - 1.0
        out.validity[...] = np.maximum(excursion, 0.0)[:, 0]
        return out

    def rates(self, strain, statev):
        energy = 0.5 * (strain - statev) ** 2 + 0.5 * statev**2 + 0.25 * self.quartic * strain**4
        force = strain - 2.0 * statev
        return Rates(energy[:, 0], strain - statev + self.quartic * strain**3, force, force.copy())


def zener_manifest(**changes: Any) -> Manifest:
    """Description of the law above, with the box |ε|, |α| ≤ 1 as its training range."""
    values: dict[str, Any] = {
        "directory": Path("zener"),
        "name": "zener",
        "description": "closed form",
        "family": "graph",
        "strain_components": ("strain",),
        "stress_components": ("stress",),
        "internal_components": ("alpha",),
        "internal_scale": np.ones(1),
        "units": {"time": "s"},
        "initial_state": InitialState(np.zeros(1), np.zeros(1), np.zeros(1), 0.0),
        "envelope": Envelope(
            strain=np.array([[-1.0, 1.0]]),
            statev=np.array([[-1.0, 1.0]]),
            strain_rate=np.array([[-1.0, 1.0]]),
            time_step=np.array([0.0, 1.0]),
        ),
        "residual_tolerance": 1e-10,
        "reference_tolerance": 1e-10,
        "sha256": {},
        "raw": {},
    }
    return Manifest(**{**values, **changes})


@pytest.fixture
def zener():
    """Factory of models: ``zener(quartic=…, fails_beyond=…, strict_range=…)``."""

    def make(*, strict_range: bool = False, **options: float) -> ExportedModel:
        return ExportedModel(zener_manifest(), ZenerKernel(**options), strict_range=strict_range)

    return make
