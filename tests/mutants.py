"""Mutants of the physics: each must be killed by the default tests.

`python tests/mutants.py [NAME ...]` changes one line in a temporary copy of the tree, runs the
tests that should notice there, and prints a table. Exit status 1 if a mutant survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Attributes:
        name: What is wrong.
        file: Relative to the root.
        old, new: Text, and what stands in its place; ``old`` occurs once in the file.
        tests: Arguments of pytest.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


SIMULATION = ("tests/train/test_simulation.py", "tests/train/test_simulation_random.py")
CHAIN = ("tests/train/test_simulation_chain.py",)
POPULATIONS = ("tests/train/test_population_potentials.py",)
KERNEL = ("tests/fem/test_c_kernel.py",)
EQUILIBRIUM = ("tests/train/test_equilibrium.py",)
AUDITS = ("tests/train/test_audits.py",)
EVALUATION = ("tests/train/test_evaluation.py",)
POPULATION_UPDATE = ("tests/contract/test_population_update.py",)
PROTOCOLS = ("tests/train/test_simulation_protocols.py",)

C_POPULATIONS = ("tests/fem/test_c_kernel_populations.py",)

STRETCH = ("tests/fem/test_direction_stretch.py",)
ELLIPTICITY = ("tests/fem/test_ellipticity.py",)
TRUE_LENGTHS = ("tests/train/test_periodic_lattice.py",)
PATHS = ("tests/train/test_compiled_paths.py",)
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
        "adjoint of the Hessian without the third derivative of the layers",
        "ibvonn_train/rollouts/path_adjoint.h",
        "s->slope1[k] = slope + total * p->back1[k] * (1.0 - 2.0 * p->u1[k]);",
        "s->slope1[k] = slope;",
        PATHS,
    ),
    Mutant(
        "adjoint of complex systems with the conjugate residue",
        "ibvonn_train/rollouts/relaxed_path.c",
        "r_bar[i] += 2.0 * (pole[2] * y[i] - pole[3] * y[n + i]);",
        "r_bar[i] += 2.0 * (pole[2] * y[i] + pole[3] * y[n + i]);",
        PATHS,
    ),
    Mutant(
        "compiled jumps whose saturation is not symmetric",
        "ibvonn_train/rollouts/path_law.h",
        "softplus(-half - w[BARRIER][q], &p->under[q]);",
        "softplus(half - w[BARRIER][q], &p->under[q]);",
        PATHS,
    ),
    Mutant(
        "compiled steps with the strain at their beginning",
        "ibvonn_train/rollouts/material_point.py",
        "parts = (torch.arange(substeps, dtype=strain.dtype) + 0.5) / substeps",
        "parts = torch.arange(substeps, dtype=strain.dtype) / substeps",
        PATHS,
    ),
    Mutant(
        "fast states that an audit follows by explicit steps alone",
        "ibvonn_train/audits/one_step.py",
        "or _settled(relaxed, 1) or relaxed(2**HALVINGS)",
        "or integrated(data.stride * 2**HALVINGS)",
        AUDITS,
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
        "bonds of true length that pull along their directions at rest, in C",
        "ibvonn_train/simulation/lattice_steps.h",
        "pull[d * LANES + i] += span[d * LANES + i] * share[i];",
        "pull[d * LANES + i] += affine[d] * share[i];",
        TRUE_LENGTHS,
    ),
    Mutant(
        "the stress of true lengths conjugate to another strain",
        "ibvonn_train/simulation/systems/lattice_stretch.py",
        "stretch[..., :, None] * basis",
        "1.0 * basis",
        TRUE_LENGTHS,
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
        "population flows with the wrong sign of the force",
        "ibvonn_train/export/graphs/population_kinetics.py",
        "torch.exp(log_rates + y), torch.exp(log_rates - y)",
        "torch.exp(log_rates - y), torch.exp(log_rates + y)",
        POPULATION_UPDATE,
    ),
    Mutant(
        "elimination of a state without what flows through it",
        "ibvonn_train/export/graphs/elimination.py",
        "flow[i, j] = flow[i, j].plus(share.times(flow[k, j]))",
        "pass",
        POPULATION_UPDATE,
    ),
    Mutant(
        "population tangent with the stiffness at fixed fractions",
        "ibvonn_train/export/graphs/population_update.py",
        "tangent = hessian[:, :m, :m] - torch.matmul(hessian[:, :m, m:], moved)",
        "tangent = hessian[:, :m, :m] - 0.0 * torch.matmul(hessian[:, :m, m:], moved)",
        POPULATION_UPDATE,
    ),
    Mutant(
        "state beyond its bounds is taken",
        "ibvonn_train/export/graphs/population_update.py",
        "outside = torch.where(missing <= ROUND_OFF, torch.zeros_like(dt), 1.0)",
        "outside = torch.where(missing <= 10.0, torch.zeros_like(dt), 1.0)",
        POPULATION_UPDATE,
    ),
    Mutant(
        "noise amplitude without friction",
        "ibvonn_train/simulation/langevin.py",
        "noise_factor * math.sqrt(variance / drag)",
        "noise_factor * math.sqrt(variance)",
        SIMULATION + CHAIN,
    ),
    Mutant(
        "noise of a step taken once and not again",
        "ibvonn_train/simulation/langevin.py",
        "return self._noise.add_(self._fill(self._next), alpha=0.5)",
        "return self._noise.add_(self._fill(torch.empty_like(self._next)), alpha=0.5)",
        ("tests/train/test_chain_cell.py::test_one_well_is_at_the_temperature_of_the_bath",),
    ),
    Mutant(
        "cells dragged by a medium at rest",
        "ibvonn_train/simulation/langevin_steps.h",
        "const REAL stretch = (REAL)(control[held ? 0 : step] * c->length);",
        "const REAL stretch = (REAL)(control[0] * c->length);",
        ("tests/train/test_chain_cell.py",),
    ),
    Mutant(
        "all degrees with one drag",
        "ibvonn_train/simulation/langevin.py",
        "x.add_(force * (time_step / drag))",
        "x.add_(force * (time_step / system.friction))",
        ("tests/train/test_strain_paths.py",),
    ),
    Mutant(
        "joint counts with the drift of the mean",
        "ibvonn_train/simulation/histogram_store.py",
        "both - means[0].T @ means[1]",
        "both - 0.0 * means[0].T @ means[1]",
        ("tests/train/test_histograms.py",),
    ),
    Mutant(
        "springs of a cell taken for independent replicas",
        "ibvonn_train/simulation/histogram_store.py",
        ".var(1, ddof=1)",
        ".var(1, ddof=1) / per_replica",
        ("tests/train/test_histograms.py",),
    ),
    Mutant(
        "stress of format 1 taken for the strain",
        "ibvonn_train/data/format_1.py",
        'for name in ("control", "control_rate", "force")',
        'for name in ("force", "control_rate", "control")',
        ("tests/train/test_data.py",),
    ),
    Mutant(
        "noise amplitude without the 2 (compiled)",
        "ibvonn_train/simulation/compiled_chains.py",
        "2 * self.thermal_energy * steps.time_step / self.friction",
        "self.thermal_energy * steps.time_step / self.friction",
        SIMULATION + CHAIN,
    ),
    Mutant(
        "control of the end of the step",
        "ibvonn_train/simulation/langevin.py",
        "integrator.step(control[:, index], plan.time_step)",
        "integrator.step(control[:, index + 1], plan.time_step)",
        SIMULATION + CHAIN,
    ),
    Mutant(
        "force of the last spring but one",
        "ibvonn_train/simulation/systems/spring_chain.py",
        "return self.site_force(x, control)[:, -1] + self.friction",
        "return self.site_force(x, control)[:, -2] + self.friction",
        CHAIN,
    ),
    Mutant(
        "mixing entropy missing in the curvature of f",
        "ibvonn_train/law/population_potentials.py",
        "return hessian + nn.functional.pad(mixing, (m, 0, m, 0))",
        "return hessian",
        POPULATIONS,
    ),
    Mutant(
        "jumps: prefactor of the first state alone",
        "ibvonn_train/law/population_potentials.py",
        "* torch.sqrt(first * second)",
        "* torch.sqrt(first * first)",
        POPULATIONS,
    ),
    Mutant(
        "fractions beyond their bounds go on in implicit steps",
        "ibvonn_train/law/population_potentials.py",
        "-> Linearised:\n            internal = self.admissible(internal)\n",
        "-> Linearised:\n",
        POPULATIONS,
    ),
    Mutant(
        "fractions beyond their bounds go on in implicit steps under a given strain",
        "ibvonn_train/law/population_potentials.py",
        "-> Relaxation:\n            internal = self.admissible(internal)\n",
        "-> Relaxation:\n",
        POPULATIONS,
    ),
    Mutant(
        "protocols in turn: the end of one moves as that of another",
        "ibvonn_train/rollouts/drives.py",
        "end_velocity=torch.cat([velocity, last], 1)[case],",
        "end_velocity=torch.cat([velocity, last], 1).repeat(2, 1)[: len(case)],",
        ("tests/train/test_vector_strain.py",),
    ),
    Mutant(
        "polish in turn: the measured values of other protocols",
        "ibvonn_train/training/polish_drive.py",
        "batch.turns == number",
        "batch.turns != number",
        ("tests/train/test_training.py",),
    ),
    Mutant(
        "concave beyond what the mixing entropy covers",
        "ibvonn_train/law/smooth_energy.py",
        "LARGEST_CONCAVITY = 0.95",
        "LARGEST_CONCAVITY = 1.2",
        POPULATIONS,
    ),
    Mutant(
        "classes of one orbit with scales of their own",
        "ibvonn_train/law/class_features.py",
        "averaged(self.basis.abs() @ self.strain_scale, self.orbits)",
        "(self.basis.abs() @ self.strain_scale)",
        POPULATIONS,
    ),
    Mutant(
        "slow features: the motion of the mean counts as memory",
        "ibvonn_train/training/slow_features.py",
        "total = replicas * pairs.reshape(cells, cells) - before.T @ after",
        "total = replicas * pairs.reshape(cells, cells)",
        ("tests/train/test_slow_features.py",),
    ),
    Mutant(
        "resumed stage begins with the law where it was cut",
        "ibvonn_train/training/trainer.py",
        "law.load_state_dict(start.before)",
        "law.load_state_dict(there)",
        ("tests/train/test_training.py",),
    ),
    Mutant(
        "Hessian of f scaled once",
        "ibvonn_train/law/free_energy.py",
        "scale * hessian * scale.unsqueeze(-1)",
        "scale * hessian",
        ("tests/train/test_potentials.py",),
    ),
    Mutant(
        "mobility: time scale on the wrong side",
        "ibvonn_train/law/dissipation.py",
        "scale = self.energy_scale * self.time_scale",
        "scale = self.energy_scale / self.time_scale",
        ("tests/train/test_potentials.py",),
    ),
    Mutant(
        "thermal energy not per reference length",
        "ibvonn_train/statistical_mechanics/microscopic_energy.py",
        "return Physics(energy, thermal / volume,",
        "return Physics(energy, thermal,",
        ("tests/train/test_audits_chain.py",),
    ),
    Mutant(
        "exported zero: sign of the strain",
        "ibvonn_train/export/trained_parameters.py",
        "shift=np.concatenate([-centre / scale, np.zeros(size)])",
        "shift=np.concatenate([centre / scale, np.zeros(size)])",
        ("tests/train/test_training.py",),
    ),
    Mutant(
        "export: ridge amplitudes without the time scale",
        "ibvonn_train/export/folding.py",
        "last_bias[len(rows) :] += math.log(energy_scale / time_scale)",
        "last_bias[len(rows) :] += math.log(energy_scale)",
        ("tests/contract/test_law_parameters.py", "tests/contract/test_export.py"),
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
        ("tests/fem/test_microsphere.py",),
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
        "inner coordinates of a body with the drag of its nodes",
        "ibvonn_train/simulation/compiled_bodies.py",
        "struct.drift_inner = time_step / bond.inner_friction",
        "struct.drift_inner = time_step / bond.friction",
        ("tests/train/test_finite_lattice.py",),
    ),
    Mutant(
        "moment of a grip of the wrong sense",
        "ibvonn_train/simulation/simulate_body.py",
        "matrix[grip, rows, axis, first] = -body.nodes[nodes, second]",
        "matrix[grip, rows, axis, first] = body.nodes[nodes, second]",
        ("tests/train/test_finite_lattice.py",),
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
        "two-well energy without its offset",
        "ibvonn_train/simulation/systems/bistable_spring.py",
        "second = 0.5 * self.stiffness * (u - self.well_distance) ** 2 + self.offset",
        "second = 0.5 * self.stiffness * (u - self.well_distance) ** 2",
        (
            "tests/train/test_equilibrium.py::test_both_wells_are_alike_under_the_force_of_their_offset",
        ),
    ),
    Mutant(
        "trap energy without its tether",
        "ibvonn_train/simulation/systems/tethered_particle.py",
        "((control - y) ** 2 + y * y)",
        "(control - y) ** 2",
        EQUILIBRIUM,
    ),
    Mutant(
        "equilibrium weights without the thermal energy",
        "ibvonn_train/statistical_mechanics/boltzmann.py",
        "torch.softmax(-energy / self.thermal, -1).numpy()",
        "torch.softmax(-energy, -1).numpy()",
        EQUILIBRIUM,
    ),
    Mutant(
        "equilibrium force of a chain: sign of its density's slope",
        "ibvonn_train/statistical_mechanics/boltzmann.py",
        "tilt - self.thermal * float(slope)",
        "tilt + self.thermal * float(slope)",
        ("tests/train/test_audits_chain.py",),
    ),
    Mutant(
        "Jarzynski: work with the microstates after the step",
        "ibvonn_train/audits/relaxed_response.py",
        "slow.samples[:, :-1, 0]",
        "slow.samples[:, 1:, 0]",
        ("tests/train/test_audits.py::test_work_is_done_on_the_microstate_before_it_moves",),
    ),
    Mutant(
        "Jarzynski: mean work in place of the exponential mean",
        "ibvonn_train/audits/relaxed_response.py",
        "shift - np.log(np.mean(np.exp(shift - case_work)))",
        "np.mean(case_work)",
        ("tests/train/test_audits.py::test_work_is_done_on_the_microstate_before_it_moves",),
    ),
    Mutant(
        "entropy production: work with the stress of the old instant",
        "ibvonn_train/audits/entropy_production.py",
        "(measured.stress[:, 1:] + measured.stress[:, :-1]) / 2",
        "measured.stress[:, :-1]",
        ("tests/train/test_audits.py::test_entropy_of_a_record_read_backwards_is_its_opposite",),
    ),
    Mutant(
        "dissipated work: force of the old instant",
        "ibvonn_train/audits/entropy_production.py",
        "(force[:, 1:] + force[:, :-1]) / 2",
        "force[:, :-1]",
        ("tests/train/test_audits_two_wells.py",),
    ),
    Mutant(
        "two wells: slope of α without the force that adapts",
        "ibvonn_train/audits/closed_forms.py",
        "second[0] - first[0] - falls[:, None] * by_force",
        "second[0] - first[0]",
        ("tests/train/test_audits_two_wells.py",),
    ),
    Mutant(
        "two wells: sign of the offset",
        "ibvonn_train/closed_form/two_wells.py",
        "self.width**2 - self.offset",
        "self.width**2 + self.offset",
        ("tests/train/test_audits_two_wells.py",),
    ),
    Mutant(
        "states of populations: sum of a population may pass 1",
        "ibvonn_train/audits/bounds.py",
        "np.minimum(1.0, (1 - inside_by) / total)",
        "np.minimum(1.0, 2 / total)",
        ("tests/train/test_audits_two_wells.py",),
    ),
    Mutant(
        "fluctuation-dissipation: nominal and effective temperature exchanged",
        "ibvonn_train/audits/replica_noise.py",
        "law.physics.thermal_energy * nominal / effective",
        "law.physics.thermal_energy * effective / nominal",
        ("tests/train/test_audits.py::test_noise_has_the_nominal_temperature_of_the_data",),
    ),
    Mutant(
        "noise of replicas: early noise does not relax",
        "ibvonn_train/audits/replica_noise.py",
        "noise + decay @ total @ np.swapaxes(decay, 1, 2)",
        "noise + total",
        ("tests/train/test_audits_cell.py",),
    ),
    Mutant(
        "fluxes: folding counted as opening",
        "ibvonn_train/audits/cell_fluxes.py",
        "(state[:-1] & ~state[1:]).sum(-1)",
        "(~state[:-1] & state[1:]).sum(-1)",
        ("tests/train/test_audits_cell.py",),
    ),
    Mutant(
        "single elements: mixing entropy with the wrong sign",
        "ibvonn_train/audits/cell_states.py",
        "energy[:, :, 0] + law.physics.thermal_energy * mixing",
        "energy[:, :, 0] - law.physics.thermal_energy * mixing",
        ("tests/train/test_audits_cell.py",),
    ),
    Mutant(
        "symmetry: classes permuted the wrong way round",
        "ibvonn_train/audits/cell_structure.py",
        "moved[:, places] = internal  # class c becomes class π(c)",
        "moved[:] = internal[:, places]",
        ("tests/train/test_audits_cell.py",),
    ),
    Mutant(
        "increments of cells: the correction is judged on the paths that it was fitted to",
        "ibvonn_train/audits/cell_memory.py",
        "rest[~fit] = residual[~fit] - (features[~fit] / unit) @ weights",
        "rest[fit] = residual[fit] - (features[fit] / unit) @ weights",
        ("tests/train/test_audits_cell.py",),
    ),
    Mutant(
        "intervals of the audits: strain at the end of each part",
        "ibvonn_train/audits/one_step.py",
        "before + part / steps * (after - before)",
        "before + (part + 1) / steps * (after - before)",
        (
            "tests/train/test_audits.py::test_rates_of_a_record_of_every_step_are_those_at_its_states",
        ),
    ),
    Mutant(
        "decoder's free energy: sign of the entropy",
        "ibvonn_train/audits/decoder_free_energy.py",
        "energy(x, eps) + k_bt * log_q",
        "energy(x, eps) - k_bt * log_q",
        ("tests/train/test_audits.py::test_decoders_free_energy_holds_energy_and_entropy",),
    ),
    Mutant(
        "momentum audit: noise floor for one replica",
        "ibvonn_train/audits/kinetics.py",
        "friction / (dt * replicas)",
        "friction / dt",
        ("tests/train/test_audits_chain.py",),
    ),
    Mutant(
        "error up to a constant over the spread of the prediction",
        "ibvonn_train/evaluation/errors.py",
        "np.std(value - reference) / np.std(reference)",
        "np.std(value - reference) / np.std(value)",
        EVALUATION,
    ),
    Mutant(
        "normalisation of internal variables: inverse covariance in place of its root",
        "ibvonn_train/law/normalisation.py",
        "factor = torch.linalg.cholesky(covariance + floor * identity)",
        "factor = covariance + floor * identity",
        EVALUATION,
    ),
    Mutant(
        "smooth pull: rate of the sine without its frequency",
        "ibvonn_train/simulation/protocols.py",
        "envelope * sine * ω * np.cos(ω * t)",
        "envelope * sine * np.cos(ω * t)",
        PROTOCOLS,
    ),
    Mutant(
        "straight lines: slope behind a corner in place of the one ahead",
        "ibvonn_train/simulation/protocols.py",
        'side="right"',
        'side="left"',
        PROTOCOLS,
    ),
    Mutant(
        "exponential step at the strain of its beginning",
        "ibvonn_train/rollouts/material_point.py",
        "(part + 0.5) / substeps",
        "part / substeps",
        ("tests/train/test_exponential_steps.py",),
    ),
    Mutant(
        "rational approximation of a relaxation: one pole of four forgotten",
        "ibvonn_train/rollouts/relaxation.py",
        "    (-3.4085395014618 + 8.7730345644088j, 6.4203340910957e-05 - 0.0032313330783446j),\n",
        "",
        ("tests/train/test_exponential_steps.py",),
    ),
    Mutant(
        "polish: one step in each interval, however long",
        "ibvonn_train/training/polish_drive.py",
        "            substeps=batch.substeps,",
        "            substeps=1,",
        ("tests/train/test_polish_populations.py",),
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
    Mutant(
        "import: particles in the order of the file",
        "ibvonn_train/importers/frames.py",
        "        return values[order]",
        "        return values",
        (
            "tests/importers/test_import.py::test_every_format_gives_the_positions_of_the_simulation",
        ),
    ),
    Mutant(
        "import: bonds that do not close through the box",
        "ibvonn_train/importers/microstates.py",
        "apart[at] -= length * np.round(apart[at] / length)",
        "apart[at] -= 0.0 * length",
        ("tests/importers/test_layouts.py::test_bonds_of_a_ring_close_through_the_periodic_box",),
    ),
    Mutant(
        "import: rows of a table by their number",
        "ibvonn_train/importers/number_tables.py",
        "        rows = np.where(closer, *near)",
        "        rows = np.arange(len(wanted))",
        ("tests/importers/test_import.py::test_tables_are_taken_at_the_steps_of_the_dump",),
    ),
    Mutant(
        "import: stress is the slope by the microstate",
        "ibvonn_train/importers/loads.py",
        'by = "strain" if',
        'by = "x" if',
        (
            "tests/importers/test_import.py::test_stress_comes_from_an_energy_and_agrees_with_the_force",
        ),
    ),
    Mutant(
        "import: microstates may move while momenta are remembered",
        "ibvonn_train/importers/momenta.py",
        "        if correlation < REMEMBERED:",
        "        if kept < 0.0:",
        ("tests/importers/test_momenta.py::test_dynamics_that_are_not_overdamped_are_refused",),
    ),
    Mutant(
        "import: digits are not looked at",
        "ibvonn_train/importers/source_checks.py",
        "spread <= 0 or resolution <= RESOLUTION * spread",
        "spread <= 0 or resolution >= 0.0",
        (
            "tests/importers/test_refused.py::test_digits_that_do_not_resolve_the_spread_are_refused",
        ),
    ),
    Mutant(
        "import: equipartition with the mean force",
        "ibvonn_train/importers/understood.py",
        "            pull = slope - slope.mean((1, 2), keepdims=True)",
        "            pull = slope.mean((1, 2), keepdims=True) + 0 * slope",
        (
            "tests/importers/test_import.py::test_every_format_gives_the_positions_of_the_simulation",
        ),
    ),
)


def mutate(mutant: Mutant, copy: Path) -> None:
    """Apply a mutant to a copy.

    Raises:
        SystemExit: If the line to change is not there exactly once.
    """
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.name}: {mutant.file} must hold {mutant.old!r} once; "
            f"found it {text.count(mutant.old)} times. Bring the mutant up to date."
        )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    """Return the first test that fails in a copy, or None.

    Raises:
        SystemExit: If the tests did not run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode == 0:
        return None
    result = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", run.stdout, re.MULTILINE)
    if run.returncode != 1 or result is None:
        raise SystemExit(f"{' '.join(tests)}: did not run:\n{run.stdout}{run.stderr}")
    return result.group(1)


