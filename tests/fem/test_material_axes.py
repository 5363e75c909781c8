"""Anisotropic laws whose axes are turned: objectivity, fields of axes, and what is refused."""

from __future__ import annotations

from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from law_reference import random_parameters
from solid_laws import manifest_of

from ibvonn_fem import FullStrain, InternalVariableLaw, PlaneStrain
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.model.exported_model import ExportedModel

pytestmark = pytest.mark.fem

GRADIENT = np.array([[0.3, -0.1], [0.25, 0.12]])


def turned(angle: float) -> np.ndarray[Any, Any]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.fixture(scope="module")
def model() -> ExportedModel:
    return anisotropic(3)


def anisotropic(size: int) -> ExportedModel:
    parameters = random_parameters(size, 2, seed=3)
    parameters["envelope"] = np.tile([-10.0, 10.0], (size + 2, 1))
    kernel = CLibraryKernel(parameters)
    return ExportedModel(manifest_of(kernel, "anisotropic"), kernel)


def stress_of(
    model: ExportedModel, kinematics: Any, gradient: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the stress tensors, ``(n, 2, 2)``, after one step to a homogeneous deformation."""
    domain = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    u = fem.Function(fem.functionspace(domain, ("Lagrange", 1, (2,))))
    law = InternalVariableLaw(model, kinematics(domain), u, 0)
    u.interpolate(lambda x: gradient @ x[:2])
    law.update(0.3)
    evaluate = law.points.evaluator(law.kinematics.tensor(law.stress))
    return evaluate().reshape(-1, 3, 3)[:, :2, :2]


@pytest.mark.parametrize("finite", [False, True])
def test_material_and_body_turn_together(model: ExportedModel, finite: bool) -> None:
    still = stress_of(model, lambda _: FullStrain(3, finite=finite), GRADIENT)
    for angle in (0.4, -1.2):
        q = turned(angle)
        moved = stress_of(
            model, lambda _, a=angle: FullStrain(3, finite=finite, axes=a), q @ GRADIENT @ q.T
        )
        np.testing.assert_allclose(moved, q @ still @ q.T, atol=1e-12)
        alone = stress_of(model, lambda _: FullStrain(3, finite=finite), q @ GRADIENT @ q.T)
        assert np.abs(alone - q @ still @ q.T).max() > 1e-3, "the law is anisotropic"


def test_axes_may_be_a_field(model: ExportedModel) -> None:
    angles = np.linspace(-1.0, 1.0, 8)

    def kinematics(domain: Any) -> FullStrain:
        field = fem.Function(fem.functionspace(domain, ("DG", 0)))
        field.x.array[:] = angles
        return FullStrain(3, axes=field)

    together = stress_of(model, kinematics, GRADIENT)
    for cell, angle in enumerate(angles):
        alone = stress_of(model, lambda _, a=angle: FullStrain(3, axes=a), GRADIENT)
        np.testing.assert_allclose(together[cell], alone[cell], atol=1e-13)


def test_axes_in_space_and_in_plane_strain() -> None:
    law = anisotropic(6)
    q = np.eye(3)
    q[:2, :2] = turned(0.7)
    in_plane = stress_of(law, lambda _: PlaneStrain(FullStrain(6, axes=q)), GRADIENT)
    back = turned(0.7)
    still = stress_of(law, lambda _: PlaneStrain(FullStrain(6)), back.T @ GRADIENT @ back)
    np.testing.assert_allclose(in_plane, back @ still @ back.T, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "axes", "words"),
    [
        (3, np.eye(3)[:2], "must be an angle"),
        (3, np.nan, "finite"),
        (6, 0.3, "3 × 3 matrix"),
        (6, 2.0 * np.eye(3), "orthonormal"),
        (6, ufl.as_vector([1.0, 0.0, 0.0]), "3 × 3 matrix"),
    ],
)
def test_what_is_no_axes_is_refused(size: int, axes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FullStrain(size, axes=axes)
