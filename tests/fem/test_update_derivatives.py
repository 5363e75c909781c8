"""Derivatives of a step by strain, old strain, old state and Δt, against its differences."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from derivatives import central_difference

from ibvonn_fem import Scaled, load_model
from ibvonn_fem.errors import KernelUnavailableError
from ibvonn_fem.kernels.base import DifferentiableKernel
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.model.scaling import ScaledKernel
from ibvonn_train.closed_form.random_law import untrained_populations

pytestmark = [
    pytest.mark.fem,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.EnvelopeWarning"),
]

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"
# Convex potentials: quadratic, learned; of several strains. Populations of two states and of more.
MODELS = [
    "exact_sls",
    "trap",
    "chain_paper",
    "unfolding_chain_populations",
    "lattice",
    "lattice_mean_field",
]


def steps(model, count=6, seed=0):
    """Steps within the training range: strain, old strain, old state, Δt of three decades."""
    rng = np.random.default_rng(seed)
    envelope = model.manifest.envelope

    def draw(box):
        middle, half = box.mean(1), 0.3 * (box[:, 1] - box[:, 0])
        return middle + half * rng.uniform(-1.0, 1.0, (count, len(box)))

    old = draw(envelope.strain)
    strain = old + 0.1 * (draw(envelope.strain) - old)
    dt = envelope.time_step[1] * 10.0 ** rng.uniform(-2.0, 1.0, count)
    return strain, old, draw(envelope.statev), dt


def response(model, x):
    """σ and α⁺ of one step from its arguments in one row."""
    ne = model.strain_size
    update = model.kernel.update(x[None, :ne], x[None, ne : 2 * ne], x[None, 2 * ne : -1], x[-1:])
    return np.concatenate([update.stress[0], update.statev_new[0]])


def worst(model, derivatives, points):
    """Largest error of the derivatives in units of what the differences know."""
    ratio = 0.0
    for k, x in enumerate(np.column_stack(points)):
        derivative = np.concatenate([derivatives.stress[k], derivatives.statev_new[k]])
        size = np.maximum(np.abs(x), 1e-2)
        for column in range(len(x)):  # a step for each argument
            direction = np.eye(len(x))[column] * size[column]
            expected, bound = central_difference(
                lambda s, x=x, direction=direction: response(model, x + s[0] * direction),
                np.zeros(1),
                1e-3,
            )
            error = np.abs(derivative[:, column] * size[column] - expected[:, 0]).max()
            ratio = max(ratio, error / (10.0 * bound + 1e-9 * np.abs(expected).max()))
    return ratio


def available(name):
    return load_model(EXPORTED / name, kernel="c", verify=False)


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_the_step(name):
    model = available(name)
    points = steps(model)
    derivatives = model.derivatives(*points)
    assert worst(model, derivatives, points) <= 1.0


@pytest.mark.parametrize("case", [(1, (2,), 0), (2, (2, 2), 1), (2, (3,), 0), (3, (4, 3, 2), 2)])
def test_populations_of_any_number_of_states_and_means(case):
    """n_ε, states of every population, means: the networks are frozen over a step, and vary."""
    law = untrained_populations(*case, seed=3)
    model = SimpleNamespace(kernel=CLibraryKernel(law.arrays()), strain_size=law.strain_size)
    rng = np.random.default_rng(0)
    fractions = [rng.dirichlet(np.full(m, 4.0), 5)[:, 1:] for _, m in law.groups]
    statev = np.concatenate([*fractions, rng.uniform(-1, 1, (5, law.mean_size))], 1) - law.rest
    strain, old = rng.uniform(-1.0, 1.0, (2, 5, law.strain_size))
    points = strain, old, statev, 10.0 ** rng.uniform(-2.0, 0.5, 5)
    new = model.kernel.update(*points).statev_new
    derivatives = model.kernel.derivatives(*points[:3], new, points[3])
    assert worst(model, derivatives, points) <= 1.0
    derivatives.statev_new[...] *= 1.0 + 1e-4  # control
    assert worst(model, derivatives, points) > 1.0


@pytest.mark.parametrize("column", ["by_strain", "by_strain_old", "by_statev", "by_dt"])
def test_an_error_of_a_thousandth_is_found(column):
    model = available("lattice")
    points = steps(model, 3)
    derivatives = model.derivatives(*points)
    assert worst(model, derivatives, points) <= 1.0
    part = derivatives.statev_new[:, :, getattr(derivatives, column)]
    part *= 1.001
    assert worst(model, derivatives, points) > 1.0


def test_the_derivative_by_the_strain_is_the_tangent():
    model = available("lattice")
    points = steps(model, 20)
    derivatives = model.derivatives(*points)
    tangent = model.update(*points).tangent
    np.testing.assert_allclose(
        derivatives.stress[:, :, derivatives.by_strain],
        tangent,
        atol=1e-8 * np.abs(tangent).max(),
    )


def test_a_step_of_no_length_keeps_the_state():
    model = available("lattice")
    strain, old, statev, _ = steps(model)
    derivatives = model.derivatives(strain, old, statev, 0.0)
    by_state = derivatives.statev_new[:, :, derivatives.by_statev]
    np.testing.assert_allclose(by_state, np.broadcast_to(np.eye(3), by_state.shape), atol=1e-12)
    assert not derivatives.statev_new[:, :, derivatives.by_strain].any()
    assert not derivatives.statev_new[:, :, derivatives.by_strain_old].any()
    assert np.abs(derivatives.statev_new[:, :, derivatives.by_dt]).max() > 0.0  # the rate


def test_scales_turn_the_derivatives_into_physical_ones():
    model = available("trap")
    scaled = Scaled(model, stress_scale=3.0, time_scale=7.0, strain_scale=0.5)
    points = steps(scaled)
    assert worst(scaled, scaled.derivatives(*points), points) <= 1.0


def test_bad_input_gives_nan_at_its_point_alone():
    model = available("trap")
    strain, old, statev, dt = steps(model, 3)
    new = model.update(strain, old, statev, dt).statev_new
    statev[1] = np.nan
    derivatives = model.kernel.derivatives(strain, old, statev, new, dt)
    assert np.isnan(derivatives.stress[1]).all()
    assert np.isfinite(derivatives.stress[[0, 2]]).all()


def test_a_kernel_without_derivatives_says_so(zener):
    model = zener()
    assert not isinstance(model.kernel, DifferentiableKernel)
    assert not isinstance(ScaledKernel(model.kernel, 1.0, 1.0, 1.0), DifferentiableKernel)
    with pytest.raises(KernelUnavailableError, match=r"zener: .*need the C kernel; found 'closed"):
        model.derivatives(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), 0.1)
