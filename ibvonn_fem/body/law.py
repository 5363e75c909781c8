"""A learned law at the quadrature points of a mesh: state, stress and consistent tangent.

One step from (ε_n, α_n) to (ε⁺, α⁺) in every integration direction of every point,

    α⁺ − α_n − Δt ∂φ/∂g(−∂f/∂α(ε⁺, α⁺); ε_n, α_n) = 0,   σ = ∂f/∂ε(ε⁺, α⁺),   C = dσ/dε,

The committed state (index n) is kept apart from the trial state, which Newton's method changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpi4py import MPI

import numpy as np
import ufl

from .. import _compat
from ..errors import StepError
from ..kernels.base import FloatArray
from ..kinematics import Kinematics
from ..model.exported_model import ExportedModel
from ..model.point_reports import RangeReport, check_states
from .argument_checks import check_law, mesh_of, require_one_model, time_step
from .eigenstrain import Eigenstrain
from .element_rank import warn_of_poor_rule
from .expressions import constants_of, functions_of
from .law_microstates import LawMicrostates
from .law_start import checked_statev, equilibrium_of
from .law_state import DisplacementState, LawState
from .point_update import PointUpdate
from .quadrature import QuadraturePoints
from .rank_agreement import on_all_ranks, require_same


class InternalVariableLaw:
    """A law with internal variables, evaluated at the quadrature points of a mesh.

    ``stress`` and ``tangent`` are ordinary quadrature Functions for use in any UFL form; integrate
    them with ``law.dx``. The law starts from the declared equilibrium of its model.

    Args:
        model: From :func:`ibvonn_fem.load_model`.
        kinematics: How strains follow from the displacement, for instance ``Uniaxial()``.
        u: Displacement: a Function, or a part of one (``ufl.split``) [length].
        quadrature_degree: Degree of the rule. For Lagrange elements of order p: 2 (p − 1) on
            intervals, triangles, tetrahedra and pyramids, 2 p on quadrilaterals, hexahedra and
            prisms. A warning names a rule that leaves motions without resistance.
        eigenstrain: Strain that bears no stress, such as αΔT: a UFL expression of the UFL shape of
            the kinematics' measure, at small strain. The law sees the measure without it; its
            Constants and Functions are read at every :meth:`update`.
        subdomain: Cell tags and the tag, or a tuple of tags, of the cells made of this material
            (default: all cells).
        mesh: The mesh, if ``u`` is an expression without Functions.
        name: Used in messages and output (default: the model's name).

    Attributes:
        stress: Stress at the quadrature points, UFL shape of the kinematics' measure.
        tangent: Consistent tangent dσ/dε, UFL shape of the measure twice.
        energy: Free energy per unit reference volume, f(ε⁺, α⁺).
        dissipation: Dissipation of the current step, g⁺·(α⁺ − α_n) ≥ 0.
        deformation: The measure of the displacement without eigenstrain, a UFL expression.
        validity: Largest excursion from the envelope of the training data (of strain, internal
            variables, strain rate and time step) in half widths, 0 inside.
        points: The quadrature points and their arrays.
        dx: The measure to integrate with.
        commits: How often the committed state was replaced.
        revision: How often state or trial state was changed.

    Raises:
        ValueError: If kinematics, mesh, tags and model do not fit together, or the ranks have
            loaded different models.
        TypeError: If an argument is not of its kind, or PETSc is built for complex scalars.
    """

    def __init__(
        self,
        model: ExportedModel,
        kinematics: Kinematics,
        u: Any,
        quadrature_degree: int,
        *,
        eigenstrain: Any = None,
        subdomain: tuple[Any, int | Sequence[int]] | None = None,
        mesh: Any = None,
        name: str | None = None,
    ) -> None:
        _compat.require_real_scalars()
        check_law(model, kinematics)
        self.model = model
        self.kinematics = kinematics
        self.u = u
        self.name = model.manifest.name if name is None else name
        mesh = mesh_of(u, mesh)
        require_one_model(model, mesh.comm)
        kinematics.check(mesh, model.manifest)
        self.points = QuadraturePoints(mesh, quadrature_degree, subdomain)
        warn_of_poor_rule(self.name, u, quadrature_degree, kinematics, mesh.comm)
        self.dx = self.points.dx
        shape = kinematics.shape
        self.stress = self.points.function(shape, f"{self.name}_stress")
        self.tangent = self.points.function(shape + shape, f"{self.name}_tangent")
        self.energy = self.points.function((), f"{self.name}_energy")
        self.dissipation = self.points.function((), f"{self.name}_dissipation")
        self.validity = self.points.function((), f"{self.name}_validity")
        self._rows = {
            name: self.points.rows(getattr(self, name))
            for name in ("stress", "tangent", "energy", "dissipation", "validity")
        }
        self._weight = kinematics.weight(mesh)
        measure = kinematics.measure(u)
        self._eigenstrain: Eigenstrain | None = None
        if eigenstrain is not None:
            self._eigenstrain = Eigenstrain(eigenstrain, measure, kinematics, self.points)
            measure -= self._eigenstrain.expression
        self.deformation = measure
        self._measure_of_u = self.points.evaluator(measure)
        self.volumes = self.points.volumes(self._weight)
        self._state = LawState(
            self.points.size,
            kinematics.direction_count,
            self._measure_of_u.size,
            model.manifest.initial_state.statev,
        )
        self._displacement = DisplacementState(functions_of(u))
        self._microstates = LawMicrostates(self.name, model, kinematics, self._state)
        self._point_update = PointUpdate(
            self.name, model, kinematics, self.points, self._state, self._rows
        )
        self.commits = self.revision = 0
        self._trial = "none"
        self.update(0.0)
        self.commit()

    @property
    def comm(self) -> MPI.Intracomm:
        """Communicator of the mesh."""
        return self.points.comm

    @property
    def worst_residual(self) -> float:
        """Largest scaled residual of the last :meth:`update` on this rank."""
        return self._point_update.worst_residual

    @property
    def internal(self) -> FloatArray:
        """Committed internal variables, shape ``(points, directions, n_α)``; a read-only view."""
        view = self._state.internal
        view.flags.writeable = False
        return view

    @property
    def measure(self) -> FloatArray:
        """Committed measure of deformation without eigenstrain, shape ``(points, size)``.

        A read-only view.
        """
        view = self._state.measure_old.view()
        view.flags.writeable = False
        return view

    @property
    def dissipated(self) -> FloatArray:
        """Dissipation since the start, of committed steps, shape ``(points,)``."""
        return self._state.dissipated

    def update(self, dt: float, measure: FloatArray | None = None) -> None:
        """Evaluate the law at the current ``u`` for a step of length ``dt``; nothing is committed.

        Sets ``stress``, ``tangent``, ``energy``, ``dissipation`` and ``validity``. Collective.

        Args:
            dt: Time increment Δt [time of the model]; 0 is an instantaneous elastic step.
            measure: Values of :attr:`deformation` at the points of this rank, shape
                ``(points, size)``, where another code has evaluated it.

        Raises:
            TypeError: If ``dt`` is no number.
            ValueError: If ``dt`` is negative, above 1e100 or not the same on all ranks, or the
                eigenstrain is not finite.
            LocalSolveError: On every rank, if the update of a point on any rank did not converge.
        """
        require_same(self.comm, self.name, {"dt": dt})
        dt = time_step(self.name, dt)
        self.revision += 1
        self._trial = "failed"
        if self._eigenstrain is not None:
            self._eigenstrain.read()
        self._displacement.read()
        condensed = list(self.kinematics.condensed)
        trial = self._state.measure
        last_iterate = trial[:, condensed]  # the condensed components are no functions of u
        if measure is None:
            self._measure_of_u(trial)
        else:
            np.copyto(trial, measure)
        trial[:, condensed] = last_iterate
        self._point_update(dt)
        self._trial = "new"

    def measure_of_u(self) -> FloatArray:
        """Measure of deformation of the current ``u`` without eigenstrain; changes nothing.

        Returns:
            E(u), shape ``(points, size)``; condensed components are 0.
        """
        return self._measure_of_u()

    def range_report(self) -> RangeReport:
        """Points of all ranks outside the training range at the last :meth:`update`. Collective."""
        return RangeReport.merge(self.comm.allgather(self._point_update.ranges))

    def commit(self) -> None:
        """Accept the trial state: it becomes the start of the next step.

        Raises:
            StepError: If the last :meth:`update` failed, or there was none since the last commit.
        """
        if self._trial == "failed":
            raise StepError(
                f"{self.name}: commit needs an update that converged; the last one failed. Update "
                "again with a shorter step, or restore."
            )
        if self._trial == "committed":
            raise StepError(
                f"{self.name}: commit needs a new trial state; the last one is already committed "
                "and its dissipation would count twice. Call update first."
            )
        self._accept()
        self._trial = "committed"
        self._displacement.commit()
        if self._eigenstrain is not None:
            self._eigenstrain.commit()
        rows = self._rows
        self._state.commit(rows["stress"].get(), rows["energy"].get(), rows["dissipation"].get())

    def restore(self) -> None:
        """Drop the trial state. Committed state, stress and energy are as before, to the bit.

        The tangent is that of the next :meth:`update`; ``u`` belongs to the caller.
        """
        self.revision += 1
        self._trial = "restored"
        self._displacement.restore()
        if self._eigenstrain is not None:
            self._eigenstrain.restore()
        self._state.restore()
        self._rows["stress"].set(self._state.stress_old)
        self._rows["energy"].set(self._state.energy_old)
        self._rows["dissipation"].set(np.zeros(self.points.size))

    def committed(self) -> dict[str, FloatArray]:
        """The committed state by name; these are the law's own arrays, not copies."""
        state = self._state.committed()
        if self._eigenstrain is not None:
            state["eigenstrain"] = self._eigenstrain.committed
        return state

    def set_committed(self, state: Mapping[str, FloatArray]) -> None:
        """Replace the committed state by one of :meth:`committed`, and drop the trial state."""
        for name, values in self.committed().items():
            np.copyto(values, state[name])
        self._accept()
        self.restore()

    def displacement(self, u: Any) -> FloatArray:
        """Values of the Function ``u`` at the last commit; the law's own array, not a copy."""
        return self._displacement.committed(u)

    def constants(self) -> dict[str, Any]:
        """Values of the Constants that the law reads at every :meth:`update`, by name."""
        if self._eigenstrain is None:
            return {}
        return constants_of(f"eigenstrain of {self.name}", self._eigenstrain.expression)

    def _accept(self) -> None:
        self.commits += 1
        self.revision += 1

    def start_from(self, statev: object) -> None:
        """Start at the current ``u`` with these internal variables, in place of the declared ones.

        A problem that exists goes on from there. Collective.

        Args:
            statev: α, shape ``(n_α,)`` for all integration directions, ``(directions, n_α)`` for
                all quadrature points, or ``(points, directions, n_α)``. For an ensemble of
                microstates :func:`ibvonn_fem.model.microstates.encode` gives them.

        Raises:
            ValueError: If the shape does not fit, a value is not finite or a fraction is outside
                its bounds.
        """
        with on_all_ranks(self.comm):
            internal = checked_statev(self.name, statev, self._state.shape)
            check_states(internal.reshape(-1, self.model.internal_size), self.model.manifest)
        self._state.start_from(internal)
        self.update(0.0)
        self.commit()
        self._state.dissipated[:] = 0.0

    def start_at_equilibrium(self) -> None:
        """Start at the current ``u``, every point at the equilibrium of its strain. Collective.

        A problem that exists goes on from there.

        Raises:
            ArithmeticError: If a point has no equilibrium.
        """
        self.start_from(equilibrium_of(self))

    def microstates(
        self,
        point: int,
        n: int,
        direction: int | None = None,
        random: np.random.Generator | None = None,
    ) -> FloatArray:
        """Draw microstates from the decoder at the committed state of a quadrature point.

        Args:
            point: Its index on this rank.
            n: Number of microstates.
            direction: Index of the integration direction, where a point has several.
            random: Source of random numbers (default: a fixed seed).

        Returns:
            Microstates x in the dimensionless measures of the model, shape ``(n, n_x)``.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        random = np.random.default_rng(0) if random is None else random
        return self._microstates.sample(point, direction, n, random)

    def density(self, point: int, x: object, direction: int | None = None) -> FloatArray:
        """Density q(x | ε, α) of the decoder at the committed state of a quadrature point.

        Args:
            point: Its index on this rank.
            x: Microstates, shape ``(n, n_x)``; ``(n,)`` if they have one component.
            direction: Index of the integration direction, where a point has several.

        Returns:
            Density per unit volume of x, shape ``(n,)``.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        return self._microstates.density(point, direction, x)

    def virtual_work(self, v: Any, stress: Any = None) -> Any:
        """∫ σ · δε(v) as a UFL form: internal virtual work in direction ``v``.

        Args:
            v: Virtual displacement.
            stress: σ (default: :attr:`stress`), such as that of
                :func:`~ibvonn_fem.external_stress`.
        """
        stress = self.stress if stress is None else stress
        return ufl.inner(stress, self.kinematics.variation(v)) * self._weight * self.dx

    def stiffness(self, du: Any, v: Any) -> Any:
        """∫ (C δε(du)) · δε(v) as a UFL form: derivative of :meth:`virtual_work`."""
        stress = self.tangent * self.kinematics.variation(du)
        return ufl.inner(stress, self.kinematics.variation(v)) * self._weight * self.dx

    def stored_energy(self) -> float:
        """∫ f dx over all ranks at the last :meth:`update` [energy]."""
        return self._integrate("energy")

    def step_dissipation(self) -> float:
        """∫ g⁺·(α⁺ − α_n) dx over all ranks at the last :meth:`update` [energy]."""
        return self._integrate("dissipation")

    def eigenstrain_work(self) -> tuple[float, float]:
        """Work −∫ σ · Δε* dx that a change of eigenstrain since the last commit did on the body.

        Returns:
            With the stress at the end of the step, and with the mean of both ends [energy].
        """
        if self._eigenstrain is None:
            return 0.0, 0.0
        stress = self._rows["stress"].get()
        return self._eigenstrain.work(self._state.stress_old, stress, self.volumes)

    def _integrate(self, name: str) -> float:
        values = self._rows[name].get()[:, 0]
        return float(self.comm.allreduce(float(values @ self.volumes), op=MPI.SUM))
