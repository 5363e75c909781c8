"""ONNX Runtime gives the numbers of torch, at any batch, with the operations old versions have."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs import interfaces as graph
from ibvonn_train.export.graphs.interfaces import OUTPUTS, RATES_OUTPUTS
from ibvonn_train.export.reference_points import (
    evaluate,
    graph_arrays,
    random_states,
    relative_difference,
)
from ibvonn_train.export.runtimes.onnx_files import constitutive_model, module_model, rates_model
from ibvonn_train.export.runtimes.onnx_session import run_onnx

SIZES = [(1, 1), (1, 2), (6, 2), (6, 6)]
PARITY = 1e-10
BEYOND = 1e-8
"""Allowed beyond the envelope, where round-off is amplified."""


def random_inputs(law, n_points, reach=1.0):
    span, generator = np.array([1e-2, 1.0]), np.random.default_rng(7)
    return random_states(law.envelope, law.strain_size, span, n_points, generator, reach=reach)


def largest_gap(law, model, inputs):
    expected = graph_arrays(
        evaluate("c", ConstitutiveLaw.of(law).update(), inputs, OUTPUTS), "c", "out"
    )
    result = run_onnx(model.SerializeToString(), inputs)
    converged = expected.pop("residual")[:, 0] <= 1e-10
    assert np.array_equal(converged, result["residual"][:, 0] <= 1e-10)
    assert np.mean(converged) > 0.99
    return max(
        relative_difference(result[key][converged], value[converged])
        for key, value in expected.items()
    )


@pytest.mark.parametrize(
    ("m", "n", "n_points"), [(1, 1, 10_000), (6, 2, 10_000), (1, 2, 300), (6, 6, 300)]
)
def test_update_in_onnx_is_that_of_torch(m, n, n_points):
    law = untrained_law(m, n)
    model = constitutive_model(ConstitutiveLaw.of(law).update())
    assert largest_gap(law, model, random_inputs(law, n_points)) < PARITY
    assert largest_gap(law, model, random_inputs(law, 1)) < PARITY
    assert largest_gap(law, model, random_inputs(law, 300, reach=10.0)) < BEYOND


@pytest.mark.parametrize(
    ("widths", "ridges", "context"), [((), 0, ()), ((5,), 0, (4, 3)), ((7, 6, 5), 2, ())]
)
def test_every_architecture_exports(widths, ridges, context):
    law = untrained_law(1, 2, widths=widths, ridges=ridges, context=context)
    model = constitutive_model(ConstitutiveLaw.of(law).update())
    assert largest_gap(law, model, random_inputs(law, 100)) < PARITY


def test_weight_that_differs_in_the_tenth_digit_is_detected():
    """Guards the tests above."""
    law = untrained_law(1, 2)
    model = constitutive_model(ConstitutiveLaw.of(law).update())
    object.__setattr__(law, "energy_output", law.energy_output * (1.0 + 1e-9))
    assert largest_gap(law, model, random_inputs(law, 300)) > PARITY


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_rates_in_onnx_are_those_of_torch(m, n):
    law = ConstitutiveLaw.of(untrained_law(m, n))
    states = random_inputs(law.parameters, 300, reach=3.0)
    inputs = {key: states[key] for key in ("strain", "statev")}
    expected = graph_arrays(evaluate("r", law.rates(), inputs, RATES_OUTPUTS), "r", "out")
    result = run_onnx(rates_model(law.rates(), n).SerializeToString(), inputs)
    for key, value in expected.items():
        assert relative_difference(result[key], value) < PARITY, key


def test_bad_points_are_refused_alone_in_onnx_too():
    law = untrained_law(1, 2)
    model = constitutive_model(ConstitutiveLaw.of(law).update()).SerializeToString()
    inputs = random_inputs(law, 5)
    expected = run_onnx(model, inputs)
    inputs["strain"][0] = np.nan
    inputs["statev"][1, 1] = np.inf
    inputs["dt"][2] = -1.0
    result = run_onnx(model, inputs)
    assert np.all(np.isnan(result["residual"][:3]))
    assert np.all(np.isnan(result["stress"][:3]))
    for key, value in result.items():
        assert np.array_equal(value[3:], expected[key][3:]), key


def test_all_inputs_stay_in_the_graph_and_the_batch_axis_is_free():
    law = untrained_law(6, 2, ridges=0, context=())
    model = constitutive_model(ConstitutiveLaw.of(law).update())
    assert [entry.name for entry in model.graph.input] == list(graph.INPUTS)
    assert [entry.name for entry in model.graph.output] == list(graph.OUTPUTS)
    for entry in [*model.graph.input, *model.graph.output]:
        assert entry.type.tensor_type.shape.dim[0].dim_param == "npoints"
        assert entry.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


def all_nodes(proto):
    for node in proto.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_graph_avoids_what_some_runtimes_lack_in_float64(m, n):
    """No Softplus or Erf, and no Transpose next to a MatMul, which is fused into FusedMatMul."""
    model = constitutive_model(ConstitutiveLaw.of(untrained_law(m, n)).update())
    nodes = list(all_nodes(model.graph))
    assert not {node.op_type for node in nodes} & {"Softplus", "Erf", "Gelu", "IsNaN", "Einsum"}
    transposed = {node.output[0] for node in nodes if node.op_type == "Transpose"}
    assert transposed
    for node in nodes:
        if node.op_type == "MatMul":
            assert not set(node.input) & transposed
    assert model.opset_import[0].version == 17
    assert model.ir_version == 8


def test_metadata_is_stored():
    law = untrained_law(1, 1)
    metadata = {"ibvonn_manifest": json.dumps({"format": 1})}
    model = constitutive_model(ConstitutiveLaw.of(law).update(), metadata)
    assert {entry.key: entry.value for entry in model.metadata_props} == metadata


class Activations(nn.Module):
    def forward(self, x):
        return nn.functional.softplus(x, threshold=40.0), torch.sigmoid(x)


def test_activations_are_those_of_torch_and_do_not_overflow():
    model = module_model(Activations(), "a", {"x": ["n", 1]}, {"s": ["n", 1], "t": ["n", 1]})
    x = np.array([[-800.0], [-40.0], [-3.0], [-1e-9], [0.0], [1e-9], [5.0], [40.0], [800.0]])
    outputs = run_onnx(model.SerializeToString(), {"x": x})
    for name, value in zip("st", Activations()(torch.tensor(x)), strict=True):
        np.testing.assert_allclose(outputs[name], value.numpy(), rtol=0, atol=2.3e-16)


class UsesErf(nn.Module):
    def forward(self, x):
        return torch.erf(x)


@pytest.mark.parametrize("module", [UsesErf(), nn.Sequential(nn.GELU())])
def test_operation_that_the_writer_does_not_know_is_named(module):
    with pytest.raises(ValueError, match=r"erf|GELU"):
        module_model(module, "e", {"x": ["n", 2]}, {"y": ["n", 2]})
