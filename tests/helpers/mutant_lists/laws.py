"""Laws, roll-outs, training and export of ``ibvonn_train``: wrong lines."""

from __future__ import annotations

from .mutant import Mutant

POPULATIONS = ("tests/train/test_population_potentials.py",)
EVALUATION = ("tests/train/test_evaluation.py",)
POPULATION_UPDATE = ("tests/contract/test_population_update.py",)
PATHS = ("tests/train/test_compiled_paths.py",)

MUTANTS = (
    Mutant(
        "derivatives in graphs without the implicit part",
        "ibvonn_train/export/step_derivatives.py",
        "implicit = torch.eye(n, dtype=torch.float64) - state[:, :, count:]",
        "implicit = torch.eye(n, dtype=torch.float64) + 0.0 * state[:, :, count:]",
        (
            "tests/contract/test_step_derivatives.py::test_graphs_give_the_derivatives_of_the_kernel",
        ),
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
        "normalisation of internal variables: inverse covariance in place of its root",
        "ibvonn_train/law/normalisation.py",
        "factor = torch.linalg.cholesky(covariance + floor * identity)",
        "factor = covariance + floor * identity",
        EVALUATION,
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
        "polish in windows: f stays as identify has left it",
        "ibvonn_train/training/polish_windows.py",
        "        refit_energy(material)\n",
        "",
        ("tests/train/test_least_squares.py",),
    ),
    Mutant(
        "histograms: variance between replicas about zero in place of the mean",
        "ibvonn_train/simulation/histogram_store.py",
        "squares - means**2",
        "squares",
        ("tests/train/test_histograms.py",),
    ),
)
