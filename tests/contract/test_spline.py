"""The exported flow: the numbers of nflows without its branches."""

import math

import numpy as np
import onnx
import pytest
import torch
from nflows.transforms import MaskedPiecewiseRationalQuadraticAutoregressiveTransform

from ibvonn_train.export.graphs.decoder_graph import FlowLogDensity, FlowSample
from ibvonn_train.export.runtimes.onnx_files import module_model
from ibvonn_train.export.runtimes.onnx_session import run_onnx
from ibvonn_train.law.flow import ConditionalFlow

SIZES = [(1, 1), (1, 2), (2, 1), (3, 2)]
N_STATE, N_POINT = 5, 400
PARITY = 1e-10


def trained_looking_flow(n_x, n_alpha):
    """Random weights large enough for bins of very different widths."""
    generator = torch.Generator().manual_seed(0)
    flow = ConditionalFlow(
        n_x, n_alpha, hidden=16, blocks=2, bins=8, bound=4.0, generator=generator
    )
    with torch.no_grad():
        for weight in flow.parameters():
            weight += 0.4 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        flow.centre += 0.3
        flow.scale *= 0.7
    return flow


def inputs(n_x, n_alpha, radius=3.0):
    """Microstates on both sides of the interval's ends, states, strains."""
    rng = np.random.default_rng(0)
    shape = (N_STATE, N_POINT, n_x)
    points = radius * rng.normal(size=shape)
    return points, rng.normal(size=(N_STATE, n_x)), rng.normal(size=(N_STATE, n_alpha))


def spline_of_nflows(flow):
    """The transform of nflows with its own spline and the networks of the flow."""
    original = MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
        features=flow.size,
        hidden_features=1,
        num_bins=flow.bins,
        tails="linear",
        tail_bound=flow.bound,
    )
    original.autoregressive_net = flow.spline.autoregressive_net
    return original


def by_nflows(flow, microstate, strain, statev):
    """Ln q from nflows' own transforms."""
    n_x = flow.size
    y = torch.tensor(microstate - strain[:, None])
    y = ((y - flow.centre) / flow.scale).reshape(-1, n_x)
    context = torch.tensor(statev).repeat_interleave(N_POINT, 0)
    y, log_affine = flow.affine(y, context)
    y, log_spline = spline_of_nflows(flow)(y, context)
    base = -0.5 * y.square().sum(-1) - 0.5 * n_x * math.log(2.0 * math.pi)
    volume = -torch.log(flow.scale).sum()
    return (base + log_affine + log_spline + volume).reshape(N_STATE, N_POINT).numpy()


def model_of(graph, n_x, n_alpha):
    density = isinstance(graph, FlowLogDensity)
    points = ["nstates", "nsamples", n_x]
    ends = {"strain": ["nstates", n_x], "statev": ["nstates", n_alpha]}
    if density:
        out = {"log_density": ["nstates", "nsamples"]}
        return module_model(graph, "density", {"microstate": points, **ends}, out)
    return module_model(graph, "sample", {"noise": points, **ends}, {"microstate": points})


def run(model: onnx.ModelProto, *values):
    names = [entry.name for entry in model.graph.input]
    feed = dict(zip(names, values, strict=True))
    return next(iter(run_onnx(model.SerializeToString(), feed).values()))


@pytest.mark.parametrize(("n_x", "n_alpha"), SIZES)
def test_log_density_in_onnx_is_that_of_nflows(n_x, n_alpha):
    flow = trained_looking_flow(n_x, n_alpha)
    values = inputs(n_x, n_alpha)
    with torch.no_grad():
        expected = by_nflows(flow, *values)
    result = run(model_of(FlowLogDensity(flow, averaged=True), n_x, n_alpha), *values)
    assert np.max(np.abs(result - expected)) < PARITY * np.max(np.abs(expected))


