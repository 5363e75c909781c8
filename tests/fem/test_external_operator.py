"""A law as an operator of dolfinx-external-operator is the law of the problem class."""

import contextlib
from importlib import metadata

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    PlaneStress,
    load_model,
)
from ibvonn_fem.body import external_operator as module
from ibvonn_fem.body.external_operator import external_stress

with contextlib.suppress(ImportError):  # before any test makes a form
    import dolfinx_external_operator  # noqa: F401

pytestmark = pytest.mark.fem


def law_on(kind, *, degree=2, tagged=False):
    """A law on a mesh of all ranks, and its displacement."""
    if kind == "space":
        domain = mesh.create_unit_cube(MPI.COMM_WORLD, 2, 1, 2)
        model, solid = "exact_sls", FullStrain()
    else:
        domain = mesh.create_unit_square(MPI.COMM_WORLD, 3, 2, mesh.CellType.quadrilateral)
        model, solid = (
            ("lattice", FullStrain(3, axes=0.3))
            if kind == "plane"
            else ("exact_sls", PlaneStress(FullStrain(), thickness=0.4))
        )
    V = fem.functionspace(domain, ("Lagrange", 1, (domain.geometry.dim,)))
    u, subdomain = fem.Function(V), None
    if tagged:
        cells = np.arange(domain.topology.index_map(domain.topology.dim).size_local, dtype=np.int32)
        tags = mesh.meshtags(domain, domain.topology.dim, cells, (cells % 2).astype(np.int32))
        subdomain = (tags, 1)
    return InternalVariableLaw(load_model(model), solid, u, degree, subdomain=subdomain), u


def assembled(forms):
    vector, matrix = fem.assemble_vector(forms[0]), fem.assemble_matrix(forms[1])
    return vector.array, matrix.data


@pytest.mark.mpi
@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("kind", ["space", "plane", "plane stress"])
def test_forces_stiffness_and_states_are_those_of_the_law(kind, tagged):
    operator = pytest.importorskip("dolfinx_external_operator")
    (law, u), (own, own_u) = (law_on(kind, tagged=tagged) for _ in range(2))
    dt = fem.Constant(u.function_space.mesh, 0.1)
    v, du = ufl.TestFunction(u.function_space), ufl.TrialFunction(u.function_space)
    work = law.virtual_work(v, external_stress(law, dt))
    residual, operators_of_residual = operator.replace_external_operators(work)
    jacobian, operators = operator.replace_external_operators(ufl.derivative(work, u, du))
    theirs = fem.form(residual), fem.form(jacobian)
    v, du = (make(own_u.function_space) for make in (ufl.TestFunction, ufl.TrialFunction))
    ours = fem.form(own.virtual_work(v)), fem.form(own.stiffness(du, v))
    for size, step in ((0.01, 0.1), (0.02, 0.3), (-0.01, 0.0)):
        dt.value = step
        for function in (u, own_u):
            function.interpolate(lambda x, s=size: s * np.sin(x[: len(u)] + x[::-1][: len(u)]))
        for evaluated in (operators, operators_of_residual):
            operator.evaluate_external_operators(evaluated, operator.evaluate_operands(evaluated))
        own.update(step)
        for value, right in zip(assembled(theirs), assembled(ours), strict=True):
            assert np.abs(right).max() > 0.0
            np.testing.assert_allclose(value, right, rtol=0, atol=1e-12 * np.abs(right).max())
        law.commit()
        own.commit()
        np.testing.assert_allclose(law.internal, own.internal, rtol=1e-12, atol=1e-15)


def test_a_rule_of_degree_zero_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(module, "_require_package", lambda: None)
    law, u = law_on("space", degree=0)
    with pytest.raises(ValueError, match=r"a quadrature_degree of at least 1; found 0"):
        external_stress(law, fem.Constant(u.function_space.mesh, 0.1))


@pytest.mark.parametrize(
    ("installed", "words"),
    [(None, "which is not installed"), ("0.3.1", r"of the version of DOLFINx.*; found 0\.3\.1")],
)
def test_a_package_that_does_not_fit_is_refused_in_words(monkeypatch, installed, words):
    def version(name):
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(module.metadata, "version", version)
    law, u = law_on("space", degree=1)
    with pytest.raises(ImportError, match=words):
        external_stress(law, fem.Constant(u.function_space.mesh, 0.1))


def test_a_package_that_comes_after_the_first_form_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(module.metadata, "version", lambda name: f"{module.release()}.0")
    monkeypatch.delitem(module.sys.modules, "dolfinx_external_operator", raising=False)
    law, u = law_on("space", degree=1)
    with pytest.raises(ImportError, match="at the top of the program"):
        external_stress(law, fem.Constant(u.function_space.mesh, 0.1))
