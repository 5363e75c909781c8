"""Plane stress from its equilibrium: the thickness strain is found on the way."""

from __future__ import annotations

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh
from model_directory import EXPORTED

from ibvonn_fem import FullStrain, InternalVariableLaw, PlaneStress, load_model

pytestmark = [pytest.mark.fem, pytest.mark.export]


def test_plane_stress_starts_at_its_equilibrium():
    """K = 1, G = 1/2 when relaxed; no step of some length has to be chosen for it."""
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    u = fem.Function(fem.functionspace(square, ("Lagrange", 1, (2,))))
    u.interpolate(lambda x: (0.02 * x[0], 0.0 * x[1]))
    model = load_model(EXPORTED / "exact_sls", strict_range=True)
    law = InternalVariableLaw(model, PlaneStress(FullStrain(6)), u, 0)
    law.start_at_equilibrium()
    K, G = 1.0, 0.5
    young, poisson = 9 * K * G / (3 * K + G), (3 * K - 2 * G) / (2 * (3 * K + G))
    stress = law.stress.x.array.reshape(-1, 4)
    np.testing.assert_allclose(stress[:, 0], 0.02 * young / (1 - poisson**2), rtol=1e-9)
    np.testing.assert_allclose(law.measure[:, 2], -0.02 * poisson / (1 - poisson), rtol=1e-9)
    assert not law.dissipated.any()
    assert law.range_report().outside == 0
    law.update(1e3)
    np.testing.assert_allclose(law.stress.x.array.reshape(-1, 4)[:, 0], stress[:, 0], rtol=1e-9)
