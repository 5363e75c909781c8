"""One law in every runtime, each called on the same steps from the same states."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from hand_written import HandWritten
from hand_written_populations import HandWrittenPopulations

from ibvonn_fem.files.c_compiler import PLAIN_FLAGS
from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kernels.onnx import OnnxKernel
from ibvonn_train.closed_form.random_law import untrained_law, untrained_populations
from ibvonn_train.export.constitutive_law import ConstitutiveLaw
from ibvonn_train.export.population_parameters import PopulationParameters
from ibvonn_train.export.potential_parameters import PotentialParameters
from ibvonn_train.export.runtimes.onnx_files import constitutive_model, rates_model

TIME_STEP = 0.05
COMPILED = ("c", "c warm", "c converged guess", "c one evaluation", "c -O2")
"""Runtimes that need no blocks of points from outside."""

Call = Callable[[], object]


@dataclass(frozen=True)
class RandomLaw:
    """A law with random weights, the steps that it takes, and what a user would write for it.

    Attributes:
        name: In tables.
        parameters: The law.
        by_hand: Its update written out.
    """

    name: str
    parameters: PotentialParameters
    by_hand: type[HandWritten]

    @property
    def sizes(self) -> tuple[int, int]:
        """n_ε and n_α."""
        return self.parameters.strain_size, self.parameters.internal_size

    def steps(self, n: int) -> tuple[np.ndarray, ...]:
        """States of the training box, strain increments of 5 per cent of its half width."""
        rng = np.random.default_rng(1)
        strain_old = 0.5 * rng.normal(size=(n, self.sizes[0]))
        if isinstance(self.parameters, PopulationParameters):
            fractions = rng.uniform(0.01, 0.99, size=(n, self.sizes[1]))
            statev = fractions - self.parameters.rest
        else:
            statev = 0.5 * rng.normal(size=(n, self.sizes[1]))
        return strain_old + 0.05 * rng.normal(size=strain_old.shape), strain_old, statev


def convex_law(sizes: tuple[int, int]) -> RandomLaw:
    """Convex potentials: two hidden layers of 20 in both networks, 8 ridges."""
    return RandomLaw(str(sizes), untrained_law(*sizes, context=(20, 20), seed=3), HandWritten)


def population_law(n: int, width: int) -> RandomLaw:
    """n strains and n populations of two states, two hidden layers in both networks."""
    law = untrained_populations(n, (2,) * n, widths=(width, width), hidden=(width, width), seed=3)
    return RandomLaw(f"({n}, {n}), width {width}", law, HandWrittenPopulations)


def newton_steps(law: HandWritten, states: tuple[np.ndarray, ...]) -> int:
    """Plain Newton steps after which every point has converged to 1e-10."""
    for count in range(1, 30):
        if np.all(law.update(*states, TIME_STEP, count)[5] <= 1e-10):
            return count
    raise ArithmeticError("plain Newton steps do not converge")


class Runtimes:
    """Every runtime of one law that is installed.

    Args:
        law: The law.
        compile_torch: Include ``torch.compile`` (a minute).

    Attributes:
        steps: Newton steps of the hand-written baselines.
        compile_seconds: CPU seconds that a runtime takes before its first result.
    """

    def __init__(self, law: RandomLaw, compile_torch: bool) -> None:
        self.law, self.sizes = law, law.sizes
        arrays = law.parameters.arrays()
        exported = ConstitutiveLaw.of(law.parameters)
        self.compile_seconds: dict[str, float] = {}
        self.fast = CLibraryKernel(arrays)
        self.plain = CLibraryKernel(arrays, flags=PLAIN_FLAGS)
        with self._clock("onnx"):
            self.onnx = OnnxKernel(
                constitutive_model(exported.update()).SerializeToString(),
                rates_model(exported.rates(), self.sizes[1]).SerializeToString(),
            )
        self.export = exported.update()
        numpy = law.by_hand(arrays, np)
        self.steps = newton_steps(numpy, law.steps(1000))
        self.by_hand = {"numpy": (numpy.update, np.asarray)}
        eager = law.by_hand(arrays, torch).update
        self.by_hand["torch eager"] = (eager, torch.from_numpy)
        if compile_torch:
            self.by_hand["torch.compile"] = (torch.compile(eager, dynamic=True), torch.from_numpy)
        if find_spec("jax") is not None:
            self.by_hand["jax"] = self._jax(arrays)
        for name in self.by_hand.keys() & {"torch.compile", "jax"}:
            with self._clock(name):
                self._hand_written(name, law.steps(100), [slice(None)])()

    def calls(self, n: int, block: int | None, baselines: bool) -> dict[str, Call]:
        """Name and one call of each runtime at ``n`` points, the baselines in blocks."""
        strain, old, statev = states = self.law.steps(n)
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
        inputs = [torch.from_numpy(array) for array in self.law.steps(n)]
        column = torch.full((n, 1), TIME_STEP, dtype=torch.float64)
        with torch.no_grad():
            prepared = self.export.prepare(*inputs, column)
            state, count = self.export.start(*prepared[:5]), 0
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
        update = self.law.by_hand(arrays, jax.numpy).update
        compiled = jax.jit(update, static_argnums=(3, 4))
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
