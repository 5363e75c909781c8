"""Export a law: graphs, parameters, reference values and manifest, checked before they appear."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from ..files.state_bounds import Variables, within_bounds
from . import manifest as manifests
from .constitutive_law import ConstitutiveLaw
from .directory import whole_directory
from .graphs.interfaces import RATES_OUTPUTS
from .manifest import Description
from .potential_parameters import FloatArray, PotentialParameters
from .reference_points import Arrays, evaluate, graph_arrays, law_reference, relative_difference
from .runtimes import torchscript
from .runtimes.onnx_files import (
    Shape,
    constitutive_model,
    derivatives_model,
    module_model,
    rates_model,
)
from .runtimes.onnx_session import run_onnx
from .step_derivatives import DERIVATIVE_OUTPUTS, StepDerivatives

logger = logging.getLogger(__name__)

DERIVATIVES = "constitutive_derivatives"
"""Name of the graph of a step's derivatives."""

REST_TOLERANCE = 1e-8
"""Allowed driving force at the initial state, in units of the largest at the reference states."""


@dataclass(frozen=True)
class DecoderGraphs:
    """The distribution of microstates given the macroscopic state, as two modules.

    Attributes:
        log_density: (microstate, strain, statev) → ln q, ``(n_state, n_sample)``.
        sample: (noise, strain, statev) → microstate, ``(n_state, n_sample, n_x)``.
    """

    log_density: nn.Module
    sample: nn.Module


@dataclass(frozen=True)
class Graph:
    """A graph beside the law: its module, the shapes of what it takes and gives."""

    module: nn.Module
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]


def export_law(
    directory: str | Path,
    law: ConstitutiveLaw | PotentialParameters,
    about: Description,
    *,
    encoder: nn.Module | None = None,
    decoder: DecoderGraphs | None = None,
    microstate_size: int = 1,
    derivatives: bool = False,
) -> Path:
    """Write an exported model, format 2, whole or not at all.

    Args:
        directory: Where; an exported model that is there is replaced.
        law: The law, or the parameters of one.
        about: The words of the manifest.
        encoder: microstate ``(n_state, n_replica, n_x)`` → statev, or (statev, strain) for averaged
            strain; ``(n_state, n_class, n_replica, n_x)`` where there are several classes.
        decoder: The distribution of microstates, whose shapes have the axis of classes likewise.
        microstate_size: n_x of encoder and decoder.
        derivatives: Whether to write ``constitutive_derivatives.onnx`` and ``.pt``, too.

    Returns:
        The directory.

    Raises:
        FileExistsError: If the directory exists and is not an exported model.
        ValueError: If the description does not fit the law, the law is not at rest at zero strain
            and internal variables, or the written graphs do not give the values of torch.
    """
    law = ConstitutiveLaw.of(law) if isinstance(law, PotentialParameters) else law
    document = manifests.build(law, about)
    metadata = manifests.metadata(document)
    variables = document["internal"]["variables"]
    reference = law_reference(law, np.asarray(about.time_step, dtype=np.float64), variables)
    _require_rest(law, reference)
    models = {
        "constitutive": constitutive_model(law.update(), metadata),
        "rates": rates_model(law.rates(), law.internal_size, metadata),
    }
    by_all = StepDerivatives(law) if derivatives else None
    if by_all is not None:
        models[DERIVATIVES] = derivatives_model(by_all, metadata)
        reference |= evaluate(DERIVATIVES, by_all, _converged(law, reference), DERIVATIVE_OUTPUTS)
    averaged = about.strain_kind == "averaged"
    classes = [] if len(about.classes) == 1 else [len(about.classes)]
    size = (*classes, microstate_size)
    for name, graph in _microscopic_graphs(law, encoder, decoder, size, averaged):
        models[name] = module_model(graph.module, name, graph.inputs, graph.outputs, metadata)
        inputs = _microscopic_inputs(graph, law, variables)
        reference |= evaluate(name, graph.module, inputs, list(graph.outputs))
    with whole_directory(directory) as folder:
        for name, model in models.items():
            onnx.save(model, str(folder / f"{name}.onnx"))
            _require_agreement(name, folder / f"{name}.onnx", reference, law)
        compiled = torchscript.script(law.update())
        torchscript.save(compiled, folder / "constitutive.pt", metadata)
        if by_all is not None:
            torchscript.save(torchscript.traced(by_all), folder / f"{DERIVATIVES}.pt", metadata)
        if law.parameters is not None:
            law.parameters.save(folder / "parameters.npz")
        with (folder / "reference.npz").open("wb") as stream:
            np.savez(stream, **reference)  # type: ignore[arg-type]
        manifests.write(document, folder, [path.name for path in folder.iterdir()])
    logger.info("wrote %s (%s)", directory, ", ".join(f"{name}.onnx" for name in models))
    return Path(directory)


