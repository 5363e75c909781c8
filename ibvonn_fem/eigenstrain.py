"""Strain that bears no stress, such as thermal expansion: it acts on the body as loads do."""

from __future__ import annotations

from typing import Any

from mpi4py import MPI

import numpy as np
import ufl

from .kernels.base import FloatArray
from .kinematics import Kinematics
from .quadrature import QuadraturePoints


class Eigenstrain:
    """An eigenstrain ε* at the quadrature points, and its value at the last commit.

    Args:
        expression: ε*, a UFL expression of the UFL shape of the kinematics' measure.
        measure: The measure of deformation from which it is subtracted.
        kinematics: Of small strain.
        points: The quadrature points.

    Attributes:
        expression: ε* as a UFL expression.
        committed: ε* at the last commit, shape ``(points, size)``.

    Raises:
        ValueError: If shape or kinematics do not fit, or ε* depends on the displacement.
    """

    def __init__(
        self, expression: Any, measure: Any, kinematics: Kinematics, points: QuadraturePoints
    ) -> None:
        self.expression = ufl.as_ufl(expression)
        _check(self.expression, measure, kinematics)
        self._evaluate = points.evaluator(self.expression)
        self.committed = np.zeros((points.size, self._evaluate.size))
        self._comm = points.comm

    def commit(self) -> None:
        """Read the expression: its value is where the next step starts."""
        self._evaluate(self.committed)

    def work(
        self, stress_old: FloatArray, stress: FloatArray, volumes: FloatArray
    ) -> tuple[float, float]:
        """Work −∫ σ · Δε* dx that its change since the last commit did on the body. Collective.

        Args:
            stress_old: σ at the last commit, shape ``(points, size)``.
            stress: σ now, same shape.
            volumes: Of the points, shape ``(points,)``.

        Returns:
            With the stress at the end of the step, and with the mean of both ends [energy].
        """
        change = (self._evaluate() - self.committed) * volumes[:, None]
        end = self._comm.allreduce(float(np.vdot(stress, change)), op=MPI.SUM)
        start = self._comm.allreduce(float(np.vdot(stress_old, change)), op=MPI.SUM)
        return -end, -0.5 * (end + start)


def _check(eigenstrain: Any, measure: Any, kinematics: Kinematics) -> None:
    if getattr(kinematics, "finite", False):
        raise ValueError(
            "eigenstrain: is subtracted from small strains; the kinematics is of finite strain. "
            "Use finite=False."
        )
    if eigenstrain.ufl_shape != measure.ufl_shape:
        raise ValueError(
            f"eigenstrain: must have the shape {measure.ufl_shape} of the measure of "
            f"{type(kinematics).__name__}; found {eigenstrain.ufl_shape}."
        )
    unknowns = set(ufl.algorithms.extract_coefficients(measure))
    if unknowns & set(ufl.algorithms.extract_coefficients(eigenstrain)):
        raise ValueError("eigenstrain: must not depend on the displacement; it is data.")
