"""Simulation, data, imports and command line of ``ibvonn_train``: wrong lines."""

from __future__ import annotations

from .mutant import Mutant

SIMULATION = ("tests/train/test_simulation.py", "tests/train/test_simulation_random.py")
CHAIN = ("tests/train/test_simulation_chain.py",)
EQUILIBRIUM = ("tests/train/test_equilibrium.py",)
PROTOCOLS = ("tests/train/test_simulation_protocols.py",)
TRUE_LENGTHS = ("tests/train/test_periodic_lattice.py",)

MUTANTS = (
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
        ("tests/train/test_format_1.py",),
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
        "        rows = np.arange(len(targets))",
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
        "        if correlation < 0.0:",
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
    Mutant(
        "command line: libraries are loaded where nothing catches an interruption",
        "ibvonn_train/cli/parser.py",
        "    try:\n        from . import verbs",
        "    from . import verbs\n\n    try:\n        from . import verbs",
        (
            "tests/train/test_interrupted_start.py"
            "::test_an_interruption_while_libraries_load_is_one_line",
        ),
    ),
)
