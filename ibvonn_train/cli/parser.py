"""Verbs and options of ``ibvonn``; what they do is in the modules beside this one."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """\
Learn constitutive laws from Langevin microsimulations and export them to
finite-element codes.

a first run, in an empty folder:
  ibvonn init trap                     write trap.toml
  ibvonn simulate trap.toml            write data/train.h5, data/test.h5, ...
  ibvonn train trap.toml data/train.h5 --out run
  ibvonn evaluate run --ensemble data/test.h5 --training data/train.h5
  ibvonn export run trap_law           write the model that finite-element codes read
  ibvonn verify trap_law               compare ONNX, TorchScript and C with torch
  ibvonn card trap_law                 write its README.md again

One TOML holds the whole study: [simulation] or [import], and [training].
exit codes: 0 all well; 1 the command failed (or the law did, with --strict);
2 wrong arguments; 130 interrupted.
"""

SIMULATE = """\
Simulate the sets of protocols that the [simulation] table of CONFIG names, each into
OUT/NAME.h5 (HDF5; axes and units in CONVENTIONS.md). A system FILE.py:CLASS is a Python file
that is RUN: read it before you simulate from a TOML that you have not written.

example:
  ibvonn simulate trap.toml --set test
"""

IMPORT = """\
Turn the trajectories of another simulator into one data file. Their formats are found by their
names: text dumps of LAMMPS, H5MD (.h5), GSD, DCD, XTC, TRR, NetCDF, and plain CSV and NPZ; tables
of fix ave/time or of OpenMM's StateDataReporter stand beside them. The [import] table of STUDY says
what trajectories lack: replicas, microstates, strain, stress or energy, friction, temperature,
units (docs/how-to/own_trajectories.md). What was understood is printed. Files that contradict
themselves or the description are refused. Files may be larger than the memory.

examples:
  ibvonn import fast_*.dump --describe study.toml --out data/fast.h5
  ibvonn import run.gsd --describe study.toml --out data/run.h5
"""

TRAIN = """\
Train a law on ensembles, one file for each duration. A TOML among the files says with its
[training] table what is learned; without one, the data decide and the law is named after the
first file. OUT receives model.pt, checkpoint.pt, config.json, log.csv, report.npz and four
figures: slow features, history, roll-outs of the validation protocols, errors of all protocols.
Ctrl-C finishes the step and writes the checkpoint; --resume goes on from it and gives the same
numbers as a run that was never interrupted.

At its end the training says whether the law can be trusted: the roll-outs on the protocols that it
has held out and on those that it has seen, beside the sampling error of the data.

If the TOML has a [simulation] table whose system is FILE.py:CLASS, that Python file is RUN, for
its microscopic energy: read it before you train from a TOML that you have not written.

examples:
  ibvonn train data/train.h5
  ibvonn train data/fast.h5 data/slow.h5 --internal populations=2 --strict
  ibvonn train trap.toml --data data/train.h5 --out run --resume
"""

EVALUATE = """\
Evaluate a law on ensembles that its training has not seen: print the errors of its roll-outs
beside the sampling error of the ensembles, and the audits of its potentials.

MODEL is an exported directory, or what `ibvonn train` wrote. Errors are 100 ‖a − b‖/‖b‖
pooled over protocols, times and sites; roll-outs start from the encoded first state in
the data's own forward-Euler convention. Internal variables are compared as they are normalised
over the training set (zero mean, unit variance, uncorrelated). An exported directory does not
know this normalisation: give --training, or else it is taken over the ensemble itself.

example:
  ibvonn evaluate run --ensemble data/test.h5 --training data/train.h5 \\
      --slow data/slow.h5 --json result.json --figures figures
"""

EXPORT = """\
Write a trained law as the directory that finite-element codes read. With --ensemble, the
certificate of its audits on these unseen data and the errors of its roll-outs go into the
manifest. With --verify, so does the table that compares the runtimes. The model card
(README.md) is made of the manifest.

