"""Replicas of one protocol in the layout of the compiled libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .plan import Plan
from .protocols import FloatArray

LINE = 64
"""Bytes of a line of the cache, and of the widest vectors."""


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array that begins where a line of the cache does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + size].view(dtype).reshape(shape)


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps that a library takes in one call.

    Attributes:
        control: At the start of each step, ``(count, n_control)``, or held, ``(1, n_control)``.
        count: Number of steps.
        time_step: Δt [time].
        noise_factor: Factor on the noise amplitude.
        stride: Steps between recorded positions.
        record: Receives them, ``(count / stride, n_degree, n_replica)``; None where the control is
            held.
    """

    control: FloatArray
    count: int
    time_step: float
    noise_factor: float
    stride: int
    record: npt.NDArray[Any] | None


class CompiledReplicas(ABC):
    """Positions in blocks of as many replicas as a library moves at once.

    Args:
        plan: What to simulate.
        case: Index of the protocol.
        generator: Source of the start; the noise has a stream of its own from the same seed.
        ffi: Interface of cffi.
        lanes: Replicas of a block.
    """

    def __init__(
        self, plan: Plan, case: int, generator: torch.Generator, ffi: Any, lanes: int
    ) -> None:
        self._ffi = ffi
        self.friction, self.thermal_energy = plan.system.friction, plan.system.thermal_energy
        self._real = "double" if plan.dtype == torch.float64 else "float"
        x = plan.start(case, generator).numpy()
        self.degrees, self.replicas = x.shape
        self.blocks = -(-self.replicas // lanes)
        # Idle lanes of the last block repeat replicas, so that they stay finite.
        fill = np.arange(self.blocks * lanes) % self.replicas
        by_block = x[:, fill].reshape(self.degrees, self.blocks, lanes).swapaxes(0, 1)
        self._positions = aligned(by_block.shape, by_block.dtype)
        self._positions[...] = by_block
        self._state = aligned((self.blocks, 4, lanes), np.uint32)

    def begin(self) -> None:  # noqa: B027 (most have nothing to forget)
        """Begin a stage: nothing of the steps before it is used again."""

    def positions(self) -> npt.NDArray[Any]:
        """Return positions, shape ``(n_degree, n_replica)``."""
        return self._positions.swapaxes(0, 1).reshape(self.degrees, -1)[:, : self.replicas]

    def advance(
        self, control: FloatArray, steps: int, time_step: float, noise_factor: float
    ) -> None:
        """Take ``steps`` steps at a held control of shape ``(1, n_control)``."""
        self._take(Steps(control, steps, time_step, noise_factor, steps, None))

    def follow(self, control: FloatArray, time_step: float, stride: int) -> npt.NDArray[Any]:
        """Take one step for each value of the control, ``(n_step, n_control)``.

        Returns:
            Positions after every ``stride`` steps, ``(n_step / stride, n_degree, n_replica)``.
        """
        shape = (len(control) // stride, self.degrees, self.replicas)
        record = np.empty(shape, self._positions.dtype)
        self._take(Steps(control, len(control), time_step, 1.0, stride, record))
        return record

    @abstractmethod
    def _take(self, steps: Steps) -> None:
        """Let the library take steps."""

    def _recorded(self, steps: Steps) -> Any:
        """Return where the library records positions."""
        return self._ffi.NULL if steps.record is None else self._pointer(steps.record, self._real)

    def _pointer(self, array: npt.NDArray[Any], kind: str) -> Any:
        return self._ffi.cast(f"{kind} *", self._ffi.from_buffer(array))
