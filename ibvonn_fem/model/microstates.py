"""Microstates of a macroscopic state through the decoder, and back through the encoder.

The decoder of an exported model is the distribution q(x | ε, α) of microstates at a material
point; the encoder gives the internal variables of an ensemble of microstates. Both run through
ONNX Runtime, which the C kernel of the law does not need.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ..errors import ExportedModelError
from ..kernels.base import FloatArray
from ..kernels.onnx import Graph
from .exported_model import ExportedModel
from .point_reports import check_points
from .scaling import Scaled

logger = logging.getLogger(__name__)


class Decoder:
    """The distribution q(x | ε, α) of a model.

    Args:
        model: A model that was exported with its decoder; strains are in the model's own scale.

    Attributes:
        size: Components n_x of a microstate.
        classes: Number of classes of elements; where it is above 1, microstates have an axis of
            classes behind that of states.

    Raises:
        ExportedModelError: If the model has no decoder.
        KernelUnavailableError: If onnxruntime is missing.
    """

    def __init__(self, model: ExportedModel) -> None:
        self._strain_scale, original = _unscaled(model)
        self._sample = _graph(original, "decoder_sample.onnx")
        self._sample.require(("noise", "strain", "statev"), ("microstate",))
        self._density = _graph(original, "decoder_log_density.onnx")
        self._density.require(("microstate", "strain", "statev"), ("log_density",))
        *classes, _, size = self._sample.inputs["noise"][1:]
        self.size, self.classes = int(size), int(classes[0]) if classes else 1

    def sample(
        self, strain: FloatArray, statev: FloatArray, n: int, random: np.random.Generator
    ) -> FloatArray:
        """Draw microstates.

        Args:
            strain: ε, shape ``(n_state, n_ε)``.
            statev: α, shape ``(n_state, n_α)``.
            n: Number of microstates of each state.
            random: Source of the normal numbers that the decoder maps to microstates.

        Returns:
            Microstates, shape ``(n_state, n, n_x)``, in the dimensionless measures of the model.
        """
        classes = () if self.classes == 1 else (self.classes,)
        noise = random.standard_normal((len(strain), *classes, n, self.size))
        feed = {"noise": noise, "strain": strain / self._strain_scale, "statev": statev}
        return self._sample.run(("microstate",), feed)[0]

    def log_density(
        self, strain: FloatArray, statev: FloatArray, microstate: FloatArray
    ) -> FloatArray:
        """Ln q(x | ε, α).

        Args:
            strain: ε, shape ``(n_state, n_ε)``.
            statev: α, shape ``(n_state, n_α)``.
            microstate: x, shape ``(n_state, n, n_x)``.

        Returns:
            Shape ``(n_state, n)``.
        """
        feed = {
            "microstate": microstate,
            "strain": strain / self._strain_scale,
            "statev": statev,
        }
        return self._density.run(("log_density",), feed)[0]


@dataclass(frozen=True)
class MacroscopicState:
    """Macroscopic state of ensembles of microstates.

    Attributes:
        statev: α, shape ``(n_state, n_α)``.
        strain: ε, shape ``(n_state, n_ε)`` for averaged strain; None where strain is controlled.
    """

    statev: FloatArray
    strain: FloatArray | None


def encode(model: ExportedModel, microstate: object) -> MacroscopicState:
    """Internal variables (and averaged strain) of ensembles of microstates.

    Args:
        model: A model that was exported with its encoder.
        microstate: Shape ``(n_state, n_replica, n_x)``; of a model with several classes of elements
            ``(n_state, n_class, n_replica, n_x)``.

    Raises:
        ExportedModelError: If the model has no encoder.
        KernelUnavailableError: If onnxruntime is missing.
        ValueError: If the shape does not fit or a value is not finite.
    """
    scale, original = _unscaled(model)
    graph = _graph(original, "encoder.onnx")
    graph.require(("microstate",), ("statev",))
    values = np.ascontiguousarray(microstate, dtype=np.float64)
    *classes, _, size = graph.inputs["microstate"][1:]
    shape = [*map(int, classes), values.shape[-2] if values.ndim > 1 else 1, int(size)]
    if list(values.shape[1:]) != shape or not values.shape[-2]:
        needed = ", ".join(map(str, ["n_state", *classes, "n_replica", size]))
        raise ValueError(f"encode: microstate must have shape ({needed}); found {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("encode: microstate must be finite; found NaN or infinity. Remove it.")
    names = ("statev", "strain") if "strain" in graph.outputs else ("statev",)
    outputs = graph.run(names, {"microstate": values})
    return MacroscopicState(outputs[0], outputs[1] * scale if len(outputs) > 1 else None)


def strain_reference(model: ExportedModel) -> FloatArray:
    """Strain of the microscopic data that the law calls zero, shape ``(n_ε,)``.

    Older manifests do not hold it: it is then 0 for controlled strain, and for averaged strain it
    follows from the encoder.

    Args:
        model: A model that was learned from (or derived for) microstates.

    Raises:
        ExportedModelError: If the manifest does not hold it and there is no encoder.
    """
    scale, original = _unscaled(model)
    manifest = original.manifest.raw["strain"]
    if "reference" in manifest:
        zero: FloatArray = scale * np.asarray(manifest["reference"], dtype=np.float64)
        return zero
    if manifest["kind"] == "controlled":
        return np.zeros(model.strain_size)
    logger.info(
        "%s: its manifest, of an older version, has no strain.reference, the strain of the data "
        "that the law calls zero; it is computed by the encoder. Export the model again.",
        original.manifest.name,
    )
    strain = encode(model, np.zeros((1, 1, model.strain_size))).strain
    assert strain is not None  # noqa: S101 (it is averaged)
    reference: FloatArray = 0.0 - strain[0]
    return reference


def equilibrium_state(model: ExportedModel, strain: object) -> FloatArray:
    """Internal variables of the equilibrium at constant strain: ∂f/∂α(ε, α) = 0.

    Relaxation reaches it from the declared equilibrium, by implicit steps whose length grows
    tenfold until α does not change.

    Args:
        model: The law.
        strain: ε in the law's own components, ``initial_state.strain`` included, shape
            ``(n, n_ε)``.

    Returns:
        α, shape ``(n, n_α)``.

    Raises:
        ValueError: If the shape does not fit or a value is not finite.
        LocalSolveError: If a step does not converge.
        ArithmeticError: If α of a point still changes after the last step.
    """
    strains = check_points(strain, "strain", model.strain_size)
    statev = model.initial_state(len(strains))
    if not len(strains):
        return statev
    # The product of all steps decides how far α has relaxed: short first ones keep the last from
    # being so long that round-off in Δt g shows.
    dt = 1e-3 * float(model.manifest.envelope.time_step[1]) or 1.0
    scale = model.manifest.internal_scale
    for _ in range(40):
        before = statev
        statev = model.update(strains, strains, before, dt, relaxing=True).statev_new.copy()
        if (np.abs(statev - before) <= 1e-12 * (scale + np.abs(statev))).all():
            return statev
        dt = min(10.0 * dt, 1e12)
    moved = float(np.abs(statev - before).max())
    raise ArithmeticError(
        f"{model.manifest.name}: a point has no equilibrium at its strain; its internal "
        f"variables still changed by {moved:.3g} after a step of {dt:.3g}. Give a strain within "
        "the range of the training data."
    )


def _unscaled(model: ExportedModel) -> tuple[float, ExportedModel]:
    """Strain scale of ``model``, and the dimensionless law behind it."""
    scale = 1.0
    while isinstance(model, Scaled):
        scale, model = scale * model.strain_scale, model.original
    return scale, model


def _graph(model: ExportedModel, name: str) -> Graph:
    manifest = model.manifest
    if name not in manifest.sha256:
        raise ExportedModelError(
            f"{manifest.directory}: has no {name}; only models learned from (or derived for) "
            "microstates have one. Use another model, or export it with its decoder."
        )
    return Graph(manifest.read(name), f"{manifest.directory}/{name}")
