"""From a trained model to an exported directory: the shift to α = 0 at rest, and the words."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..law.decoder import Decoder
from ..law.mixture import MixtureFlow
from ..training.trained_model import TrainedModel
from ..training.validation import advice
from .graphs.decoder_graph import FlowLogDensity, FlowSample
from .graphs.encoder_graph import EncoderGraph
from .graphs.mixture_graph import MixtureLogDensity, MixtureSample
from .manifest import Description, package_versions
from .trained_parameters import law_parameters
from .write_model import DecoderGraphs, export_law

logger = logging.getLogger(__name__)

MEASURES = {
    "controlled": ("control over the reference length", "mean external force ⟨∂e/∂λ⟩"),
    "averaged": (
        "mean elongation of a spring over its reference length, from the declared initial state",
        "mean spring force",
    ),
}


def export_trained(
    model: TrainedModel,
    directory: str | Path,
    *,
    name: str | None = None,
    text: str | None = None,
    initial_strain: npt.ArrayLike = 0.0,
    internal_meaning: str = "ensemble means of learned features of the microstate",
    certificate: list[dict[str, Any]] | None = None,
    errors: list[dict[str, Any]] | None = None,
    derivatives: bool = False,
) -> Path:
    """Write an exported model whose zero state is the law's equilibrium at the initial strain.

    Args:
        model: The trained model.
        directory: Where.
        name: Name in the manifest; by default that of the configuration.
        text: One or two sentences on the model.
        initial_strain: Strain of the training measure that the exported law calls zero.
        internal_meaning: What the internal variables are, in words.
        certificate: Audits for the manifest.
        errors: Errors of roll-outs for the manifest.
        derivatives: Whether to write the graphs of a step's derivatives, too.

    Returns:
        The directory.

    Raises:
        ValueError: If the model has no internal variables, or the export finds it inconsistent.
        ArithmeticError: If the law has no equilibrium at the initial strain.
    """
    if not model.internal_size:
        raise ValueError(
            "export: a law without internal variables is an elastic law and not exported; train "
            'with another internal than {}, for example internal = "auto".'
        )
    strain = np.broadcast_to(np.asarray(initial_strain, dtype=np.float64), (model.strain_size,))
    internal = model.equilibrium(strain)
    low, high = model.envelope[model.strain_size :].T
    if np.any(internal < low) or np.any(internal > high):
        logger.warning(
            "export: the equilibrium at strain %s lies outside the training range: α %s, %s.",
            strain.tolist(),
            internal.tolist(),
            model.envelope[model.strain_size :].tolist(),
        )
    record, averaged = model.record, model.record["strain_kind"] == "averaged"
    verdict = record.get("rollouts")
    if verdict is not None and verdict["verdict"] == "fail":
        logger.warning("export: %s", advice(verdict))
        certificate = [verdict, *(certificate or [])]
    strain_words, stress_words = MEASURES[record["strain_kind"]]
    if model.strain_size > 1:
        strain_words, stress_words = record["strain_measure"], "conjugate to the strain"
    physics, held_out = model.physics(), record["provenance"].get("validation", [])
    length = physics.reference_length
    about = Description(
        name=name or model.config.name,
        text=text or f"Law learned from Langevin simulations of the system {record['system']}.",
        strain_kind=record["strain_kind"],
        strain=record["strain"],
        strain_measure=strain_words,
        strain_reference=strain.tolist(),
        stress=record["stress"],
        stress_measure=stress_words,
        classes=record["classes"],
        strain_basis=model.law_sizes.strain_basis,
        symmetry=record["symmetry"],
        internal=_names("alpha", model.internal_size),
        internal_meaning=internal_meaning,
        units={
            key: str(record["units"].get(key, "1"))
            for key in ("length", "force", "time", "energy", "stress")
        },
        strain_rate=record["strain_rate"],
        time_step=record["stored_time_step"],
        microscopic={
            "system": record["system"],
            "thermal_energy": float(record["parameters"]["thermal_energy"]),
            "effective_thermal_energy": physics.thermal_energy * length,
            "time_step": record["time_step"],
            "parameters": record["parameters"],
        },
        certificate=certificate,
        errors=errors,
        config={**model.config.resolved(), "validation": held_out},
        seed=model.config.seed,
        data_sha256=record["provenance"]["data_sha256"],
        versions=package_versions() | record["provenance"]["versions"],
    )
    origin = {
        "averaged": averaged,
        "strain_shift": strain.copy(),
        "internal_shift": internal,
        "classes": model.law.variables.classes,
    }
    features = model.law.decoder_features
    origin_and_features = {**origin, "features": None if features is None else features.of_strain()}
    return export_law(
        directory,
        law_parameters(model, strain, internal),
        about,
        encoder=EncoderGraph(model.law.encoder, **origin),
        decoder=_decoder_graphs(model.law.decoder, origin_and_features),
        microstate_size=model.law_sizes.microstate_size,
        derivatives=derivatives,
    )


def _decoder_graphs(decoder: Decoder, about: dict[str, Any]) -> DecoderGraphs:
    if isinstance(decoder, MixtureFlow):
        return DecoderGraphs(MixtureLogDensity(decoder, **about), MixtureSample(decoder, **about))
    return DecoderGraphs(FlowLogDensity(decoder, **about), FlowSample(decoder, **about))


def _names(word: str, count: int) -> list[str]:
    return [word] if count == 1 else [f"{word}_{i}" for i in range(1, count + 1)]