example:
  ibvonn export run trap_law --ensemble data/test.h5 --slow data/slow.h5
"""

VERIFY = """\
Compare all runtimes of an exported model on the same steps: torch, TorchScript, ONNX and
the C file (batched and scalar, two sets of compiler flags), on those of reference.npz
and on random ones inside the envelope and three times beyond it. The table goes into
manifest.json; the exit code is 1 where a runtime does not agree.

example:
  ibvonn verify trap_law
"""

CARD = """\
Write the model card of an exported directory again: README.md, made of manifest.json, and
response.png, a cycle of strain at three rates. With --seeds, the median and spread of the
errors of laws that were trained alike go into the manifest first.

examples:
  ibvonn card trap_law
  ibvonn card trap_law --seeds seed_0.json seed_1.json seed_2.json
"""

REPRODUCE = """\
Repeat studies with several seeds: the two examples of the paper and the other systems of this
project. Every seed simulates training data of its own and trains a law; all are evaluated on the
same test sets. One table shows published errors, those of the closed-form law, the sampling error
of the test sets, median and worst seed, and the errors that must be reached. What OUT holds
already is used again, so an interrupted run goes on. One process runs on each core; `all` takes
about an hour on two cores.

examples:
  ibvonn reproduce trap --seeds 5 --out build/reproduce --json build/trap.json
  ibvonn reproduce all --out build/reproduce
"""

SCAN = """\
Train the law of CONFIG with several kinds and numbers of internal variables and evaluate each on
unseen data: negative log-likelihood, information that the variables retain of a microstate (nats),
memory that they lack (Markov residual), errors of roll-outs. Take the fewest after which these
no longer improve.

example:
  ibvonn scan trap.toml --data data/train.h5 --ensemble data/validation.h5 --figure scan.png
"""

SPOT_CHECK = """\
Simulate the microscopic system of a law along the strain histories that a finite-element analysis
has recorded (TimeStepping(record=Histories(...))), and print how far the law was off, point by
point, with confidence intervals that hold for all points together. The column `time steps` is the
error of the analysis' own time steps. A point is off where its interval lies beyond the tolerance,
within where it lies below, and undecided otherwise.

example:
  ibvonn spot-check plate.h5 --model exported_models/lattice --replicas 64 --figure plate.png
"""

MICROSTATES = """\
Draw the microscopic configuration at a quadrature point and an instant of a recorded analysis
(TimeStepping(record=Histories(...))): a cell of the lattice with its open bonds, the springs of a
ring, particles in their trap. One picture is sampled from the decoder of the law, given the strain
and the internal variables that the analysis had there; the one beside it is the microscopic system,
simulated along the strain that the point has seen until then.

example:
  ibvonn microstates plate.h5 --model exported_models/lattice --point 17 --time 300 --out cell.png
"""

ERROR_FIELD = """\
Estimate the stress error of a law at every state of a recorded analysis. Points that fill its
strains and internal variables are simulated again; a Gaussian process over strain, internal
variables and strain rate takes their errors everywhere, with a standard deviation of its own that
is calibrated on points left out. OUT is what StressErrors and FieldWriter of ibvonn_fem read.
HISTORIES should hold every point: TimeStepping(record=Histories(FILE, EveryPoint())).

example:
  ibvonn error-field plate.h5 --model exported_models/lattice --points 24 --out plate_errors.npz
"""

LEARN_ON_DEMAND = """\
Run an analysis, simulate the microscopic system along the strain of chosen points, and where the
law is off, or was asked beyond its training range, learn from the paths of the analysis itself;
repeat until the check passes or the budget of [on_demand] is spent. The command of the analysis
that STUDY names is RUN: read it before you run a STUDY that you have not written. Every round keeps
its law, data and verdict in OUT; an interrupted run goes on where it was.

example:
  ibvonn learn-on-demand plate.toml --out plate_rounds
