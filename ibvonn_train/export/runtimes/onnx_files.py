"""The ONNX files of an exported law."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from torch import nn

from ..graphs.interfaces import INPUTS, OUTPUTS, RATES_OUTPUTS, RatesGraph
from ..graphs.newton import MAX_PASSES
from ..graphs.update import ImplicitUpdate
from ..step_derivatives import DERIVATIVE_INPUTS, DERIVATIVE_OUTPUTS, StepDerivatives
from .onnx_writer import OnnxWriter

Shape = Sequence[int | str]


def constitutive_model(
    update: ImplicitUpdate, metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """``constitutive.onnx``: the update with Newton's iteration as a Loop.

    Args:
        update: The update of a law.
        metadata: Stored as ``metadata_props``.
    """
    m, n = update.strain_size, update.internal_size
    writer = OnnxWriter()
    prepared = writer.module(update.prepare, INPUTS)
    state = writer.module(update.start, prepared[:-1])

    def newton_pass(names: list[str]) -> list[str]:
        return writer.module(update.newton, [*prepared[:-1], *names])

    column: Shape = ("npoints", 1)
    shapes: list[Shape] = [("npoints", n)] * update.vectors + [column] * (
        len(state) - update.vectors
    )
    state = writer.loop(newton_pass, state, shapes, MAX_PASSES)
    values = writer.module(update.finish, [*prepared, state[0], state[-2]])
    widths: dict[str, Shape] = {"stress": [m], "statev_new": [n], "tangent": [m, m]}
    return writer.model(
        "constitutive",
        {
            "strain": ["npoints", m],
            "strain_old": ["npoints", m],
            "statev": ["npoints", n],
            "dt": ["npoints", 1],
        },
        {
            name: (value, ["npoints", *widths.get(name, [1])])
            for name, value in zip(OUTPUTS, values, strict=True)
        },
        metadata or {},
    )


def rates_model(
    rates: RatesGraph, internal_size: int, metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """``rates.onnx``: the law in continuous time."""
    m, n = rates.strain_size, internal_size
    widths = dict(zip(RATES_OUTPUTS, (1, m, n, n), strict=True))
    return module_model(
        rates,
        "rates",
        {"strain": ["npoints", m], "statev": ["npoints", n]},
        {name: ["npoints", width] for name, width in widths.items()},
        metadata,
    )


def derivatives_model(
    derivatives: StepDerivatives, metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """``constitutive_derivatives.onnx``: derivatives of a step at the state that it has found."""
    columns, (m, *_, n) = derivatives.columns, derivatives.sizes
    inputs = zip(DERIVATIVE_INPUTS, derivatives.sizes, strict=True)
    outputs = zip(DERIVATIVE_OUTPUTS, (m, n), strict=True)
    return module_model(
        derivatives,
        "constitutive_derivatives",
        {name: ["npoints", width] for name, width in inputs},
        {name: ["npoints", rows, columns] for name, rows in outputs},
        metadata,
    )


def module_model(
    module: nn.Module,
    name: str,
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Any module without loops that depend on its data, such as an encoder or a decoder.

    Raises:
        ValueError: If the module uses an operation unknown to the writer.
    """
    writer = OnnxWriter()
    values = writer.module(module, list(inputs))
    results = {
        key: (value, shape) for (key, shape), value in zip(outputs.items(), values, strict=True)
    }
    return writer.model(name, inputs, results, metadata or {})