def _converged(law: ConstitutiveLaw, reference: Arrays) -> Arrays:
    """Return the steps of the reference that have converged, with what they have found."""
    steps, ends = (graph_arrays(reference, "constitutive", side) for side in ("in", "out"))
    solved = ends["residual"][:, 0] <= law.residual_tolerance
    return {key: x[solved] for key, x in (steps | {"statev_new": ends["statev_new"]}).items()}


def _microscopic_graphs(
    law: ConstitutiveLaw,
    encoder: nn.Module | None,
    decoder: DecoderGraphs | None,
    size: Sequence[int],
    averaged: bool,
) -> Sequence[tuple[str, Graph]]:
    m, n = law.strain_size, law.internal_size
    *classes, n_x = size
    graphs = []
    if encoder is not None:
        outputs: dict[str, Shape] = {"statev": ["nstates", n]}
        if averaged:
            outputs["strain"] = ["nstates", m]
        inputs: dict[str, Shape] = {"microstate": ["nstates", *classes, "nreplicas", n_x]}
        graphs.append(("encoder", Graph(encoder, inputs, outputs)))
    if decoder is not None:
        sample: Shape = ["nstates", *classes, "nsamples", n_x]
        state: dict[str, Shape] = {"strain": ["nstates", m], "statev": ["nstates", n]}
        density: dict[str, Shape] = {"log_density": ["nstates", *classes, "nsamples"]}
        graphs.append(
            (
                "decoder_log_density",
                Graph(decoder.log_density, {"microstate": sample, **state}, density),
            )
        )
        graphs.append(
            (
                "decoder_sample",
                Graph(decoder.sample, {"noise": sample, **state}, {"microstate": sample}),
            )
        )
    return graphs


def _microscopic_inputs(graph: Graph, law: ConstitutiveLaw, variables: Variables) -> Arrays:
    """Random states of the envelope, with standard normal microstates and noise."""
    generator = np.random.default_rng(1)
    n_states, sizes = 8, {"nstates": 8, "nreplicas": 32, "nsamples": 32}
    low, high = law.envelope.T
    state = low + (high - low) * generator.uniform(size=(n_states, len(low)))
    statev = within_bounds(variables, state[:, law.strain_size :])
    states = {"strain": state[:, : law.strain_size], "statev": statev}
    inputs: dict[str, FloatArray] = {}
    for name, shape in graph.inputs.items():
        size = [sizes[s] if isinstance(s, str) else s for s in shape]
        inputs[name] = states[name] if name in states else generator.standard_normal(size)
    return inputs


def _require_rest(law: ConstitutiveLaw, reference: Arrays) -> None:
    """Hosts start from zero state: the force that drives the internal variables vanishes there."""
    zero = [np.zeros((1, size)) for size in (law.strain_size, law.internal_size)]
    inputs = dict(zip(("strain", "statev"), zero, strict=True))
    force = evaluate("rates", law.rates(), inputs, RATES_OUTPUTS)["rates.out.driving_force"]
    typical = np.max(np.abs(reference["rates.out.driving_force"]), initial=0.0)
    if not np.max(np.abs(force)) <= REST_TOLERANCE * typical:
        raise ValueError(
            "export: the law must be at rest at zero strain and internal variables, where hosts "
            f"start; the driving force there is {np.max(np.abs(force)):.3g}, typical inside the "
            f"envelope is {typical:.3g}. Shift the internal variables (or the linear part of f)."
        )


def _require_agreement(name: str, path: Path, reference: Arrays, law: ConstitutiveLaw) -> None:
    expected = graph_arrays(reference, name, "out")
    values: dict[str, Any] = run_onnx(path, graph_arrays(reference, name, "in"))
    converged = np.ones(len(next(iter(expected.values()))), dtype=bool)
    if "residual" in expected:
        converged = expected["residual"][:, 0] <= law.residual_tolerance
        same = np.array_equal(converged, values["residual"][:, 0] <= law.residual_tolerance)
        if not same or not np.any(converged):
            raise ValueError(
                f"export: {name}: {np.sum(~converged)} of {len(converged)} reference steps do not "
                "converge in torch, and not the same ones in ONNX Runtime. Check the law."
                if not same
                else f"export: {name}: no reference step converges. Check the law."
            )
    for key in expected.keys() - {"residual"}:
        gap = relative_difference(values[key][converged], expected[key][converged])
        if not gap <= manifests.REFERENCE_TOLERANCE:
            raise ValueError(
                f"export: {name}.{key} of ONNX Runtime differs from torch by {gap:.2e} (relative), "
                f"allowed is {manifests.REFERENCE_TOLERANCE:.0e}. Nothing was written."
            )
