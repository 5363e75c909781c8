"""Compiled Langevin dynamics of finite lattices: body.c."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled_replicas import aligned
from .compiler import body_library
from .protocols import FloatArray
from .systems.finite_lattice import FiniteLattice


class CompiledBody:
    """One block of replicas of a body, as many as the library moves at once.

    Args:
        lattice: The body and its medium.
        seed: Of start and noise.
        precision: "float" or "double", of positions.

    Attributes:
        lanes: Number of replicas.
        w: Displacements relative to the medium, ``(n_node, d, lanes)``.
        z: Inner coordinates, ``(n_bond, lanes)``.
    """

    def __init__(
        self, lattice: FiniteLattice, seed: np.random.SeedSequence, precision: str = "float"
    ) -> None:
        self._ffi, library = body_library()
        self._advance = getattr(library, f"body_advance_{precision}")
        self._real, self._lattice = precision, lattice
        body, bond, geometry = lattice.body, lattice.bond, lattice.body.lattice
        self.lanes, nodes = int(library.body_lanes()), len(body.nodes)
        self._struct = self._ffi.new("struct lattice *")
        for name, value in (
            ("dimension", geometry.dimension),
            ("directions", len(geometry.bonds)),
            ("nodes", nodes),
            ("series", 1),
            ("stiffness", bond.stiffness),
            ("well_stiffness", bond.curvature),
            ("well", bond.well_distance),
            ("crossing", bond.crossing),
        ):
            setattr(self._struct, name, value)
        for number, component in enumerate(geometry.directions.ravel()):
            self._struct.vectors[number] = component
        self._ends = body.bonds.astype(np.int32)
        self._kinds = body.directions.astype(np.int32)
        self._gripped = body.gripped.astype(np.uint8)
        self._stretches = np.ascontiguousarray(lattice.stretches, np.float64)
        moving = geometry.dimension * nodes
        degrees = moving + len(body.bonds)
        dtype = np.float32 if precision == "float" else np.float64
        self._x = aligned((degrees, self.lanes), dtype)
        self.w: npt.NDArray[Any] = self._x[:moving].reshape(nodes, -1, self.lanes)
        self.z: npt.NDArray[Any] = self._x[moving:]
        self._kept = aligned(self._x.shape, np.float32)
        self._state = aligned((4, self.lanes), np.uint32)
        start, noise = seed.spawn(2)
        library.body_seed(
            int(noise.generate_state(1, np.uint64)[0]), 1, self._pointer(self._state, "uint32_t")
        )
        spread = math.sqrt(bond.thermal_energy / (bond.stiffness + bond.well_stiffness))
        self.w[...] = 0.0
        self.z[...] = spread * np.random.default_rng(start).standard_normal(self.z.shape)
        self._fresh = True

    def begin(self) -> None:
        """Begin a stage: its first step draws noise that no step before it has used."""
        self._fresh = True

    def advance(
        self,
        amplitudes: FloatArray,
        time_step: float,
        noise_factor: float = 1.0,
        pulls: npt.NDArray[Any] | None = None,
    ) -> None:
        """Take one step for each row of amplitudes, ``(n_step, n_field)``.

        Args:
            amplitudes: c at the start of each step.
            time_step: Δt [time].
            noise_factor: Factor on the noise amplitude.
            pulls: Receives the sum over the steps of the forces of the bonds on the gripped
                nodes, added to what it holds, ``(n_gripped, d, lanes)`` of the precision of w.

        Raises:
            MemoryError: If no memory is left for the forces.
        """
        bond, struct = self._lattice.bond, self._struct
        variance = 2.0 * bond.thermal_energy * time_step
        struct.drift = time_step / bond.friction
        struct.drift_inner = time_step / bond.inner_friction
        struct.amplitude = noise_factor * math.sqrt(variance / bond.friction)
        struct.amplitude_inner = noise_factor * math.sqrt(variance / bond.inner_friction)
        rows = np.ascontiguousarray(amplitudes, np.float64)
        refused = self._advance(
            self._pointer(self._x, self._real),
            1,
            struct,
            len(self._ends),
            self._pointer(self._ends, "int32_t"),
            self._pointer(self._kinds, "int32_t"),
            self._stretches.shape[1],
            self._pointer(self._stretches, "double"),
            self._pointer(rows, "double"),
            len(rows),
            self._pointer(self._gripped, "uint8_t"),
            self._pointer(self._state, "uint32_t"),
            self._pointer(self._kept, "float"),
            int(self._fresh),
            self._ffi.NULL if pulls is None else self._pointer(pulls, self._real),
        )
        if refused:
            raise MemoryError(
                f"simulate_body: no memory is left for the forces on {self._struct.nodes} nodes."
            )
        self._fresh = False

    def _pointer(self, array: npt.NDArray[Any], kind: str) -> Any:
        return self._ffi.cast(f"{kind} *", self._ffi.from_buffer(array))
