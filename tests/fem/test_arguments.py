"""What is put together wrongly is named, with what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("dolfinx")

from mpi4py import MPI

import ufl
from dolfinx import fem, mesh

import ibvonn_fem
from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    Uniaxial,
    load_model,
)

BAR = mesh.create_interval(MPI.COMM_SELF, 4, (0.0, 1.0))
V = fem.functionspace(BAR, ("Lagrange", 1))


U = fem.Function(V)
v, du = ufl.TestFunction(V), ufl.TrialFunction(V)
DOFS = fem.locate_dofs_geometrical(V, lambda x: x[0] < 1e-9)
CLAMP = fem.dirichletbc(0.0, DOFS, V)
ELSEWHERE = fem.dirichletbc(0.0, DOFS, fem.functionspace(BAR, ("Lagrange", 1)))


@pytest.fixture(scope="module")
def law():
    return InternalVariableLaw(load_model("exported_models/exact_trap"), Uniaxial(), U, 0)


@pytest.mark.parametrize(
    ("model", "kinematics", "sentence"),
    [
        ("a directory", Uniaxial(), "model must be a loaded model; found str. Pass load_model"),
        (None, Uniaxial, "kinematics must be an instance, for example Uniaxial(); found the class"),
        (None, "uniaxial", "kinematics must be an instance, for example Uniaxial(); found str"),
    ],
)
def test_a_law_needs_a_loaded_model_and_an_instance(model, kinematics, sentence):
    model = load_model("exported_models/exact_trap") if model is None else model
    with pytest.raises(TypeError, match=re.escape(sentence)):
        InternalVariableLaw(model, kinematics, U, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"bcs": CLAMP}, TypeError, "bcs must be a list of conditions"),
        ({"bcs": [0.0]}, TypeError, "bcs must be a list of conditions"),
        ({"bcs": [ELSEWHERE]}, ValueError, "bcs[0] is on another function space than u"),
        ({"loads": 3.0}, TypeError, "loads must be a UFL form such as force * v * ufl.ds"),
        ({"loads": U * ufl.dx}, ValueError, "found a form with 0 arguments"),
        ({"loads": du * v * ufl.dx}, ValueError, "found a form with 2 arguments"),
        ({"u": fem.Function(V)}, ValueError, "must be made with u; found one of another Function"),
        ({"law": "trap"}, TypeError, "needs one or several InternalVariableLaws; found str"),
        ({"law": []}, TypeError, "needs one or several InternalVariableLaws; found none"),
    ],
)
def test_a_problem_names_what_does_not_fit(law, arguments, error, sentence):
    keywords = {"law": law, "u": U, "bcs": [CLAMP]} | arguments
    with pytest.raises(error, match=re.escape(sentence)):
        InternalVariableProblem(**keywords)


def test_a_reaction_is_that_of_a_condition(law):
    problem = InternalVariableProblem(law, U, [CLAMP])
    with pytest.raises(TypeError, match=r"bc must be a condition .*, for example bcs\[0\]; found"):
        problem.reaction(0)


def test_stepping_names_what_does_not_fit(law):
    problem = InternalVariableProblem(law, U, [CLAMP])
    with pytest.raises(TypeError, match="loading must be a function of time"):
        TimeStepping(problem, 3.0)
    with pytest.raises(ValueError, match="times must be a list of instants; found 2 dimensions"):
        TimeStepping(problem).run(np.zeros((2, 2)))


def test_a_body_without_supports_is_named_in_the_message(law):
    free = InternalVariableProblem(law, U, loads=0.1 * v * ufl.dx)
    with pytest.raises(ibvonn_fem.StepError, match="see that the boundary conditions hold the"):
        TimeStepping(free).run([0.0, 1.0])
    U.x.array[:] = 0.0


def test_a_star_import_gives_every_public_name():
    names: dict[str, object] = {}
    exec("from ibvonn_fem import *", names)
    assert set(ibvonn_fem.__all__) <= set(names)
    assert names["InternalVariableLaw"] is InternalVariableLaw
    public = {name for name in dir(ibvonn_fem) if name[0].isupper()} - {"TYPE_CHECKING"}
    assert public <= set(ibvonn_fem.__all__)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_displacement_that_is_not_finite_is_named_and_the_state_stays(value, law):
    U.x.array[:] = 0.0
    end = fem.Constant(BAR, 0.0)
    last = fem.locate_dofs_geometrical(V, lambda x: x[0] > 1 - 1e-9)
    problem = InternalVariableProblem(law, U, [CLAMP, fem.dirichletbc(end, last, V)])
    end.value = value
    with pytest.raises(ValueError, match=r"found NaN or infinity in bcs\[1\]"):
        problem.solve(0.1)
    end.value = 0.1
    assert problem.solve(0.1).converged
    np.testing.assert_allclose(U.x.array[last], 0.1)
    problem.restore()
