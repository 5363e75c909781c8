"""The lattice of bistable bonds by LAMMPS's own styles, as a record of ours.

The system is that of exported_models/lattice (`ibvonn_train.simulation.systems.PeriodicLattice`):
a spring between two nodes in series with an element of the inner coordinate z,

    E = k/2 (u − z)² + W(z) = k/2 u² + [k/2 z² + W(z)] − k u z.

Nodes lie in the plane, R apart: as R is far above every displacement, bonds keep their directions,
and a strain ε of the law is ε/R of the box. z is that by which a bond across the plane, from a
particle that follows the box alone, is longer than R. The last term couples two bonds that share no
particle: the bond-bond term *bb13* of `dihedral_style class2`, whose other terms are zero. `fix
deform` moves all particles with the box, so that `fix gjf` drags and heats what moves relative to
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from other_simulators import run_lammps

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers.lammps_dump import LammpsDump
from ibvonn_train.simulation.systems.periodic_lattice import PeriodicLattice

SYSTEM = PeriodicLattice()
CELLS, NODES, BONDS = SYSTEM.cells, SYSTEM.nodes, SYSTEM.cell.bonds
SPACING = 1000.0
"""R."""
MASS, STEP, EVERY, DURATION = 0.05, 0.1, 20, 100.0
"""Momenta relax within m/η = 0.05, the fastest mode of the lattice within 0.17."""
NEIGHBOURS = ((1, 0), (0, 1), (-1, 1))
"""Of the node (i, j) along the three directions of bonds."""
VECTORS = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
DIRECTIONS = np.array(NEIGHBOURS) @ VECTORS

Path3 = Sequence[tuple[float, int]]
"""Amplitude a and number of turns n of ε11, ε22 and 2 ε12, each a (1 − cos 2πnt/T)/2."""
PATHS: tuple[Path3, ...] = (
    ((0.17, 1), (0.0, 1), (0.0, 1)),
    ((0.12, 1), (0.10, 2), (0.06, 3)),
    ((0.05, 1), (-0.05, 1), (0.14, 1)),
)


def strain_of(path: Path3, time: np.ndarray) -> np.ndarray:
    """Return ε in Mandel order, ``(n_time, 3)``."""
    parts = [a * (1 - np.cos(2 * np.pi * n * time / DURATION)) / 2 for a, n in path]
    return np.stack(parts, -1) * [1.0, 1.0, np.sqrt(0.5)]


def places() -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the nodes ``(n, 2)`` and the far end of every bond ``(3, n)``."""
    i, j = (index.ravel() for index in np.indices((CELLS, CELLS)))
    ends = [(i + a) % CELLS * CELLS + (j + b) % CELLS for a, b in NEIGHBOURS]
    return SPACING * np.stack([i, j], 1) @ VECTORS, np.stack(ends)


