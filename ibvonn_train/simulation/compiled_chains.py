"""Compiled Langevin dynamics of the trap, of two-well chains and of their cells: langevin.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .compiled_replicas import CompiledReplicas, Steps
from .compiler import library
from .plan import Plan
from .systems.chain_cell import ChainCell
from .systems.spring_chain import SpringChain
from .systems.system import MicroscopicSystem
from .systems.tethered_particle import TetheredParticle


class CompiledChains(CompiledReplicas):
    """Replicas of a chain.

    The trap is a chain of one bead between two springs of no length and one well.

    Args:
        plan: What to simulate.
        case: Index of the protocol.
        generator: Source of the start.
    """

    def __init__(self, plan: Plan, case: int, generator: torch.Generator) -> None:
        ffi, self._library = library()
        super().__init__(plan, case, generator, ffi, int(self._library.langevin_lanes()))
        self._chain = ffi.new("struct chain *", _chain(plan.system))
        self._advance = getattr(self._library, f"langevin_advance_{self._real}")
        self._library.langevin_seed(
            plan.stream(case), self.blocks, self._pointer(self._state, "uint32_t")
        )

    def _take(self, steps: Steps) -> None:
        if self._run(steps):
            raise ValueError(
                f"simulate: the compiled engine runs up to 128 beads; found {self.degrees}. "
                "Use engine='torch'."
            )

    def _run(self, steps: Steps, *noise: Any) -> int:
        """Take the steps; returns whether the library refuses them.

        Args:
            steps: The steps.
            noise: What the library takes of the noise of earlier steps.
        """
        control = np.ascontiguousarray(steps.control[:, 0])
        return int(
            self._advance(
                self._pointer(self._positions, self._real),
                self.degrees,
                self.blocks,
                self._chain,
                self._pointer(control, "double"),
                int(steps.record is None),
                steps.count,
                steps.time_step / self.friction,
                self._amplitude(steps),
                self._pointer(self._state, "uint32_t"),
                *noise,
                steps.stride,
                self.replicas,
                self._recorded(steps),
            )
        )

    def _amplitude(self, steps: Steps) -> float:
        variance = 2 * self.thermal_energy * steps.time_step / self.friction
        return steps.noise_factor * math.sqrt(variance)


class CompiledCells(CompiledChains):
    """Replicas of a periodic chain: positions are those relative to the affine motion.

    Arguments as of :class:`CompiledChains`.
    """

    def __init__(self, plan: Plan, case: int, generator: torch.Generator) -> None:
        super().__init__(plan, case, generator)
        self._advance = getattr(self._library, f"langevin_advance_cell_{self._real}")
        self._kept = np.empty(self._positions.shape, np.float32)
        self._fresh = True

    def begin(self) -> None:
        """Begin a stage: its first step draws noise that no step before it has used."""
        self._fresh = True

    def _take(self, steps: Steps) -> None:
        self._run(steps, self._pointer(self._kept, "float"), int(self._fresh))
        self._fresh = False


def _chain(system: MicroscopicSystem) -> dict[str, float]:
    if isinstance(system, SpringChain | ChainCell):
        spring = system.spring
        return {
            "free_end": int(system.drive == "force"),
            "length": system.reference_length,
            "stiffness": spring.stiffness,
            "well": spring.well_distance,
            "crossing": spring.crossing,
        }
    if isinstance(system, TetheredParticle):
        one_well = {"well": 0.0, "crossing": math.inf}
        return {"free_end": 0, "length": 0.0, "stiffness": system.stiffness, **one_well}
    raise TypeError(f"simulate: the compiled engine cannot run a {type(system).__name__}.")
