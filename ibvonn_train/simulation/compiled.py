"""Compiled Euler–Maruyama for the trap and for two-well chains: langevin.c through cffi.

The source is compiled once per machine into the user's cache folder, under a name that holds the
hash of source, flags, compiler and processor, and moved into place when it is complete: processes
that start at once cannot disturb each other.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import torch
from torch import Tensor

from .potentials import MicroscopicSystem, SpringChain, TetheredParticle

SOURCE = Path(__file__).with_name("langevin.c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
PROGRESS_STEPS = 2000
"""Steps between reports of progress, and between chances to interrupt."""

_DECLARATIONS = """
int langevin_lanes(void);
void langevin_seed(uint64_t seed, uint64_t stream, int64_t blocks, uint32_t *state);
void langevin_normals(uint32_t *state, int64_t pairs, float *out);
int langevin_advance(float *x, int beads, int64_t blocks, int free_end, const double *control,
                     int held, int64_t steps, double drift, double amplitude, double length,
                     double stiffness, double well, double crossing, uint32_t *state);
"""


def compiler_available() -> bool:
    """Return whether a C compiler named ``cc`` is on the path."""
    return shutil.which("cc") is not None


def cache_folder() -> Path:
    """Return the user's cache folder for compiled code."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ibvonn"


@cache
def library() -> tuple[cffi.FFI, Any]:
    """Return the compiled library, compiling it if this machine has not yet.

    Raises:
        RuntimeError: If the compiler fails; the message holds what it said.
    """
    version = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False)
    key = hashlib.sha256(
        "\0".join(
            [SOURCE.read_text(), *FLAGS, version.stdout, platform.machine(), _processor()]
        ).encode()
    ).hexdigest()[:16]
    target = cache_folder() / f"langevin-{key}.so"
    if not target.exists():
        _compile(target)
    ffi = cffi.FFI()
    ffi.cdef(_DECLARATIONS)
    return ffi, ffi.dlopen(str(target))


def _processor() -> str:
    """Return the processor's features: -march=native code runs where these are the same."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _compile(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        output = Path(folder) / target.name
        command = ["cc", *FLAGS, "-o", str(output), str(SOURCE), "-lm"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(
                f"compiling {SOURCE.name} failed: {result.stderr.strip()[-500:]}. "
                "Use engine='torch'."
            )
        output.replace(target)


class CompiledChain:
    """Engine for one system.

    Args:
        system: A :class:`SpringChain`, or a :class:`TetheredParticle`, which is a chain of one bead
            between two springs of no length and one well.
    """

    def __init__(self, system: MicroscopicSystem) -> None:
        self.friction, self.thermal_energy = system.friction, system.thermal_energy
        self.free_end = system.drive == "force"
        if isinstance(system, SpringChain):
            spring = system.spring
            self.length, self.stiffness = system.reference_length, spring.stiffness
            self.well, self.crossing = spring.well_distance, spring.crossing
        elif isinstance(system, TetheredParticle):
            self.length, self.stiffness = 0.0, system.stiffness
            self.well, self.crossing = 0.0, math.inf
        else:
            raise TypeError(f"CompiledChain: cannot run a {type(system).__name__}.")

    def ensemble(self, x: Tensor, seed: int, stream: int) -> CompiledEnsemble:
        """Return an ensemble that advances ``x``, shape ``(1, n_degree, n_replica)``, in place."""
        return CompiledEnsemble(self, x, seed, stream)


class CompiledEnsemble:
    """Replicas of one protocol with their random-number generators."""

    def __init__(self, engine: CompiledChain, x: Tensor, seed: int, stream: int) -> None:
        self.engine, self.x = engine, x
        self._ffi, self._library = library()
        lanes = int(self._library.langevin_lanes())
        _, self.beads, self.replicas = x.shape
        self.blocks = -(-self.replicas // lanes)
        # Idle lanes of the last block repeat replicas, so that they stay finite.
        fill = np.arange(self.blocks * lanes) % self.replicas
        self._positions = np.ascontiguousarray(x[0].numpy()[:, fill], dtype=np.float32)
        self._state = np.empty((self.blocks, 4, lanes), np.uint32)
        self._library.langevin_seed(
            seed, stream, self.blocks, self._pointer(self._state, "uint32_t")
        )

    def hold(
        self,
        control: float,
        steps: int,
        time_step: float,
        noise_factor: float,
        advance: Callable[[int], object],
    ) -> None:
        """Take ``steps`` steps at a constant control; ``advance(n)`` is told of their progress."""
        value = np.array([control])
        for start in range(0, steps, PROGRESS_STEPS):
            count = min(PROGRESS_STEPS, steps - start)
            self._advance(value, count, time_step, noise_factor, held=True)
            advance(count)
        self._publish()

    def follow(self, control: np.ndarray[Any, np.dtype[np.float64]], time_step: float) -> None:
        """Take one step for each value of the control."""
        self._advance(np.ascontiguousarray(control), len(control), time_step, 1.0, held=False)
        self._publish()

    def _advance(
        self,
        control: np.ndarray[Any, np.dtype[np.float64]],
        steps: int,
        time_step: float,
        noise_factor: float,
        *,
        held: bool,
    ) -> None:
        engine = self.engine
        amplitude = noise_factor * math.sqrt(
            2 * engine.thermal_energy * time_step / engine.friction
        )
        refused = self._library.langevin_advance(
            self._pointer(self._positions, "float"),
            self.beads,
            self.blocks,
            int(engine.free_end),
            self._pointer(control, "double"),
            int(held),
            steps,
            time_step / engine.friction,
            amplitude,
            engine.length,
            engine.stiffness,
            engine.well,
            engine.crossing,
            self._pointer(self._state, "uint32_t"),
        )
        if refused:
            raise ValueError(
                f"simulate: the compiled engine runs up to 128 beads; found {self.beads}. "
                "Use engine='torch'."
            )

    def _publish(self) -> None:
        self.x[0] = torch.from_numpy(self._positions[:, : self.replicas])

    def _pointer(self, array: np.ndarray[Any, Any], kind: str) -> Any:
        return self._ffi.cast(f"{kind} *", self._ffi.from_buffer(array))
