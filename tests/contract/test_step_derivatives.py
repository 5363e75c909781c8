"""Derivatives of a step as ONNX and TorchScript: against differences, and against the kernel."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from derivatives import central_difference
from torch import nn
from untrained_description import untrained_description

from ibvonn_fem import load_model
from ibvonn_fem.cli import main
from ibvonn_fem.errors import ExportedModelError
from ibvonn_train.closed_form.random_law import untrained_law, untrained_populations
from ibvonn_train.export import ConstitutiveLaw, export_law
from ibvonn_train.export.folding import with_zero_energy
from ibvonn_train.export.graphs.forward_mode import Dual, ForwardMode
from ibvonn_train.export.runtimes import torchscript
from ibvonn_train.export.runtimes.onnx_session import session
from ibvonn_train.export.step_derivatives import (
    DERIVATIVE_INPUTS,
    DERIVATIVE_OUTPUTS,
    StepDerivatives,
)

pytestmark = [
    pytest.mark.export,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.EnvelopeWarning"),
]

# Convex potentials; populations of two states; of more states, with means, of which the tangent is
# not symmetric.
LAWS = {
    "convex": lambda: untrained_law(2, 2),
    "two_states": lambda: untrained_populations(1, (2,), 1),
    "states_and_means": lambda: untrained_populations(3, (4, 3, 2), 2),
}
NAME = "constitutive_derivatives"
EXPORTED = Path(__file__).parents[2] / "exported_models"


@pytest.fixture(scope="module", params=LAWS)
def exported(request, tmp_path_factory):
    law = with_zero_energy(LAWS[request.param]())
    about = untrained_description(law.strain_size, law.internal_size)
    folder = tmp_path_factory.mktemp("derivatives") / request.param
    return export_law(folder, law, about, derivatives=True), law


def steps(law, count=5, seed=0):
    """Steps from states within their bounds, Δt of two decades."""
    rng = np.random.default_rng(seed)
    statev = 0.3 * rng.uniform(-1.0, 1.0, (count, law.internal_size))
    if hasattr(law, "groups"):
        drawn = [rng.dirichlet(np.full(m, 4.0), count)[:, 1:] for _, m in law.groups]
        means = rng.uniform(-1.0, 1.0, (count, law.mean_size))
        statev = np.concatenate([*drawn, means], 1) - law.rest
    strain, old = 0.5 * rng.uniform(-1.0, 1.0, (2, count, law.strain_size))
    return strain, old, statev, 10.0 ** rng.uniform(-1.5, 0.5, (count, 1))


def both_runtimes(directory, points):
    """What ONNX Runtime and TorchScript give: two lists of derivatives of stress and state."""
    feed = dict(zip(DERIVATIVE_INPUTS, points, strict=True))
    yield session(directory / f"{NAME}.onnx").run(list(DERIVATIVE_OUTPUTS), feed)
    module = torchscript.load((directory / f"{NAME}.pt").read_bytes())
    yield [value.numpy() for value in module(*map(torch.tensor, points))]


def test_graphs_give_the_derivatives_of_the_kernel(exported):
    directory, law = exported
    model = load_model(directory, kernel="c")
    points = steps(law)
    new = model.update(*points[:3], points[3][:, 0]).statev_new
    expected = model.derivatives(*points[:3], points[3][:, 0])
    for stress, state in both_runtimes(directory, (*points, new)):
        size = np.abs(expected.stress).max(), np.abs(expected.statev_new).max()
        np.testing.assert_allclose(stress, expected.stress, rtol=0, atol=1e-11 * size[0])
        np.testing.assert_allclose(state, expected.statev_new, rtol=0, atol=1e-11 * size[1])


def test_graphs_give_the_differences_of_the_step(exported):
    directory, law = exported
    opened, outputs = session(directory / "constitutive.onnx"), ["stress", "statev_new"]
    points = steps(law, 3, seed=1)
    widths = np.cumsum([point.shape[1] for point in points])[:-1]

    def response(x):
        parts = dict(zip(DERIVATIVE_INPUTS, np.split(x[None], widths, axis=1), strict=False))
        return np.concatenate(opened.run(outputs, parts), 1)[0]

    new = opened.run(["statev_new"], dict(zip(DERIVATIVE_INPUTS, points, strict=False)))[0]
    for stress, state in both_runtimes(directory, (*points, new)):
        for k, x in enumerate(np.concatenate(points, 1)):
            expected, _ = central_difference(response, x)
            derivative = np.concatenate([stress[k], state[k]])
            assert np.abs(derivative - expected).max() < 1e-6 * np.abs(expected).max()


def test_bad_input_gives_nan_at_its_point_alone(exported):
    directory, law = exported
    points = [*steps(law), steps(law)[2]]
    points[0][1, 0], points[3][2, 0] = np.nan, -1.0
    for derivatives in both_runtimes(directory, points):
        for values in derivatives:
            assert np.isnan(values[[1, 2]]).all()
            assert np.isfinite(values[[0, 3, 4]]).all()


NO_STEPS = {
    "a column more": (0, lambda x: np.c_[x, x[:, :1]], "must have shape"),
    "a point less": (2, lambda x: x[1:], "must have shape"),
    "a shape of one axis": (3, lambda x: x[:, 0], "must have shape"),
    "single precision": (1, lambda x: x.astype(np.float32), "must be float64"),
}


@pytest.mark.parametrize("case", NO_STEPS)
def test_torchscript_says_what_it_refuses(exported, case):
    directory, law = exported
    points = [*steps(law), steps(law)[2]]
    place, changed, words = NO_STEPS[case]
    points[place] = changed(points[place])
    module = torchscript.load((directory / f"{NAME}.pt").read_bytes())
    with pytest.raises(torch.jit.Error, match=f"{DERIVATIVE_INPUTS[place]} {words}"):
        module(*map(torch.tensor, points))


def test_widths_that_are_right_in_sum_alone_are_refused(exported):
    """The graph joins its inputs, and cuts them at its own widths."""
    directory, law = exported
    strain, old, *others = [*steps(law), steps(law)[2]]
    module = torchscript.load((directory / f"{NAME}.pt").read_bytes())
    with pytest.raises(torch.jit.Error, match="strain must have shape"):
        module(*map(torch.tensor, (np.c_[strain, old[:, :1]], old[:, 1:], *others)))


@pytest.mark.parametrize(
    ("place", "changed", "words"),
    [
        (0, lambda x: x[:, :0], "strain must have shape"),
        (1, lambda x: x[1:], "strain_old must have shape"),
        (2, lambda x: np.nan * x, "statev must be finite; found nan at point 0"),
        (3, lambda x: x[:, None], "dt must be one number or have shape"),
        (3, lambda x: -x, "dt must be from 0"),
        (3, lambda x: np.nan * x, "dt must be from 0 .* found nan"),
    ],
)
def test_the_kernel_says_what_it_refuses(place, changed, words):
    model = load_model(EXPORTED / "exact_trap", kernel="c")
    points = [np.zeros((4, 1)), np.zeros((4, 1)), np.zeros((4, 1)), np.full(4, 0.1)]
    assert model.derivatives(*points).stress.shape == (4, 1, 4)  # guards the next lines
    points[place] = changed(points[place])
    with pytest.raises(ValueError, match=words):
        model.derivatives(*points)


@pytest.mark.parametrize("ending", ["onnx", "pt"])
def test_altered_derivatives_are_refused_with_the_model(exported, tmp_path, ending):
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    file = copy / f"{NAME}.{ending}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ExportedModelError, match=rf"{NAME}\.{ending}: has been altered"):
        load_model(copy)


@pytest.mark.parametrize("dt", [0.0, 1e-12])
@pytest.mark.parametrize("farther", [1.0, 20.0])
def test_after_no_time_the_derivative_by_time_is_the_rate(dt, farther):
    """Of rates from a table, which grow by orders of magnitude beyond the training range."""
    directory = EXPORTED / "lattice_mean_field"
    model, rng = load_model(directory, kernel="c"), np.random.default_rng(4)
    strain = rng.uniform(-0.2, 0.2, (50, 3)) * farther
    statev = rng.uniform(0.0, 1.0, (50, 3)) - np.load(directory / "parameters.npz")["rest"]
    steps_of_time = np.full((50, 1), dt)
    rate = model.rates(strain, statev).rate
    assert np.abs(rate).max() > 0.1 * farther**3
    of_kernel = model.kernel.derivatives(strain, strain, statev, statev, steps_of_time[:, 0])
    arrays = np.load(directory / "parameters.npz")
    graph = StepDerivatives(ConstitutiveLaw.of_arrays(arrays))
    inputs = (strain, strain, statev, steps_of_time, statev)
    with torch.no_grad():
        of_graph = graph(*map(torch.tensor, inputs))[1].numpy()
    slower = 1e-10 + 100.0 * dt * np.abs(rate).max()
    for derivative in (of_kernel.statev_new, of_graph):
        np.testing.assert_allclose(derivative[:, :, -1], rate, rtol=slower)
    np.testing.assert_allclose(of_graph, of_kernel.statev_new, rtol=1e-10, atol=1e-10)


def test_an_export_without_the_request_has_no_such_files(exported, tmp_path):
    directory, law = exported
    assert main(["check", str(directory)]) == 0  # guards the next line: with them it is a model
    about = untrained_description(law.strain_size, law.internal_size)
    plain = export_law(tmp_path / "plain", law, about)
    assert {path.name for path in directory.iterdir()} - {
        path.name for path in plain.iterdir()
    } == {
        f"{NAME}.onnx",
        f"{NAME}.pt",
    }


class Elementary(nn.Module):
    """Operations that laws use, in one function of x, ``(n, 2)``."""

    def forward(self, x):
        a, b = x[:, :1], x[:, 1:]
        c = torch.where(a > 0.2, torch.abs(a - b), torch.relu(b)) / (2.0 + torch.square(b))
        d = torch.maximum(a, b) * torch.exp(-c) - torch.minimum(torch.tanh(a), torch.sqrt(2.0 + b))
        return torch.cat([c, torch.log(3.0 + d), torch.sum(x, 1, keepdim=True) - 1.0], 1)


def test_forward_mode_is_that_of_torch():
    x = torch.tensor(np.random.default_rng(0).uniform(-1.0, 1.0, (50, 2)), requires_grad=True)
    values = Elementary()(x)
    rows = [torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for y in values.unbind(1)]
    for direction in torch.eye(2, dtype=torch.float64):
        along = direction.expand_as(x)
        expected = torch.stack([row @ direction for row in rows], 1)
        result = ForwardMode(Elementary()).run(Dual(x, along))
        assert torch.allclose(result.slope, expected, rtol=1e-14, atol=1e-14)


def test_an_operation_without_a_derivative_is_named():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    x = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"uses sin, whose derivative is not known"):
        ForwardMode(Sine()).run(Dual(x, x))