"""

INIT = """\
Write the files of a study to start from:
  trap    tethered particle in an optical trap: example 1 of the paper, minutes
  chain   chain of two-well springs: a reduced example 2 of the paper, minutes
  own     a system of your own: a potential in Python and its TOML
"""


REPRODUCED = (
    "trap",
    "chain",
    "unfolding_chain",
    "double_well_chain",
    "unfolding_cell",
    "lattice",
    "own",
    "three_wells",
    "two_degrees",
)
"""Studies; the module that knows them imports torch, for which `--help` does not wait."""
VERBS = {"import": "bring"}
"""Verbs whose name Python keeps for itself, and the functions that do them."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``ibvonn``."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="ibvonn", description=DESCRIPTION, formatter_class=raw)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_text: str, description: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_text, description=description, formatter_class=raw)
        added.add_argument("-q", "--quiet", action="store_true", help="no progress, no tables")
        added.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
        return added

    init = verb("init", "write the files of a study to start from", INIT)
    init.add_argument("template", choices=("trap", "chain", "own"))
    init.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=Path())

    simulate = verb("simulate", "simulate ensembles", SIMULATE)
    simulate.add_argument("config", metavar="CONFIG", type=Path, help="TOML with [simulation]")
    simulate.add_argument(
        "--out", type=Path, default=Path("data"), help="folder of the files (default: data)"
    )
    simulate.add_argument(
        "--set", dest="sets", action="append", metavar="NAME", help="only this set; repeatable"
    )

    simulate.add_argument(
        "--engine",
        choices=("auto", "torch", "compiled"),
        default="auto",
        help="compiled C is faster and knows the built-in systems (default: auto)",
    )
    simulate.add_argument("--device", default="cpu", help="of the torch engine (default: cpu)")
    simulate.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="precision of the positions (default: float32)",
    )

    bring = verb("import", "turn trajectories of other simulators into data", IMPORT)
    bring.add_argument(
        "trajectories",
        metavar="TRAJECTORY",
        type=Path,
        nargs="+",
        help="those of the first protocol, then those of the second, ...",
    )
    bring.add_argument(
        "--describe", metavar="STUDY", type=Path, required=True, help="TOML with [import]"
    )
    bring.add_argument("--out", metavar="FILE", type=Path, required=True, help="HDF5 to write")

    train = verb("train", "train a law", TRAIN)
    train.add_argument(
        "sources", metavar="FILE", type=Path, nargs="+", help="data, and a TOML with [training]"
    )
    train.add_argument("--data", metavar="FILE", type=Path, nargs="+", default=[], help="more data")
    train.add_argument(
        "--internal",
        metavar="KINDS",
        help="internal variables other than those of the TOML: auto, populations=2, means=1, or "
        "several with commas",
    )
    train.add_argument("--out", type=Path, default=Path("run"), help="folder (default: run)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    train.add_argument(
        "--overwrite", action="store_true", help="train anew into a folder that holds a training"
    )
    train.add_argument("--seed", type=int, help="other than that of the TOML")
    train.add_argument(
        "--validation",
        metavar="INDEX",
        type=int,
        nargs="*",
        help="protocols of the data, from 0, that are held out to evaluate choices (default: every "
        "fifth of five or more; without an index: none)",
    )
    train.add_argument(
        "--strict", action="store_true", help="exit with 1 if the law cannot be trusted"
    )
    train.add_argument("--device", default="cpu", help="for example cuda (default: cpu)")
    train.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")

    evaluate = verb("evaluate", "evaluate a law on unseen ensembles", EVALUATE)
    evaluate.add_argument("model", metavar="MODEL", type=Path)
    _add_data(evaluate, required=True)
    evaluate.add_argument(
        "--training",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="training ensembles, over which α is normalised",
    )
    evaluate.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")
    evaluate.add_argument("--figures", metavar="FOLDER", type=Path, help="write figures (PNG)")
    evaluate.add_argument("--no-audits", action="store_true", help="errors only, no certificate")
    evaluate.add_argument("--strict", action="store_true", help="exit with 1 if an audit fails")

    export = verb("export", "write the directory that finite-element codes read", EXPORT)
    export.add_argument("run", metavar="RUN", type=Path, help="what `ibvonn train` wrote")
    export.add_argument("directory", metavar="DIRECTORY", type=Path)
    _add_data(export, required=False)
    export.add_argument("--name", help="name in the manifest (default: that of the training)")
    export.add_argument("--text", help="one or two sentences on the model")
    export.add_argument(
        "--initial-strain",
        type=float,
        default=0.0,
        help="strain of the data that the exported law calls zero (default: 0)",
    )
    export.add_argument(
        "--derivatives",
        action="store_true",
        help="write the derivatives of a step by all that it takes as graphs, too",
    )
    export.add_argument(
        "--verify",
        action="store_true",
        help="as `ibvonn verify` does, after the export",
    )

    scan = verb("scan", "train with several choices of internal variables", SCAN)
    scan.add_argument("config", metavar="CONFIG", type=Path, help="TOML with [training]")
    scan.add_argument(
        "--data", metavar="FILE", type=Path, nargs="+", required=True, help="one per duration"
    )
    scan.add_argument(
        "--ensemble", metavar="FILE", type=Path, required=True, help="unseen data to evaluate on"
    )
    scan.add_argument(
        "--internal",
        metavar="KINDS",
        nargs="+",
        default=["means=1", "means=2", "populations=2", "populations=3"],
        help="choices, as of `ibvonn train` (default: means=1 means=2 populations=2 populations=3)",
    )
    scan.add_argument("--out", type=Path, default=Path("scan"), help="folder (default: scan)")
    scan.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")
    scan.add_argument("--figure", metavar="PNG", type=Path, help="draw them")

    verify = verb("verify", "compare the runtimes of an exported model", VERIFY)
    verify.add_argument("directory", metavar="DIRECTORY", type=Path)
    verify.add_argument(
        "--points",
        type=int,
        default=100_000,
        help="random steps inside the envelope, and again beyond it (default: 100000)",
    )
    verify.add_argument("--no-store", action="store_true", help="leave the manifest as it is")

    card = verb("card", "write the model card of an exported model again", CARD)
    card.add_argument("directory", metavar="DIRECTORY", type=Path)
    card.add_argument(
        "--seeds",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="JSON of `ibvonn evaluate`, one per seed, or that of `ibvonn reproduce`",
    )

    check = verb("spot-check", "simulate what points of an analysis have seen", SPOT_CHECK)
    check.add_argument("histories", metavar="HISTORIES", type=Path, help="HDF5 of Histories")
    check.add_argument("--model", metavar="DIRECTORY", type=Path, required=True)
    check.add_argument("--replicas", type=int, default=64, help="of each point (default: 64)")
    check.add_argument(
        "--tolerance",
        metavar="PERCENT",
        type=float,
        help="of the largest stress (default: the error of the stress in the manifest, else 2)",
    )
    check.add_argument(
        "--confidence", type=float, default=0.95, help="of all intervals together (default: 0.95)"
    )
    _add_microscopic(check)
    check.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")
    check.add_argument("--figure", metavar="PNG", type=Path, help="draw them")
    check.add_argument("--strict", action="store_true", help="exit with 1 if a point is off")

    picture = verb("microstates", "draw the microstates at a point of an analysis", MICROSTATES)
    picture.add_argument("histories", metavar="HISTORIES", type=Path, help="HDF5 of Histories")
    picture.add_argument("--model", metavar="DIRECTORY", type=Path, required=True)
    picture.add_argument("--point", type=int, required=True, help="its number in the file")
    picture.add_argument("--time", type=float, help="instant of the analysis (default: the last)")
    picture.add_argument("--out", metavar="PNG", type=Path, required=True, help="the picture")
    picture.add_argument("--replicas", type=int, default=16, help="of the re-run (default: 16)")
    _add_microscopic(picture)
    picture.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")

    field = verb("error-field", "estimate the stress error of a whole analysis", ERROR_FIELD)
    field.add_argument("histories", metavar="HISTORIES", type=Path, help="HDF5 of Histories")
    field.add_argument("--model", metavar="DIRECTORY", type=Path, required=True)
    field.add_argument(
        "--points", type=int, default=24, help="that are simulated again (default: 24)"
    )
    field.add_argument("--replicas", type=int, default=32, help="of each point (default: 32)")
    _add_microscopic(field)
    field.add_argument("--out", metavar="NPZ", type=Path, required=True, help="the estimate")
    field.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")

    demand = verb("learn-on-demand", "learn what an analysis asks", LEARN_ON_DEMAND)
    demand.add_argument(
        "study", metavar="STUDY", type=Path, help="TOML: [simulation], [training], [on_demand]"
    )
    demand.add_argument("--out", type=Path, default=Path("rounds"), help="folder (default: rounds)")
    demand.add_argument("--json", metavar="OUT", type=Path, help="write the verdicts as JSON")
    demand.add_argument("--strict", action="store_true", help="exit with 1 if the law is off")

    repeat = verb("reproduce", "repeat studies with several seeds", REPRODUCE)
    repeat.add_argument("studies", choices=(*REPRODUCED, "all"), nargs="+", metavar="STUDY",
                        help=f"{', '.join(REPRODUCED)}, or all")  # fmt: skip
    repeat.add_argument("--config", type=Path, help="other TOML than that of the one study")
    repeat.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    repeat.add_argument("--jobs", type=int, help="processes at a time (default: one per core)")
    repeat.add_argument(
        "--out", type=Path, default=Path("reproduce"), help="folder (default: reproduce)"
    )
    repeat.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")
    return parser