def killer(mutant: Mutant, copy: Path) -> str | None:
    """Return the first test that fails on a mutant and not without it, or None.

    Raises:
        SystemExit: If it fails without the mutant too.
    """
    original = (copy / mutant.file).read_bytes()
    mutate(mutant, copy)
    test = first_failure(copy, mutant.tests)
    if test is not None:
        (copy / mutant.file).write_bytes(original)
        if first_failure(copy, [test]) is not None:
            raise SystemExit(f"{mutant.name}: {test} fails without the mutant too.")
    return test


def copied(folder: Path) -> None:
    """Copy what git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def selected(words: Sequence[str]) -> list[Mutant]:
    """Mutants whose name is one of the words or else holds it; all without words.

    Raises:
        SystemExit: If a word chooses none.
    """
    result: list[Mutant] = []
    for word in words or [""]:
        named = [m for m in MUTANTS if m.name == word] or [m for m in MUTANTS if word in m.name]
        if not named:
            raise SystemExit(f"{word!r} is in no name of a mutant; --help says what to give.")
        result += [m for m in named if m not in result]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="words of the names of the mutants to run; all")
    words = parser.parse_args().names
    chosen = selected(words)
    survivors = 0
    print("| mutant | file | killed by | s |\n| --- | --- | --- | --- |")
    for mutant in chosen:
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            copy = Path(folder)
            copied(copy)
            start_time = time.perf_counter()
            test = killer(mutant, copy)
            took = time.perf_counter() - start_time
        survivors += test is None
        verdict = "**survives**" if test is None else f"`{test.removeprefix('tests/')}`"
        print(f"| {mutant.name} | `{mutant.file}` | {verdict} | {took:.0f} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
