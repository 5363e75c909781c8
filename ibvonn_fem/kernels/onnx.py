"""The update through ONNX Runtime: runs every exported law, needs no compiler.

One thread per rank and no spinning: otherwise two MPI ranks on two cores stall each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ExportedModelError, KernelUnavailableError
from .base import LONGEST_STEP, FloatArray, LocalUpdate, Rates

CONSTITUTIVE_INPUTS = ("strain", "strain_old", "statev", "dt")
CONSTITUTIVE_OUTPUTS = (
    "stress",
    "statev_new",
    "tangent",
    "energy",
    "dissipation",
    "residual",
    "validity",
)
RATES_INPUTS = ("strain", "statev")
RATES_OUTPUTS = ("energy", "stress", "driving_force", "rate")

BLOCK = 2048
"""Points per call of the runtime. Newton's loop of a block ends with its own slowest point, and the
intermediate arrays take tens of MB, not GB."""


class Graph:
    """One ONNX graph: float64 arrays by name in, float64 arrays by name out.

    Args:
        content: The bytes of the file. A graph is read from memory only, so it cannot pull in other
            files, and what runs is what was hashed.
        name: Used in messages.
    """

    def __init__(self, content: bytes, name: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise KernelUnavailableError(
                f"{name}: needs the package onnxruntime, which cannot be imported ({error}); "
                "install it, or use kernel='c'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own, not documented
            raise ExportedModelError(
                f"{name}: onnxruntime {onnxruntime.__version__} cannot load the graph ({error})."
            ) from error
        self.name = name
        self.inputs: dict[str, tuple[Any, ...]] = {
            node.name: tuple(node.shape) for node in self._session.get_inputs()
        }
        self.outputs: dict[str, tuple[Any, ...]] = {
            node.name: tuple(node.shape) for node in self._session.get_outputs()
        }

    def require(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        """Raise unless the graph has exactly these inputs and at least these outputs."""
        further = [name for name in self.inputs if name not in inputs]
        if further:
            raise ExportedModelError(
                f"{self.name}: takes the further inputs {', '.join(further)}, which this version "
                "of ibvonn_fem cannot give it. Update it, or export the law without them."
            )
        if set(self.inputs) != set(inputs) or not set(outputs) <= set(self.outputs):
            raise ExportedModelError(
                f"{self.name}: must map {', '.join(inputs)} to {', '.join(outputs)}; it maps "
                f"{', '.join(self.inputs)} to {', '.join(self.outputs)}. Export the model again."
            )

    def run(self, outputs: tuple[str, ...], feed: dict[str, FloatArray]) -> list[FloatArray]:
        """Evaluate the named outputs."""
        values: list[FloatArray] = self._session.run(
            list(outputs), {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in feed.items()}
        )
        return values


class OnnxKernel:
    """Kernel that evaluates ``constitutive.onnx`` and ``rates.onnx``.

    Args:
        constitutive: Bytes of the update graph.
        rates: Bytes of the graph of the law in continuous time.
        name: The model, used in messages.
    """

    codename = "onnx"

    def __init__(self, constitutive: bytes, rates: bytes, name: str = "model") -> None:
        self._constitutive = Graph(constitutive, f"{name}/constitutive.onnx")
        self._constitutive.require(CONSTITUTIVE_INPUTS, CONSTITUTIVE_OUTPUTS)
        self._rates = Graph(rates, f"{name}/rates.onnx")
        self._rates.require(RATES_INPUTS, RATES_OUTPUTS)
        self.strain_size = int(self._constitutive.inputs["strain"][1])
        self.internal_size = int(self._constitutive.inputs["statev"][1])

    def update(
        self,
        strain: FloatArray,
        strain_old: FloatArray,
        statev: FloatArray,
        dt: float | FloatArray,
        *,
        guess: FloatArray | None = None,  # noqa: ARG002  (the graph starts from statev)
        out: LocalUpdate | None = None,
    ) -> LocalUpdate:
        """Take one backward Euler step; see :meth:`ibvonn_fem.kernels.base.Kernel.update`."""
        n_points = len(strain)
        if out is None:
            out = LocalUpdate.empty(n_points, self.strain_size, self.internal_size)
        increment = np.broadcast_to(np.asarray(dt, dtype=np.float64), (n_points,))
        inputs = (strain, strain_old, statev, increment[:, np.newaxis])
        for block in _blocks(n_points):
            feed = {k: v[block] for k, v in zip(CONSTITUTIVE_INPUTS, inputs, strict=True)}
            values = self._constitutive.run(CONSTITUTIVE_OUTPUTS, feed)
            for name, value in zip(CONSTITUTIVE_OUTPUTS, values, strict=True):
                target: FloatArray = getattr(out, name)[block]
                target[...] = value.reshape(target.shape)
        refused = ~(increment <= LONGEST_STEP)  # as in C; the graph's products would overflow
        if refused.any():
            for name in CONSTITUTIVE_OUTPUTS:
                getattr(out, name)[refused] = np.nan
        return out

    def rates(self, strain: FloatArray, statev: FloatArray) -> Rates:
        """Evaluate the law in continuous time."""
        n_points = len(strain)
        sizes = (1, self.strain_size, self.internal_size, self.internal_size)
        arrays = [np.empty((n_points, size)) for size in sizes]
        for block in _blocks(n_points):
            feed = {"strain": strain[block], "statev": statev[block]}
            for target, value in zip(arrays, self._rates.run(RATES_OUTPUTS, feed), strict=True):
                target[block] = value
        energy, stress, driving_force, rate = arrays
        return Rates(energy.reshape(-1), stress, driving_force, rate)


def _blocks(n_points: int) -> Iterator[slice]:
    """Ranges of at most :data:`BLOCK` points, as equal as they can be; none for no points."""
    count = -(-n_points // BLOCK)
    for i in range(count):
        yield slice(i * n_points // count, (i + 1) * n_points // count)
