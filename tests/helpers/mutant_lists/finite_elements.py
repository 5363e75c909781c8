"""Kernels, kinematics, bodies, time stepping and files of ``ibvonn_fem``: wrong lines."""

from __future__ import annotations

from .mutant import Mutant

KERNEL = ("tests/fem/test_c_kernel.py",)
C_POPULATIONS = ("tests/fem/test_c_kernel_populations.py",)
STRETCH = ("tests/fem/test_direction_stretch.py",)
ELLIPTICITY = ("tests/fem/test_ellipticity.py",)
DERIVATIVES = "tests/fem/test_update_derivatives.py"
GRADIENT = ("tests/fem/test_parameter_gradient.py::test_gradient_is_that_of_differences",)

MUTANTS = (
    Mutant(
        "derivative of a step with rates that do not follow its start",
        "ibvonn_fem/kernels/c/law_derivatives.h",
        "row[states + c] += dt * flow * t->pair[k * d + c];",
        "row[states + c] += 0.0 * flow * t->pair[k * d + c];",
        (f"{DERIVATIVES}::test_populations_of_any_number_of_states_and_means",),
    ),
    Mutant(
        "derivative of a step with a table of rates that is constant",
        "ibvonn_fem/kernels/c/law_derivatives.h",
        "if (m->n_table) table_slope(m, drive, m->barrier[k], &rise);",
        "if (m->n_table < 0) table_slope(m, drive, m->barrier[k], &rise);",
        (f"{DERIVATIVES}::test_derivatives_are_those_of_the_step",),
    ),
    Mutant(
        "derivative of a mobility whose diagonal is no exponential",
        "ibvonn_fem/kernels/c/law_derivatives.h",
        "for (int c = 1; c < r; c++) entry[c] *= entry[0];",
        "for (int c = 1; c < r; c++) entry[c] *= 1.0;",
        (f"{DERIVATIVES}::test_derivatives_are_those_of_the_step",),
    ),
    Mutant(
        "adjoint of a step that forgets the rates of later ones",
        "ibvonn_fem/sensitivity/point_adjoint.py",
        "self._pull = self._by_measure + ",
        "self._pull = 0.0 * self._by_measure + ",
        GRADIENT,
    ),
    Mutant(
        "adjoint without the state at the start of a step",
        "ibvonn_fem/sensitivity/point_adjoint.py",
        "self._by_state = back(parts.by_statev)",
        "self._by_state = 0.0 * back(parts.by_statev)",
        GRADIENT,
    ),
    Mutant(
        "points of a cloud in the order of the ranks",
        "ibvonn_fem/stepping/quadrature_cloud.py",
        'order = np.argsort(np.concatenate([part["point"] for part in parts]))',
        'order = np.arange(sum(len(part["point"]) for part in parts))',
        ("tests/fem/test_point_cloud.py::test_the_cloud_holds_the_values_of_all_points",),
    ),
    Mutant(
        "true stretches without the geometric part of the tangent",
        "ibvonn_fem/kinematics/stretch_map.py",
        "np.subtract(material.reshape(geometric.shape), geometric, out=tangent)",
        "tangent[...] = material.reshape(geometric.shape)",
        STRETCH,
    ),
    Mutant(
        "true stretches whose forces keep their length as the bonds grow",
        "ibvonn_fem/kinematics/stretch_map.py",
        "tension = (update.stress @ self._inverse) / stretch  # s_a/λ_a",
        "tension = update.stress @ self._inverse",
        STRETCH,
    ),
    Mutant(
        "true stretches of the second order in the strain",
        "ibvonn_fem/kinematics/stretch_map.py",
        "elongation = self.lengths * square / (1.0 + np.sqrt(1.0 + square))",
        "elongation = self.lengths * square / (2.0 + 0.5 * square)",
        STRETCH,
    ),
    Mutant(
        "an acoustic tensor with its directions on the wrong indices",
        "ibvonn_fem/kinematics/ellipticity.py",
        '"iJkL,mJ,mL->mik"',
        '"iJkL,mi,mk->mJL"',
        ELLIPTICITY,
    ),
    Mutant(
        "rates of populations in C without the slope of their saturation",
        "ibvonn_fem/kernels/c/law_populations.h",
        "*rise = before - above;",
        "*rise = splat(0.0);",
        C_POPULATIONS,
    ),
    Mutant(
        "energy inequality of populations in C without the mixing entropy at the start",
        "ibvonn_fem/kernels/c/law_population_step.h",
        "*start += entropy;",
        "",
        C_POPULATIONS,
    ),
    Mutant(
        "state of populations beyond its bounds is taken in C",
        "ibvonn_fem/kernels/c/law_population_step.h",
        "valid &= at_most(splat(-LAW_ROUND_OFF), least);",
        "",
        C_POPULATIONS,
    ),
    Mutant(
        "C kernel: relaxation added to the tangent",
        "ibvonn_fem/kernels/c/law.c",
        "h[c * d + b] - 0.5 * sum",
        "h[c * d + b] + 0.5 * sum",
        KERNEL,
    ),
    Mutant(
        "C kernel: dissipation potential at the new strain",
        "ibvonn_fem/kernels/c/law.c",
        "gather(io->strain_old, begin, count, ne, w->old, ne);",
        "gather(io->strain, begin, count, ne, w->old, ne);",
        KERNEL,
    ),
    Mutant(
        "finite strain: no geometric stiffness",
        "ibvonn_fem/kinematics/green_lagrange.py",
        "np.matmul(stress, self._quadratic, out=stiffness)",
        "np.matmul(0.0 * stress, self._quadratic, out=stiffness)",
        ("tests/fem/test_kinematics.py", "tests/fem/test_microsphere.py"),
    ),
    Mutant(
        "microsphere: directions on the equator counted twice",
        "ibvonn_fem/directions.py",
        "half = (z > 0.0) |",
        "half = (z >= 0.0) |",
        ("tests/fem/test_direction_rules.py",),
    ),
    Mutant(
        "microsphere: stiffness of a direction with the stress added",
        "ibvonn_fem/kinematics/strain_maps.py",
        "c = (c - s) / square",
        "c = (c + s) / square",
        ("tests/fem/test_kinematics.py", "tests/fem/test_microsphere.py"),
    ),
    Mutant(
        "residual: external force added",
        "ibvonn_fem/body/force_balance.py",
        "b.axpy(-1.0, self.external_force.x.petsc_vec)",
        "b.axpy(1.0, self.external_force.x.petsc_vec)",
        ("tests/fem/test_patch.py", "tests/fem/test_zener_bar.py"),
    ),
    Mutant(
        "slip that forgets how the medium moved",
        "ibvonn_fem/body/problem_state.py",
        "return slip - self.carried() if self._moved else slip",
        "return slip",
        ("tests/fem/test_moving_medium.py",),
    ),
    Mutant(
        "energy balance without the work of the medium",
        "ibvonn_fem/body/problem.py",
        "carried = -self.drag.work(committed.carried())",
        "carried = 0.0",
        ("tests/fem/test_moving_medium.py",),
    ),
    Mutant(
        "tangent: drag without 1/Δt",
        "ibvonn_fem/body/drag.py",
        "self._free(self.diagonal) / dt",
        "self._free(self.diagonal)",
        ("tests/fem/test_drag.py",),
    ),
    Mutant(
        "energy balance: trapezoidal work with the new force alone",
        "ibvonn_fem/body/energy_balance.py",
        "0.5 * (external + external_old) @ increment",
        "external @ increment",
        ("tests/fem/test_energy.py",),
    ),
    Mutant(
        "self-check at load without the rates",
        "ibvonn_fem/model/runtime_agreement.py",
        'differences.append(Difference("rates", name, error, excess))',
        'differences.append(Difference("rates", name, 0.0, 0.0))',
        ("tests/contract/test_trust.py::test_the_self_check_compares_the_law_in_continuous_time",),
    ),
    Mutant(
        "self-check at load: NaN agrees",
        "ibvonn_fem/model/runtime_agreement.py",
        "np.where(np.isnan(error), np.inf, error)",
        "np.where(np.isnan(error), 0.0, error)",
        ("tests/contract/test_trust.py::test_a_value_that_is_no_number_agrees_with_nothing",),
    ),
    Mutant(
        "check at load: declared energy not compared",
        "ibvonn_fem/model/runtime_agreement.py",
        "_ratio(rates.energy[0] - initial.energy, scale.energy)",
        "_ratio(0.0 * rates.energy[0], scale.energy)",
        (
            "tests/contract/test_trust.py::test_each_declared_value_of_the_initial_state_is_compared",
        ),
    ),
    Mutant(
        "restored law keeps the measure of the trial state",
        "ibvonn_fem/body/law_state.py",
        "np.copyto(self.measure, self.measure_old)",
        "pass",
        (
            "tests/fem/test_committed_state.py::test_a_restored_law_has_its_committed_measure_and_energy",
        ),
    ),
    Mutant(
        "restored law keeps the energy of the trial state",
        "ibvonn_fem/body/law.py",
        'self._rows["energy"].set(self._state.energy_old)',
        "pass",
        (
            "tests/fem/test_committed_state.py::test_a_restored_law_has_its_committed_measure_and_energy",
        ),
    ),
    Mutant(
        "eigenstrain: sign of the trapezoidal work",
        "ibvonn_fem/body/eigenstrain.py",
        "return -end, -0.5 * (end + start)",
        "return -end, 0.5 * (end + start)",
        (
            "tests/fem/test_eigenstrain_and_robin.py::test_trapezoidal_work_of_an_elastic_swelling_is_exactly_stored",
        ),
    ),
    Mutant(
        "eigenstrain: trapezoidal work with the new stress alone",
        "ibvonn_fem/body/energy_balance.py",
        "works[:3] += eigen[[0, 1, 0]]",
        "works[:3] += eigen[[0, 0, 0]]",
        (
            "tests/fem/test_eigenstrain_and_robin.py::test_trapezoidal_work_of_an_elastic_swelling_is_exactly_stored",
        ),
    ),
    Mutant(
        "energy balance: trapezoidal remainder without drag",
        "ibvonn_fem/body/energy_balance.py",
        "spent = self.stored + self.dissipated + self.dragged",
        "spent = self.stored + self.dissipated",
        (
            "tests/fem/test_adaptive_steps.py::test_work_dissipated_by_drag_closes_the_energy_balance",
        ),
    ),
    Mutant(
        "step control: energy handled without drag",
        "ibvonn_fem/stepping/step_control.py",
        "balance.dissipated + balance.dragged",
        "balance.dissipated",
        (
            "tests/fem/test_adaptive_steps.py::test_energy_handled_is_the_stored_plus_the_dissipated_energy",
        ),
    ),
    Mutant(
        "step control: next step without the square root",
        "ibvonn_fem/stepping/step_control.py",
        "SAFETY * math.sqrt(allowed / max(abs(balance.numerical), ROUND_OFF * allowed))",
        "SAFETY * (allowed / max(abs(balance.numerical), ROUND_OFF * allowed))",
        (
            "tests/fem/test_adaptive_steps.py::test_next_step_follows_the_root_of_the_numerical_dissipation",
        ),
    ),
    Mutant(
        "scaled law: range of rates multiplied by the time scale",
        "ibvonn_fem/model/scaling.py",
        "envelope.strain_rate * strain / time",
        "envelope.strain_rate * strain * time",
        ("tests/fem/test_scaling.py",),
    ),
    Mutant(
        "scaled law: driving force not scaled",
        "ibvonn_fem/model/scaling.py",
        "rates.driving_force * energy",
        "rates.driving_force",
        ("tests/fem/test_scaling.py",),
    ),
    Mutant(
        "plane law in other codes: shear from the place of zz",
        "ibvonn_fem/emit_c/hosts/solid.c",
        "place[] = {0, 1, 3};",
        "place[] = {0, 1, 2};",
        ("tests/fem/test_emit_c_tensors.py::test_umat_is_the_kernel_in_the_order_of_the_host",),
    ),
    Mutant(
        "UMAT: tangent row by row",
        "ibvonn_fem/emit_c/hosts/umat.c",
        "ddsdde[i + n * j] = c[a * size + b]",
        "ddsdde[i * n + j] = c[a * size + b]",
        (
            "tests/fem/test_emit_c_tensors.py::test_ddsdde_is_the_derivative_also_where_it_is_not_symmetric",
        ),
    ),
    Mutant(
        "UMAT: plane law in bricks without stiffness across",
        "ibvonn_fem/emit_c/hosts/umat.c",
        "i == j && kind == LAW_THICK_SHEET ? c[0] : 0.0",
        "0.0",
        ("tests/fem/test_emit_c_tensors.py::test_umat_is_the_kernel_in_the_order_of_the_host",),
    ),
    Mutant(
        "plane stress in other codes: tangent taken as symmetric",
        "ibvonn_fem/emit_c/hosts/solid.c",
        "row[i] = a->tangent[2 * 4 + i];",
        "row[i] = a->tangent[i * 4 + 2];",
        (
            "tests/fem/test_emit_c_tensors.py::test_ddsdde_is_the_derivative_also_where_it_is_not_symmetric",
        ),
    ),
    Mutant(
        "batch of solids: time scale left out",
        "ibvonn_fem/emit_c/hosts/solid.c",
        "steps[p] = dt[begin + p] / time;",
        "steps[p] = dt[begin + p];",
        ("tests/fem/test_emit_c_tensors.py::test_a_batch_of_solids_is_its_points",),
    ),
    Mutant(
        "small strain: volumetric energy without the half",
        "ibvonn_fem/kinematics/volume_change.py",
        "0.5 * self._volumetric.bulk *",
        "self._volumetric.bulk *",
        (
            "tests/fem/test_kinematics.py::test_the_volumetric_stress_is_the_derivative_of_its_energy",
        ),
    ),
)