def write_lattices(path: Path, replicas: int, seed: int) -> None:
    """Write lattices that lie in one another: nodes (type 1), fixed (2) and moving ends (3)."""
    spread = np.sqrt(SYSTEM.thermal_energy / (SYSTEM.stiffness + SYSTEM.well_stiffness))
    z = SPACING + spread * np.random.default_rng(seed).standard_normal((replicas, 3, NODES))
    nodes, ends = places()
    # The two ends of an inner bond stand beside its node, so that no three particles are in line.
    across = np.stack([-DIRECTIONS[:, 1], DIRECTIONS[:, 0]], 1)
    beside = nodes[ends] + 0.3 * SPACING * across[:, None]
    atoms, bonds, dihedrals = [], [], []
    for replica in range(replicas):
        first = len(atoms) + 1
        atoms += [f"1 {x:.15g} {y:.15g} 0.0" for x, y in nodes]
        for a in range(3):
            for node in range(NODES):
                own, other, (x, y) = first + node, first + ends[a, node], beside[a, node]
                fixed = len(atoms) + 1
                atoms += [
                    f"2 {x:.15g} {y:.15g} 0.0",
                    f"3 {x:.15g} {y:.15g} {z[replica, a, node]:.15g}",
                ]
                bonds += [f"1 {own} {other}", f"2 {fixed} {fixed + 1}"]
                dihedrals.append(f"1 {own} {other} {fixed} {fixed + 1}")
    (width, _), (tilt, height) = (CELLS * SPACING * VECTORS).tolist()
    head = [
        f"{len(atoms)} atoms\n{len(bonds)} bonds\n{len(dihedrals)} dihedrals",
        "3 atom types\n2 bond types\n1 dihedral types",
        f"0 {width!r} xlo xhi\n0 {height!r} ylo yhi\n-100 {SPACING + 100} zlo zhi",
        f"{tilt!r} 0 0 xy xz yz\n\nMasses\n\n1 {MASS}\n2 {MASS}\n3 {MASS}",
    ]
    lines = ["lattices", "", *head, "", "Atoms # molecular", ""]
    lines += [f"{number} 1 {atom}" for number, atom in enumerate(atoms, 1)]
    for title, rows in (("Bonds", bonds), ("Dihedrals", dihedrals)):
        lines += ["", title, "", *(f"{number} {row}" for number, row in enumerate(rows, 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def simulate_lattice(folder: Path, name: str, path: Path3, *, replicas: int, seed: int) -> Path:
    """Simulate lattices under a path of strains; return the dump of nodes and moving ends."""
    write_lattices(folder / f"{name}.data", replicas, seed)
    k, well, distance = SYSTEM.stiffness, SYSTEM.well_stiffness, SYSTEM.well_distance
    opened = f"step(r-{SYSTEM.crossing!r})"
    heat = f"{SYSTEM.thermal_energy} {SYSTEM.thermal_energy}"
    inner = f"0.5*{k}*r^2+0.5*{well}*(r-{distance}*{opened})^2+{SYSTEM.offset}*{opened}"
    e11, e22, shear = (f"{a}*(1-cos({2 * np.pi * n / DURATION!r}*v_t))/2" for a, n in path)
    (width, _), (tilt, height) = (CELLS * VECTORS).tolist()
    run_lammps(
        [
            "units lj",
            "boundary p p f",
            "atom_style molecular",
            "bond_style hybrid harmonic lepton",
            "dihedral_style class2",
            f"comm_modify cutoff {2.2 * SPACING}",
            f"read_data {folder / f'{name}.data'}",
            f"bond_coeff 1 harmonic {k / 2} {SPACING}",
            f'bond_coeff 2 lepton {SPACING} "{inner}"',
            "dihedral_coeff 1 0 0 0 0 0 0",
            f"dihedral_coeff 1 mbt 0 0 0 {SPACING}",
            f"dihedral_coeff 1 ebt 0 0 0 0 0 0 {SPACING} {SPACING}",
            "dihedral_coeff 1 at 0 0 0 0 0 0 90 90",
            "dihedral_coeff 1 aat 0 90 90",
            f"dihedral_coeff 1 bb13 {-k} {SPACING} {SPACING}",
            "pair_style zero 1.0",
            "pair_coeff * *",
            f"neighbor {SPACING / 4} bin",
            *(f"neigh_modify exclude type {a} {b}" for a in (1, 2, 3) for b in range(a, 4)),
            "neigh_modify every 100 delay 100",
            "special_bonds lj/coul 1 1 1",
            "group nodes type 1",
            "group moving type 3",
            f"timestep {STEP}",
            "fix plane nodes spring/self 1.0 z",
            f"fix nodes nodes gjf {heat} {MASS / SYSTEM.friction!r} {seed}",
            f"fix moving moving gjf {heat} {MASS / SYSTEM.inner_friction!r} {seed + 1}",
            "run 1000",
            "reset_timestep 0",
            "variable t equal step*dt",
            "variable rate equal 0.0",
            f"variable width equal {width!r}*({e11})",
            f"variable height equal {height!r}*({e22})",
            f"variable tilt equal {tilt!r}*({e11})+{height!r}*({shear})",
            "fix stretch all deform 1 x variable v_width v_rate y variable v_height v_rate "
            "xy variable v_tilt v_rate remap x flip no",
            "group kept type 1 3",
            f"dump out kept custom {EVERY} {folder / f'{name}.dump'} id xu yu zu",
            'dump_modify out format float "%.14g"',
            f"run {round(DURATION / STEP)}",
        ]
    )
    return folder / f"{name}.dump"


def read_lattice(dump: Path, path: Path3, replicas: int) -> tuple[np.ndarray, ...]:
    """Return times, strains and the microstates (u − e, z), ``(n_time, 3, n_replica n, 2)``."""
    frames = list(LammpsDump(dump).frames(["xu", "yu", "zu"]))
    time = STEP * np.array([frame.step for frame in frames])
    strain = strain_of(path, time)
    x = np.stack([frame.values for frame in frames]).reshape(len(time), replicas, 4 * NODES, 3)
    nodes, ends = places()
    w = x[:, :, :NODES, :2] - nodes
    # The motion of the box: ε11 and ε22 along the axes, and 2 ε12 of x along y.
    affine = np.zeros((len(time), 2, 2))
    affine[:, 0, 0], affine[:, 1, 1], affine[:, 0, 1] = strain.T * [[1.0], [1.0], [np.sqrt(2.0)]]
    w -= np.einsum("tij,nj->tni", affine / SPACING, nodes)[:, None]
    away = [(w[:, :, end] - w) @ n for end, n in zip(ends, DIRECTIONS, strict=True)]
    z = x[:, :, NODES:, 2].reshape(len(time), replicas, 3, NODES) - SPACING
    microstate = np.stack([np.stack(away, 2), z], -1).swapaxes(1, 2)
    return time, strain, microstate.reshape(len(time), 3, -1, 2)


def lattice_record(folder: Path, *, replicas: int, seed: int) -> TrajectoryEnsemble:
    """Simulate all paths and return them as a record; the stress is the mean of the bonds'."""
    strains, states = [], []
    for number, path in enumerate(PATHS):
        run = dict(replicas=replicas, seed=seed + 2 * number)
        dump = simulate_lattice(folder, f"lattice_{number}", path, **run)
        time, strain, microstate = read_lattice(dump, path, replicas)
        strains.append(strain)
        states.append(microstate)
    strain, microstate = np.stack(strains), np.stack(states)
    basis = np.asarray(SYSTEM.strain_basis)
    away, z = np.moveaxis(microstate.mean(3, dtype=np.float64), -1, 0)
    tension = SYSTEM.stiffness * (away + strain @ basis[:, 0].T - z)
    return TrajectoryEnsemble.from_arrays(
        time,
        strain,
        tension @ basis[:, 0] / SYSTEM.reference_volume,
        microstate.astype(np.float32),
        system=SYSTEM.name,
        friction=SYSTEM.friction,
        thermal_energy=SYSTEM.thermal_energy,
        time_step=STEP,
        seed=seed,
        parameters=SYSTEM.parameters(),
        samples_per_replica=NODES,
        strain_names=tuple(SYSTEM.strain_names),
        stress_names=tuple(SYSTEM.stress_names),
        strain_measure=SYSTEM.strain_measure,
        classes=tuple(SYSTEM.classes),
        symmetry=tuple(SYSTEM.symmetry),
        reference_volume=SYSTEM.reference_volume,
        strain_basis=basis,
    )
