"""One law in every runtime, each called on the same steps from the same states."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from hand_written import HandWritten

from ibvonn_fem.files.c_compiler import PLAIN_FLAGS
from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kernels.onnx import OnnxKernel
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export.constitutive_law import ConstitutiveLaw
from ibvonn_train.export.graphs.newton import initial_state
from ibvonn_train.export.runtimes.onnx_files import constitutive_model, rates_model

TIME_STEP = 0.05
COMPILED = ("c", "c warm", "c converged guess", "c one evaluation", "c -O2")
"""Runtimes that need no blocks of points from outside."""

Call = Callable[[], object]


def random_steps(sizes: tuple[int, int], n: int) -> tuple[np.ndarray, ...]:
    """States of the training box, strain increments of 5 per cent of its half width."""
    rng = np.random.default_rng(1)
    strain_old = 0.5 * rng.normal(size=(n, sizes[0]))
    statev = 0.5 * rng.normal(size=(n, sizes[1]))
    return strain_old + 0.05 * rng.normal(size=strain_old.shape), strain_old, statev


def newton_steps(law: HandWritten, states: tuple[np.ndarray, ...]) -> int:
    """Plain Newton steps after which every point has converged to 1e-10."""
    for count in range(1, 30):
        if np.all(law.update(*states, TIME_STEP, count)[5] <= 1e-10):
            return count
    raise ArithmeticError("plain Newton steps do not converge")


class Runtimes:
    """Every runtime of one law that is installed.

    Args:
        sizes: n_ε and n_α.
        compile_torch: Include ``torch.compile`` (a minute).

    Attributes:
        steps: Newton steps of the hand-written baselines.
        compile_seconds: CPU seconds that a runtime takes before its first result.
    """

    def __init__(self, sizes: tuple[int, int], compile_torch: bool) -> None:
        self.sizes = sizes
        parameters = untrained_law(*sizes, context=(20, 20), seed=3)
        arrays = parameters.arrays()
        law = ConstitutiveLaw.of(parameters)
        self.compile_seconds: dict[str, float] = {}
        self.fast = CLibraryKernel(arrays)
        self.plain = CLibraryKernel(arrays, flags=PLAIN_FLAGS)
        with self._clock("onnx"):
            self.onnx = OnnxKernel(
                constitutive_model(law.update()).SerializeToString(),
                rates_model(law.rates(), sizes[1]).SerializeToString(),
            )
        self.export = law.update()
        numpy = HandWritten(arrays, np)
        self.steps = newton_steps(numpy, random_steps(sizes, 1000))
        self.by_hand = {"numpy": (numpy.update, np.asarray)}
        eager = HandWritten(arrays, torch).update
        self.by_hand["torch eager"] = (eager, torch.from_numpy)
        if compile_torch:
            self.by_hand["torch.compile"] = (torch.compile(eager, dynamic=True), torch.from_numpy)
        if find_spec("jax") is not None:
            self.by_hand["jax"] = self._jax(arrays)
        for name in self.by_hand.keys() & {"torch.compile", "jax"}:
            with self._clock(name):
                self._hand_written(name, random_steps(sizes, 100), [slice(None)])()

    def calls(self, n: int, block: int | None, baselines: bool) -> dict[str, Call]:
        """Name and one call of each runtime at ``n`` points, the baselines in blocks."""
        strain, old, statev = states = random_steps(self.sizes, n)
        dt, out = np.array(TIME_STEP), LocalUpdate.empty(n, *self.sizes)
        near = self.fast.update(strain - 1e-3, old, statev, dt).statev_new
        exact = self.fast.update(*states, dt).statev_new.copy()

        def cold(kernel: CLibraryKernel | OnnxKernel) -> Call:
            return lambda: kernel.update(*states, dt, out=out)

        calls: dict[str, Call] = {
            "c": cold(self.fast),
            "c warm": lambda: self.fast.update(*states, dt, guess=near, out=out),
            "c converged guess": lambda: self.fast.update(*states, dt, guess=exact, out=out),
            "c one evaluation": lambda: self.fast.rates(strain, statev),
            "c -O2": cold(self.plain),
            "onnx": cold(self.onnx),
        }
        if not baselines:
            return calls
        pieces = [slice(i, i + (block or n)) for i in range(0, n, block or n)]
        tensors = [torch.from_numpy(array) for array in states]
        column = torch.full((n, 1), TIME_STEP, dtype=torch.float64)

        def exported() -> None:
            with torch.no_grad():
                for p in pieces:
                    self.export(*(t[p] for t in tensors), column[p])

        calls["torch export"] = exported
        return calls | {name: self._hand_written(name, states, pieces) for name in self.by_hand}

    def graph_passes(self, n: int = 2000) -> int:
        """Passes of the exported loop, each over all ``n`` points, until the last one stops."""
        inputs = [torch.from_numpy(array) for array in random_steps(self.sizes, n)]
        column = torch.full((n, 1), TIME_STEP, dtype=torch.float64)
        with torch.no_grad():
            prepared = self.export.prepare(*inputs, column)
            state, count = initial_state(prepared[1]), 0
            while torch.any(state[-1] > 0.5):
                state, count = self.export.newton(*prepared[:5], *state), count + 1
        return count

    def _hand_written(self, name: str, states: tuple[np.ndarray, ...], pieces: list[slice]) -> Call:
        update, convert = self.by_hand[name]
        blocks = [[convert(array[p]) for array in states] for p in pieces]
        return lambda: [update(*block, TIME_STEP, self.steps) for block in blocks]

    def _jax(self, arrays: dict[str, Any]) -> tuple[Callable[..., object], Any]:
        import jax

        jax.config.update("jax_enable_x64", True)
        compiled = jax.jit(HandWritten(arrays, jax.numpy).update, static_argnums=(3, 4))
        return lambda *arguments: jax.block_until_ready(compiled(*arguments)), jax.numpy.asarray

    def _clock(self, name: str) -> _Clock:
        return _Clock(self.compile_seconds, name)


class _Clock:
    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self.seconds, self.name = seconds, name

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = time.process_time() - self.start
