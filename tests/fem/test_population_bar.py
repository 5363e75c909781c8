"""Laws with populations in a body: in C by default, without a word, and within their bounds."""

import logging

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh
from untrained_description import untrained_description

from ibvonn_fem import FullStrain, InternalVariableLaw, InternalVariableProblem, load_model
from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.errors import ExportedModelError, KernelUnavailableError
from ibvonn_fem.model.check import check_model
from ibvonn_train.closed_form.exact_models import export_kramers_unfolding
from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import export_law
from ibvonn_train.export.folding import with_zero_energy

pytestmark = [pytest.mark.fem, pytest.mark.export]

CASES = [(1, (2,), 0), (1, (2,), 1), (1, (3,), 0)]


def exported(folder, case, **changes):
    law = with_zero_energy(untrained_populations(*case))
    return export_law(folder, law, untrained_description(case[0], law.internal_size, **changes))


@pytest.mark.parametrize("case", [*CASES, (3, (2, 2, 2), 0), (3, (3,), 1)])
def test_a_law_with_populations_loads_without_a_word_and_passes_its_checks(tmp_path, caplog, case):
    directory = exported(tmp_path / "law", case)
    with caplog.at_level(logging.INFO):
        model = load_model(directory)
    assert model.kernel.codename == "c"
    assert caplog.text == ""
    checks = check_model(directory)
    assert all(check.passed for check in checks), checks
    names = [check.name for check in checks]
    for kernel in ("c", "onnx"):
        assert f"{kernel}: bounds" in names
        assert (f"{kernel}: symmetric tangent" in names) == (max(case[1]) == 2)


def test_what_needs_parameters_refuses_a_law_in_closed_form_in_a_sentence(tmp_path):
    directory = export_kramers_unfolding(tmp_path / "law")
    assert load_model(directory).kernel.codename == "onnx"
    with pytest.raises(KernelUnavailableError, match=r"family 'graph'. Use kernel='onnx'"):
        load_model(directory, "c")
    with pytest.raises(ExportedModelError, match=r"family 'graph'. Use its constitutive"):
        emit_c(directory, tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_state_beyond_its_bounds_is_refused_at_the_door_and_by_the_kernel(tmp_path, case):
    model = load_model(exported(tmp_path / "law", case))
    zero, state = np.zeros((2, 1)), model.initial_state(2)
    low, high = model.manifest.bounds[0]
    for value, refused in ((low - 1e-6, True), (high + 1e-6, True), (low - 1e-13, False)):
        state[1, 0] = value
        out = model.kernel.update(zero, zero, state, 0.1)
        assert np.isnan(out.residual[1]) == refused
        assert out.residual[0] <= 1e-10
        if refused:
            with pytest.raises(ValueError, match="every fraction between 0 and 1"):
                model.update(zero, zero, state, 0.1)
            with pytest.raises(ValueError, match="every fraction between 0 and 1"):
                model.rates(zero, state)


def test_fractions_that_add_up_to_more_than_one_are_refused(tmp_path):
    model = load_model(exported(tmp_path / "law", (1, (3,), 0)))
    zero = np.zeros((1, 1))
    rest = -model.manifest.bounds[:, 0]
    with pytest.raises(ValueError, match="add up to 1 at most"):
        model.update(zero, zero, np.array([[0.6, 0.6]]) - rest, 0.1)


def test_a_body_does_not_start_beyond_the_bounds(tmp_path, bar):
    model = load_model(exported(tmp_path / "law", CASES[0]))
    with pytest.raises(ValueError, match="every fraction between 0 and 1"):
        bar(model).law.start_from(model.manifest.bounds[:, 1] + 0.1)


@pytest.mark.filterwarnings("ignore::ibvonn_fem.EnvelopeWarning")  # pulled further than in training
@pytest.mark.parametrize("case", CASES)
def test_fractions_of_a_bar_stay_within_their_bounds_and_its_energy_balances(tmp_path, bar, case):
    model = load_model(exported(tmp_path / "law", case))
    low, high = model.manifest.bounds.T
    bar = bar(model)
    energy, reached = bar.law.stored_energy(), []
    for step, stretch in enumerate(np.concatenate([np.linspace(0.0, 8.0, 9), [8.0, 0.0, -8.0]])):
        bar.elongation.value = stretch
        bar.problem.solve(10.0 if step % 2 else 0.1)
        bar.problem.commit()
        alpha = bar.law.internal[:, 0, :]
        assert np.all(alpha >= low)
        assert np.all(alpha <= high)
        assert np.all(np.sum(alpha[:, : case[1][0] - 1] - low[: case[1][0] - 1], 1) <= 1.0 + 1e-14)
        assert bar.law.step_dissipation() >= -1e-12 * abs(energy) - 1e-30  # at rest both are 0
        reached.append(alpha[:, 0].copy())
    assert np.ptp(reached) > 0.3 * (high[0] - low[0])  # the bounds were near


def test_a_bar_nucleates_as_its_material_point_does(tmp_path, bar):
    """One element of the closed-form reference model, and the exact master equation at a point."""
    model = load_model(export_kramers_unfolding(tmp_path / "law"), "onnx")
    bar = bar(model, cells=1, order=1, length=1.0)
    state, old = model.initial_state(), np.zeros((1, 1))
    for strain in np.linspace(0.0, 0.4, 41):
        bar.elongation.value = strain
        bar.problem.solve(0.25)
        bar.problem.commit()
        step = model.update(np.array([[strain]]), old, state, 0.25)
        state, old = step.statev_new, np.array([[strain]])
        np.testing.assert_allclose(bar.law.internal[:, 0, :], state, atol=1e-9)
    assert state[0, 0] > 0.3


@pytest.mark.parametrize(("order", "right"), [("mandel", True), ("other", False)])
def test_a_plane_body_of_three_populations_needs_strains_in_mandel_order(tmp_path, order, right):
    axes = {"strain": ["e_xx", "e_yy", "e_xy"], "strain_order": order}
    model = load_model(exported(tmp_path / "law", (3, (2, 2, 2), 0), **axes))
    square = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    space = fem.functionspace(square, ("Lagrange", 1, (2,)))
    u = fem.Function(space)
    if not right:
        with pytest.raises(ValueError, match="declares the order 'other'"):
            InternalVariableLaw(model, FullStrain(3), u, 0)
        return
    law = InternalVariableLaw(model, FullStrain(3), u, 0)
    edge = fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 0.0))
    grip = fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 1.0))
    pulled = fem.Constant(square, (0.0, 0.0))
    ends = [
        fem.dirichletbc(fem.Constant(square, (0.0, 0.0)), edge, space),
        fem.dirichletbc(pulled, grip, space),
    ]
    problem = InternalVariableProblem(law, u, ends)
    for stretch in (0.1, 0.3, 0.5):
        pulled.value[0] = stretch
        problem.solve(0.2)
        problem.commit()
    low, high = model.manifest.bounds.T
    assert np.all((law.internal[:, 0, :] >= low) & (law.internal[:, 0, :] <= high))
