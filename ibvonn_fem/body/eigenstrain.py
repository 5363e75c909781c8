"""Strain without stress, such as thermal expansion: it acts on the body as loads do."""

from __future__ import annotations

from typing import Any

from mpi4py import MPI

import numpy as np

from .. import _compat
from ..kernels.base import FloatArray
from ..kinematics import Kinematics
from .expressions import expression_of, functions_of
from .quadrature import QuadraturePoints


class Eigenstrain:
    """An eigenstrain ε* at the quadrature points, and its value at the last commit.

    Args:
        expression: ε*, a UFL expression of the UFL shape of the kinematics' measure.
        measure: The measure of deformation from which it is subtracted.
        kinematics: A kinematics of small strain.
        points: The quadrature points.

    Attributes:
        expression: ε* as a UFL expression.
        trial: ε* at the last :meth:`read`, shape ``(points, size)``.
        committed: ε* at the last commit, same shape.

    Raises:
        TypeError: If ε* is no expression.
        ValueError: If shape, mesh or kinematics do not fit, or ε* depends on the displacement.
    """

    def __init__(
        self, expression: Any, measure: Any, kinematics: Kinematics, points: QuadraturePoints
    ) -> None:
        self.expression = expression_of("eigenstrain", expression, measure.ufl_shape, points.mesh)
        _check(self.expression, measure, kinematics)
        self._evaluate = points.evaluator(self.expression)
        self.trial = np.zeros((points.size, self._evaluate.size))
        self.committed = self.trial.copy()
        self._comm = points.comm

    def read(self) -> None:
        """Read the expression. What changes afterwards belongs to the next evaluation of the law.

        Raises:
            ValueError: On every rank, if a value is not finite.
        """
        self._evaluate(self.trial)
        finite = bool(np.isfinite(self.trial).all())
        if not self._comm.allreduce(finite, op=MPI.LAND):
            raise ValueError("eigenstrain: must be finite at all points; found NaN or infinity.")

    def commit(self) -> None:
        """Take the value that was read last as the start of the next step."""
        np.copyto(self.committed, self.trial)

    def restore(self) -> None:
        """Drop the value that was read last."""
        np.copyto(self.trial, self.committed)

    def work(
        self, stress_old: FloatArray, stress: FloatArray, volumes: FloatArray
    ) -> tuple[float, float]:
        """Work −∫ σ · Δε* dx that its change since the last commit did on the body. Collective.

        Args:
            stress_old: σ at the last commit, shape ``(points, size)``.
            stress: σ now, same shape.
            volumes: Volumes of the points, shape ``(points,)``.

        Returns:
            With the stress at the end of the step, and with the mean of both ends [energy].
        """
        change = (self.trial - self.committed) * volumes[:, None]
        end = self._comm.allreduce(float(np.vdot(stress, change)), op=MPI.SUM)
        start = self._comm.allreduce(float(np.vdot(stress_old, change)), op=MPI.SUM)
        return -end, -0.5 * (end + start)


def _check(eigenstrain: Any, measure: Any, kinematics: Kinematics) -> None:
    if getattr(kinematics, "finite", False):
        raise ValueError(
            "eigenstrain: is subtracted from small strains; the kinematics is of finite strain. "
            "Use finite=False."
        )
    unknowns = functions_of(measure)
    if any(
        _compat.share_values(function, u)
        for function in functions_of(eigenstrain)
        for u in unknowns
    ):
        raise ValueError(
            "eigenstrain: must not depend on the displacement; found an expression of u. Give it "
            "as data."
        )