def _add_microscopic(parser: argparse.ArgumentParser) -> None:
    """Add what a simulation along histories takes."""
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    parser.add_argument(
        "--time-step", type=float, help="of the integrator at most (default: that of the training)"
    )
    parser.add_argument(
        "--system",
        metavar="FILE.py:CLASS",
        help="system of one's own, built with the parameters of the manifest; runs the file",
    )


def _add_data(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--ensemble", metavar="FILE", type=Path, nargs="+", required=required, help="unseen data"
    )
    parser.add_argument(
        "--slow", metavar="FILE", type=Path, help="slow protocols, for Jarzynski's equality"
    )
    parser.add_argument(
        "--repeat",
        metavar="K",
        type=int,
        help="simulate the ensembles again from their first microstates with K times "
        "the replicas: the noise-free reference, and so the sampling error",
    )
    parser.add_argument(
        "--system",
        metavar="FILE.py:CLASS",
        help="system of one's own whose microscopic_energy the audits need, built with the "
        "parameters that the data record; runs the file",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s"
    )
    from . import verbs  # torch and onnxruntime take seconds: `--help` does not wait for them

    try:
        code: int = getattr(verbs, VERBS.get(options.verb, options.verb.replace("-", "_")))(options)
    except (ValueError, ArithmeticError, RuntimeError, OSError, ImportError) as error:
        sys.stderr.write(f"ibvonn: {error or type(error).__name__}\n")
        return 1
    except MemoryError:
        sys.stderr.write("ibvonn: out of memory. Take less data at a time.\n")
        return 1
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"ibvonn: interrupted. {stop}\n".replace(" \n", "\n"))
        return 130
    except (Exception, SystemExit) as error:  # a mistake in a system of one's own, or here
        logging.getLogger(__name__).info("the error in full:", exc_info=True)
        sys.stderr.write(f"ibvonn: {_place(error)}. --verbose prints the whole traceback.\n")
        return 1
    return code


def _place(error: BaseException) -> str:
    """Return where an error comes from, which no message of ours names, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and "<" not in f.filename]
    last = (own or frames)[-1]
    text = " ".join(str(error).split())
    return f"{last.filename}:{last.lineno}: {type(error).__name__}{f': {text}' if text else ''}"
