"""A learned law at the quadrature points of a mesh: state, stress and consistent tangent.

One step from (ε_n, α_n) to (ε⁺, α⁺) at every law point,

    α⁺ − α_n − Δt ∂φ/∂g(−∂f/∂α(ε⁺, α⁺); ε_n, α_n) = 0,   σ = ∂f/∂ε(ε⁺, α⁺),   C = dσ/dε,

with the committed state (index n) apart from the trial state that Newton's method iterates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from mpi4py import MPI

import numpy as np
import ufl

from .. import _compat
from ..errors import LocalSolveError, StepError
from ..kernels.base import FloatArray
from ..kinematics import Kinematics
from ..kinematics.evaluation import Evaluation, block_size
from ..model.exported_model import ExportedModel
from ..model.microstates import Decoder, equilibrium_state
from ..model.point_reports import FailureReport, RangeReport, find_excursions, find_failures
from .argument_checks import check_law, mesh_of, require_one_model, time_step
from .eigenstrain import Eigenstrain
from .element_rank import warn_of_poor_rule
from .expressions import constants_of, functions_of
from .law_state import LawState
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
            prisms. A rule that leaves motions without force is warned of.
        eigenstrain: Strain that bears no stress, such as αΔT: a UFL expression of the UFL shape of
            the kinematics' measure, at small strain. The law sees the measure without it; its
            Constants and Functions are read at every :meth:`update`.
        subdomain: Cell tags and the tag, or a tuple of tags, of the cells made of this material
            (default: all cells).
        mesh: Only needed where it cannot be found from ``u``.
        name: Used in messages and output (default: the model's name).

    Attributes:
        stress: Stress at the quadrature points, UFL shape of the kinematics' measure.
        tangent: Consistent tangent dσ/dε, UFL shape of the measure twice.
        energy: Free energy per unit reference volume, f(ε⁺, α⁺).
        dissipation: Dissipation of the current step, g⁺·(α⁺ − α_n) ≥ 0.
        validity: Largest excursion from the training range (of strain, internal variables, strain
            rate and time step) in half widths, 0 inside.
        worst_residual: Largest scaled residual of the last :meth:`update` on this rank.
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
        self._measure_of_u = self.points.evaluator(measure)
        self.volumes = self.points.volumes(self._weight)
        law_points = kinematics.law_points
        measure_size = self._measure_of_u.size
        self._state = LawState(
            self.points.size, law_points, measure_size, model.manifest.initial_state.statev
        )
        block = max(1, min(block_size(law_points), self.points.size))
        self._evaluation = Evaluation(model, kinematics, measure_size, block)
        self._range = RangeReport(0, self.points.size * law_points)
        self._unknowns = [
            (each, each.x.array.copy(), each.x.array.copy()) for each in functions_of(u)
        ]
        self.commits = self.revision = 0
        self._trial = "none"
        self.update(0.0)
        self.commit()

    @property
    def comm(self) -> MPI.Intracomm:
        """Communicator of the mesh."""
        return self.points.comm

    @property
    def internal(self) -> FloatArray:
        """Committed internal variables, shape ``(points, law_points, n_α)``; a read-only view."""
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

    def update(self, dt: float) -> None:
        """Evaluate the law at the current ``u`` for a step of length ``dt``; nothing is committed.

        Sets ``stress``, ``tangent``, ``energy``, ``dissipation`` and ``validity``. Collective.

        Args:
            dt: Time increment Δt [time of the model]; 0 is an instantaneous elastic step.

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
        for function, trial, _ in self._unknowns:
            np.copyto(trial, function.x.array)
        condensed = list(self.kinematics.condensed)
        measure = self._state.measure
        held = measure[:, condensed]  # not functions of u: they go on from the last iterate
        self._measure_of_u(measure)
        measure[:, condensed] = held
        failures, ranges = [], []
        self.worst_residual = 0.0
        for start in range(0, self.points.size, self._evaluation.block):
            stop = min(start + self._evaluation.block, self.points.size)
            failed, outside = self._update_block(start, stop, dt)
            failures.append(failed)
            ranges.append(outside)
        self._range = RangeReport.merge(ranges)
        self._agree_on_failures(FailureReport.merge(failures), dt)
        self._trial = "new"

    def _update_block(self, start: int, stop: int, dt: float) -> tuple[FailureReport, RangeReport]:
        law_points, state = self.kinematics.law_points, self._state
        rows = slice(start * law_points, stop * law_points)
        result = self._evaluation(
            state.measure[start:stop],
            state.measure_old[start:stop],
            state.statev_old[rows],
            dt,
            guess=state.statev[rows],
        )
        manifest = self.model.manifest
        self.worst_residual = max(self.worst_residual, float(result.law.residual.max(initial=0.0)))
        failures = find_failures(result.law, result.strain, manifest.residual_tolerance, rows.start)
        np.copyto(state.statev[rows], result.law.statev_new)
        if failures.failed:  # a bad value must not become the next first iterate
            np.copyto(state.statev[rows], state.statev_old[rows])
            np.copyto(state.measure[start:stop], state.measure_old[start:stop])
        self._rows["stress"].set(result.stress, start, stop)
        self._rows["tangent"].set(result.tangent, start, stop)
        self._rows["energy"].set(result.energy, start, stop)
        self._rows["dissipation"].set(result.dissipation, start, stop)
        self._rows["validity"].set(result.validity, start, stop)
        return failures, find_excursions(result.law, result.strain, result.strain_old, dt, manifest)

    def _agree_on_failures(self, failures: FailureReport, dt: float) -> None:
        """Raise on every rank or on none."""
        if self.comm.allreduce(failures.failed, op=MPI.SUM) == 0:
            return
        if failures.failed:
            point = failures.worst // self.kinematics.law_points
            failures = replace(failures, place=f" near {self.points.place(point)}")
        error = FailureReport.merge(self.comm.allgather(failures)).error(
            self.model.manifest.residual_tolerance, dt
        )
        raise LocalSolveError(
            f"{self.name}: {error}",
            failed=error.failed,
            total=error.total,
            residual=error.residual,
        )

    def range_report(self) -> RangeReport:
        """Points outside the training range at the last :meth:`update`, of all ranks."""
        return RangeReport.merge(self.comm.allgather(self._range))

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
                f"{self.name}: commit needs a new trial state; the last one is committed already "
                "and its dissipation would count twice. Call update first."
            )
        self._accept()
        self._trial = "committed"
        for _, trial, committed in self._unknowns:
            np.copyto(committed, trial)
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
        for _, trial, committed in self._unknowns:
            np.copyto(trial, committed)
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
        return next(
            committed
            for function, _, committed in self._unknowns
            if _compat.share_values(function, u)
        )

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
            statev: α, shape ``(n_α,)`` for all law points, ``(law_points, n_α)`` for all quadrature
                points, or ``(points, law_points, n_α)``; those of an ensemble of microstates are
                given by :func:`ibvonn_fem.model.microstates.encode`.

        Raises:
            ValueError: If the shape does not fit or a value is not finite.
        """
        with on_all_ranks(self.comm):
            given = self._given_state(statev)
        self._state.start_from(given)
        self.update(0.0)
        self.commit()
        self._state.dissipated[:] = 0.0

    def start_at_equilibrium(self) -> None:
        """Start at the current ``u``, every law point at the equilibrium of its strain. Collective.

        A problem that exists goes on from there.

        Raises:
            ArithmeticError: If a point has no equilibrium.
        """
        if self.kinematics.condensed:
            self._relax()
            return
        self._measure_of_u(self._state.measure)
        strain = self._strains(self._state.measure)
        with on_all_ranks(self.comm):
            statev = equilibrium_state(self.model, strain)
        self.start_from(statev.reshape(self._state.shape))

    def _given_state(self, statev: object) -> FloatArray:
        shape = self._state.shape
        try:
            given = np.asarray(statev)
            if given.dtype.kind not in "fiu":
                raise TypeError
        except (TypeError, ValueError):
            raise TypeError(
                f"{self.name}: statev must be an array of real numbers; found "
                f"{type(statev).__name__}."
            ) from None
        if given.shape not in (shape, shape[1:], shape[2:]) or not np.isfinite(given).all():
            raise ValueError(
                f"{self.name}: statev must be finite, of shape {shape[2:]}, {shape[1:]} or "
                f"{shape}; found shape {given.shape}."
            )
        return given.astype(np.float64)

    def _relax(self) -> None:
        """Steps at held u, tenfold longer each, until no internal variable on any rank moves.

        Strains that the kinematics finds from zero stress follow on the way.
        """
        manifest = self.model.manifest
        dt = float(manifest.envelope.time_step[1]) or 1.0
        for _ in range(40):
            before = self.internal.copy()
            self.update(dt)
            self.commit()
            bound = 1e-12 * (manifest.internal_scale + np.abs(before))
            still = bool((np.abs(self.internal - before) <= bound).all())
            if self.comm.allreduce(still, op=MPI.LAND):
                self.start_from(self.internal.copy())
                return
            dt = min(10.0 * dt, 1e12)
        raise ArithmeticError(
            f"{self.name}: the body has no equilibrium at its held displacement, internal "
            f"variables still move after a step of {dt:.3g}. Stay within the range "
            "of the training data."
        )

    def _strains(self, measure: FloatArray) -> FloatArray:
        """Strains of the law points of some quadrature points, shape ``(n * law_points, n_ε)``."""
        strain = np.empty((len(measure) * self.kinematics.law_points, self.model.strain_size))
        self.kinematics.strains(measure, strain)
        strain += self.model.manifest.initial_state.strain
        return strain

    def microstates(
        self,
        point: int,
        n: int,
        direction: int | None = None,
        random: np.random.Generator | None = None,
    ) -> FloatArray:
        """Draw microstates from the flow at the committed state of a quadrature point.

        Args:
            point: Its index on this rank.
            n: How many.
            direction: Index of the law point, where there are several at a quadrature point.
            random: Source of random numbers (default: a fixed seed).

        Returns:
            Microstates x in the dimensionless measures of the model, shape ``(n, n_x)``.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        strain, statev = self._law_point(point, direction)
        random = np.random.default_rng(0) if random is None else random
        return np.asarray(self._decoder.sample(strain, statev, n, random)[0])

    def density(self, point: int, x: object, direction: int | None = None) -> FloatArray:
        """Density q(x | ε, α) of the flow at the committed state of a quadrature point.

        Args:
            point: Its index on this rank.
            x: Microstates, shape ``(n, n_x)``; ``(n,)`` if they have one component.
            direction: Index of the law point, where there are several at a quadrature point.

        Returns:
            Density per unit volume of x, shape ``(n,)``.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        strain, statev = self._law_point(point, direction)
        given = np.asarray(x, dtype=np.float64).reshape(1, -1, self._decoder.size)
        return np.asarray(np.exp(self._decoder.log_density(strain, statev, given)[0]))

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.model)

    def _law_point(self, point: int, direction: int | None) -> tuple[FloatArray, FloatArray]:
        """Committed ε and α of one law point, each with one row."""
        law_points = self.kinematics.law_points
        if not 0 <= point < self.points.size:
            raise IndexError(
                f"{self.name}: point must be one of the {self.points.size} of this rank; "
                f"found {point}."
            )
        if (direction is None and law_points > 1) or not 0 <= (direction or 0) < law_points:
            raise IndexError(
                f"{self.name}: direction must be one of {law_points} (0 to {law_points - 1}); "
                f"found {direction}."
            )
        k = direction or 0
        strain = self._strains(self._state.measure_old[point : point + 1])[k : k + 1]
        return strain, self.internal[point, k : k + 1]

    def virtual_work(self, v: Any) -> Any:
        """∫ σ · δε(v) as a UFL form: internal virtual work in direction ``v``."""
        return ufl.inner(self.stress, self.kinematics.variation(v)) * self._weight * self.dx

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
