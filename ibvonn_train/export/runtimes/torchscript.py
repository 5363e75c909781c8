"""The update as TorchScript, for hosts with libtorch: three traced parts and a scripted loop.

TorchScript is deprecated in torch, but it is what libtorch loads without Python; its warnings are
silenced here and nowhere else.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ...files.plain_files import replacing
from ..graphs.newton import MAX_PASSES
from ..graphs.population_update import PopulationUpdate
from ..graphs.update import ImplicitUpdate
from ..step_derivatives import DERIVATIVE_INPUTS, StepDerivatives

DEPRECATION = r"`torch\.jit\."
"""How torch's warnings begin: DeprecationWarning up to 2.13, FutureWarning from 2.14 on."""


class _Loop(nn.Module):
    """Written in the subset of Python that TorchScript compiles."""

    def __init__(
        self, start: nn.Module, prepare: nn.Module, newton: nn.Module, finish: nn.Module
    ) -> None:
        super().__init__()
        self.start, self.prepare, self.newton, self.finish = start, prepare, newton, finish
        self.max_passes = MAX_PASSES


class _ConvexLoop(_Loop):
    """With the state of the loop of convex potentials."""

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        e, a0, h, m, amp, bad = self.prepare(strain, strain_old, statev, dt)
        a, d, t, dual, slope, terms, error, residual, active = self.start(e, a0, h, m, amp)
        k = 0
        while k < self.max_passes and bool(torch.any(active > 0.5)):
            a, d, t, dual, slope, terms, error, residual, active = self.newton(
                e, a0, h, m, amp, a, d, t, dual, slope, terms, error, residual, active
            )
            k += 1
        stress, new, tangent, energy, dissipation, verdict, validity = self.finish(
            e, a0, h, m, amp, bad, a, residual
        )
        return stress, new, tangent, energy, dissipation, verdict, validity


class _PopulationLoop(_Loop):
    """With the state of the loop of populations."""

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        e, a0, h, rates, context, bad = self.prepare(strain, strain_old, statev, dt)
        a, g, l, s, c, t, error, residual, active = self.start(e, a0, h, rates, context)
        k = 0
        while k < self.max_passes and bool(torch.any(active > 0.5)):
            a, g, l, s, c, t, error, residual, active = self.newton(
                e, a0, h, rates, context, a, g, l, s, c, t, error, residual, active
            )
            k += 1
        stress, new, tangent, energy, dissipation, verdict, validity = self.finish(
            e, a0, h, rates, context, bad, a, residual
        )
        return stress, new, tangent, energy, dissipation, verdict, validity


class _Derivatives(nn.Module):
    """A graph whose inputs are looked at first: it would take some that are wrong."""

    def __init__(self, graph: nn.Module, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.graph, self.sizes, self.names = graph, list(sizes), list(DERIVATIVE_INPUTS)

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor, statev_new: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = [strain, strain_old, statev, dt, statev_new]
        for k, x in enumerate(inputs):
            name, size = self.names[k], self.sizes[k]
            if x.dtype != torch.float64:
                raise ValueError(
                    f"constitutive_derivatives: {name} must be float64; it has another type. "
                    "Convert it."
                )
            if x.dim() != 2 or x.size(1) != size or x.size(0) != inputs[0].size(0):
                raise ValueError(
                    f"constitutive_derivatives: {name} must have shape (n, {size}) with n the "
                    f"same for all inputs; found {x.size()}."
                )
        stress, state = self.graph(strain, strain_old, statev, dt, statev_new)
        return stress, state


def script(update: ImplicitUpdate) -> torch.jit.ScriptModule:
    """Compile the update; inputs and outputs as in :mod:`ibvonn_train.export.graphs.interfaces`."""
    m, n = update.strain_size, update.internal_size
    # Any finite values serve that are a state: the parts hold no branches that depend on them.
    inputs = tuple(torch.zeros((2, size), dtype=torch.float64) for size in (m, m, n, 1))
    loop = _PopulationLoop if isinstance(update, PopulationUpdate) else _ConvexLoop
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATION)
        prepared = update.prepare(*inputs)
        state = update.start(*prepared[:-1])
        solved = update.newton(*prepared[:-1], *state)
        traced = [
            torch.jit.trace(module, arguments, check_trace=False)  # type: ignore[no-untyped-call]
            for module, arguments in (
                (update.start, prepared[:-1]),
                (update.prepare, inputs),
                (update.newton, (*prepared[:-1], *state)),
                (update.finish, (*prepared, solved[0], solved[-2])),
            )
        ]
        compiled: torch.jit.ScriptModule = torch.jit.script(loop(*traced).eval())
    return compiled


def traced(derivatives: StepDerivatives) -> torch.jit.ScriptModule:
    """Compile the derivatives of a step, which have no loop."""
    inputs = tuple(torch.zeros((2, size), dtype=torch.float64) for size in derivatives.sizes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATION)
        graph = torch.jit.trace(  # type: ignore[no-untyped-call]
            derivatives.eval(), inputs, check_trace=False
        )
        compiled: torch.jit.ScriptModule = torch.jit.script(
            _Derivatives(graph, derivatives.sizes).eval()
        )
    return compiled


def save(
    module: torch.jit.ScriptModule, path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a ``.pt`` file; the metadata become extra files of the archive."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATION)
        torch.jit.save(module, str(path), _extra_files=dict(metadata or {}))
    _forget_source(path)


def _forget_source(path: Path) -> None:
    """Drop the archive's debug records: they hold the paths of this machine, and half its size."""
    with replacing(path) as shorter, zipfile.ZipFile(path) as old:
        with zipfile.ZipFile(shorter, "w") as new:
            for entry in old.infolist():
                if not entry.filename.endswith(".debug_pkl"):
                    new.writestr(entry, old.read(entry), compress_type=entry.compress_type)


def load(content: bytes) -> torch.jit.ScriptModule:
    """Read the bytes of ``constitutive.pt``. Running it runs the graph: check its hash first."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", DEPRECATION)
        module: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(content)
        )
    return module
