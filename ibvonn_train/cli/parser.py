"""Verbs and options of ``ibvonn``; what they do is in the modules beside this one."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from . import help_texts

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
    parser = argparse.ArgumentParser(
        prog="ibvonn", description=help_texts.DESCRIPTION, formatter_class=raw
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_text: str, description: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_text, description=description, formatter_class=raw)
        added.add_argument("-q", "--quiet", action="store_true", help="no progress, no tables")
        added.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
        return added

    init = verb("init", "write the files of a study to start from", help_texts.INIT)
    init.add_argument("template", choices=("trap", "chain", "own"))
    init.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=Path())

    simulate = verb("simulate", "simulate ensembles", help_texts.SIMULATE)
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
    simulate.add_argument("--device", default="cpu", help="device of torch (default: cpu)")
    simulate.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="precision of the positions (default: float32)",
    )

    bring = verb("import", "turn trajectories of other simulators into data", help_texts.IMPORT)
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

    train = verb("train", "train a law", help_texts.TRAIN)
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
    train.add_argument("--seed", type=int, help="seed in place of that of the TOML")
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
    train.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")

    evaluate = verb("evaluate", "evaluate a law on unseen ensembles", help_texts.EVALUATE)
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

    export = verb("export", "write the directory that finite-element codes read", help_texts.EXPORT)
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
        help="also write the graphs of the derivatives of a step by its inputs",
    )
    export.add_argument(
        "--verify",
        action="store_true",
        help="as `ibvonn verify` does, after the export",
    )

    scan = verb("scan", "train with several choices of internal variables", help_texts.SCAN)
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

    verify = verb("verify", "compare the runtimes of an exported model", help_texts.VERIFY)
    verify.add_argument("directory", metavar="DIRECTORY", type=Path)
    verify.add_argument(
        "--points",
        type=int,
        default=100_000,
        help="random steps inside the envelope, and again beyond it (default: 100000)",
    )
    verify.add_argument("--no-store", action="store_true", help="leave the manifest as it is")

    card = verb("card", "write the model card of an exported model again", help_texts.CARD)
    card.add_argument("directory", metavar="DIRECTORY", type=Path)
    card.add_argument(
        "--seeds",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="JSON of `ibvonn evaluate`, one per seed, or that of `ibvonn reproduce`",
    )

    check = verb(
        "spot-check", "compare a law with re-runs at points of an analysis", help_texts.SPOT_CHECK
    )
    _add_analysis(check)
    check.add_argument(
        "--replicas", type=int, default=64, help="replicas of each point (default: 64)"
    )
    check.add_argument(
        "--tolerance",
        metavar="PERCENT",
        type=float,
        help="tolerated error, in %% of the largest stress (default: the error of the stress in "
        "the manifest, else 2)",
    )
    check.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="probability with which all intervals hold together (default: 0.95)",
    )
    _add_microscopic(check)
    check.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")
    check.add_argument("--figure", metavar="PNG", type=Path, help="draw them")
    check.add_argument("--strict", action="store_true", help="exit with 1 if a point is off")

    picture = verb(
        "microstates", "draw the microstates at a point of an analysis", help_texts.MICROSTATES
    )
    _add_analysis(picture)
    picture.add_argument(
        "--point", type=int, required=True, help="number of the point in HISTORIES"
    )
    picture.add_argument("--time", type=float, help="instant of the analysis (default: the last)")
    picture.add_argument("--out", metavar="PNG", type=Path, required=True, help="the picture")
    picture.add_argument(
        "--replicas", type=int, default=16, help="replicas of the re-run (default: 16)"
    )
    _add_microscopic(picture)
    picture.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")

    field = verb(
        "error-field", "estimate the stress error of a whole analysis", help_texts.ERROR_FIELD
    )
    _add_analysis(field)
    field.add_argument(
        "--points", type=int, default=24, help="number of points that are re-run (default: 24)"
    )
    field.add_argument(
        "--replicas", type=int, default=32, help="replicas of each point (default: 32)"
    )
    _add_microscopic(field)
    field.add_argument("--out", metavar="NPZ", type=Path, required=True, help="the estimate")
    field.add_argument("--json", metavar="OUT", type=Path, help="write the numbers as JSON")

    demand = verb(
        "learn-on-demand", "train a law on the paths of an analysis", help_texts.LEARN_ON_DEMAND
    )
    demand.add_argument(
        "study", metavar="STUDY", type=Path, help="TOML: [simulation], [training], [on_demand]"
    )
    demand.add_argument("--out", type=Path, default=Path("rounds"), help="folder (default: rounds)")
    demand.add_argument("--json", metavar="OUT", type=Path, help="write the verdicts as JSON")
    demand.add_argument("--strict", action="store_true", help="exit with 1 if the law is off")

    repeat = verb("reproduce", "repeat studies with several seeds", help_texts.REPRODUCE)
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


def _add_analysis(parser: argparse.ArgumentParser) -> None:
    """Add a recorded analysis and its law."""
    parser.add_argument("histories", metavar="HISTORIES", type=Path, help="HDF5 file of Histories")
    parser.add_argument(
        "--model", metavar="DIRECTORY", type=Path, required=True, help="the exported law"
    )


def _add_microscopic(parser: argparse.ArgumentParser) -> None:
    """Add what a simulation along histories takes."""
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default: 0)")
    parser.add_argument(
        "--time-step",
        type=float,
        help="longest step of the integrator (default: that of the training)",
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
    try:
        from . import verbs  # torch and onnxruntime take seconds: `--help` does not wait for them

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