@pytest.mark.parametrize(("n_x", "n_alpha"), SIZES)
def test_trained_flow_is_that_of_nflows(n_x, n_alpha):
    flow = trained_looking_flow(n_x, n_alpha)
    points, strain, statev = inputs(n_x, n_alpha)
    with torch.no_grad():
        expected = by_nflows(flow, points, 0.0 * strain, statev)
        value = flow.log_density(torch.tensor(points), torch.tensor(statev)).numpy()
    assert np.max(np.abs(value - expected)) < PARITY * np.max(np.abs(expected))


@pytest.mark.parametrize(("n_x", "n_alpha"), SIZES)
def test_samples_in_onnx_are_those_of_nflows(n_x, n_alpha):
    flow = trained_looking_flow(n_x, n_alpha)
    noise, strain, statev = inputs(n_x, n_alpha, radius=2.0)
    with torch.no_grad():
        context = torch.tensor(statev).repeat_interleave(N_POINT, 0)
        y = spline_of_nflows(flow).inverse(torch.tensor(noise).reshape(-1, n_x), context)[0]
        y = flow.affine.inverse(y, context)[0].reshape(noise.shape) * flow.scale + flow.centre
        expected = y.numpy() + strain[:, None]
    result = run(model_of(FlowSample(flow, averaged=True), n_x, n_alpha), noise, strain, statev)
    assert np.max(np.abs(result - expected)) < PARITY


def test_sample_and_log_density_belong_to_one_distribution():
    """Ln q(x(z)) + ln |dx/dz| is the normal log-density of z."""
    flow = trained_looking_flow(1, 2)
    noise, strain, statev = inputs(1, 2, radius=1.0)
    z = torch.tensor(noise, requires_grad=True)
    state = torch.tensor(strain), torch.tensor(statev)
    x = FlowSample(flow, averaged=True)(z, *state)
    (slope,) = torch.autograd.grad(x.sum(), z)
    density = FlowLogDensity(flow, averaged=True)(x, *state)
    normal = -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)
    gap = density + torch.log(slope)[..., 0] - normal[..., 0]
    assert float(gap.detach().abs().max()) < PARITY


def test_log_density_integrates_to_one():
    flow = trained_looking_flow(1, 1)
    grid = torch.linspace(-20.0, 20.0, 400_001, dtype=torch.float64)
    state = torch.tensor([[0.3]], dtype=torch.float64)
    with torch.no_grad():
        density = FlowLogDensity(flow, averaged=False)(grid[None, :, None], state, state).exp()
    assert float(torch.trapezoid(density[0], grid)) == pytest.approx(1.0, abs=1e-6)


def test_controlled_strain_is_not_seen_by_the_decoder():
    flow = trained_looking_flow(1, 2)
    points, strain, statev = inputs(1, 2)
    graph = FlowLogDensity(flow, averaged=False)
    with torch.no_grad():
        a = graph(torch.tensor(points), torch.tensor(strain), torch.tensor(statev))
        b = graph(torch.tensor(points), torch.tensor(strain + 1.0), torch.tensor(statev))
    assert torch.equal(a, b)


def test_shifted_variables_describe_the_same_distribution():
    flow = trained_looking_flow(1, 2)
    points, strain, statev = inputs(1, 2)
    shift = np.array([0.2, -0.4])
    graph = FlowLogDensity(
        flow,
        averaged=True,
        strain_shift=0.1,
        internal_shift=torch.tensor(shift),
    )
    exported = [points, strain - 0.1, statev - shift]
    with torch.no_grad():
        result = graph(*(torch.tensor(v) for v in exported)).numpy()
        expected = by_nflows(flow, points, strain, statev)
    assert np.max(np.abs(result - expected)) < PARITY * np.max(np.abs(expected))


def test_networks_of_another_kind_are_refused():
    flow = trained_looking_flow(1, 1)
    flow.spline.autoregressive_net.activation = torch.relu
    with pytest.raises(ValueError, match=r"activation=torch\.tanh"):
        FlowSample(flow, averaged=True)
