"""Statistical mechanics, closed forms, evaluation and audits of ``ibvonn_train``: wrong lines."""

from __future__ import annotations

from .mutant import Mutant

EQUILIBRIUM = ("tests/train/test_equilibrium.py",)
AUDITS = ("tests/train/test_audits.py",)
EVALUATION = ("tests/train/test_evaluation.py",)

MUTANTS = (
    Mutant(
        "fast states that an audit follows by explicit steps alone",
        "ibvonn_train/audits/one_step.py",
        "or _settled(relaxed, 1) or relaxed(2**HALVINGS)",
        "or integrated(data.stride * 2**HALVINGS)",
        AUDITS,
    ),
    Mutant(
        "thermal energy not per reference length",
        "ibvonn_train/statistical_mechanics/microscopic_energy.py",
        "return Physics(energy, thermal / volume,",
        "return Physics(energy, thermal,",
        ("tests/train/test_audits_chain.py",),
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
)
