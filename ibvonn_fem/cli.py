"""Command line ``ibvonn-fem`` (also ``python -m ibvonn_fem``): look at an exported law.

Needs neither torch nor DOLFINx nor a display.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tabulate import tabulate

from .emit_c.emit import emit_c
from .errors import EnvelopeWarning
from .kernels.base import FloatArray
from .model.check import Check, check_model
from .model.exported_model import ExportedModel, KernelName, load_model
from .model.law_summaries import LawSummary, summaries_of
from .model.material_point import (
    TOLERANCE,
    Resolved,
    draw_history,
    read_strain_history,
    require_drawable,
    resolve_point,
    run_point,
    write_history,
)

DESCRIPTION = """\
Look at an exported constitutive law without finite elements.

MODEL is an exported directory, or the name of a law that the package carries.

examples:
  ibvonn-fem models
      Which laws does the package carry, and where are they valid?
  ibvonn-fem check lattice
      Is the directory complete and unaltered, does the law reproduce its reference
      values on this machine, and does it obey thermodynamics?
  ibvonn-fem run-point trap --strain-history history.csv
      Drive one material point through a strain history.

exit codes: 0 success; 1 a check failed or the law cannot be used; 2 wrong arguments.
"""

RUN_POINT = """\
Drive one material point from the declared equilibrium through a strain history.

FILE holds one line per instant: time, then one column per strain component, separated by
commas or blanks; a first line with names and text after # are skipped. Units are those of
the model (see `units` in its manifest). The first line is an instantaneous elastic jump;
after it time starts, and the strain is a straight line from each line to the next. The number
of implicit steps per line is doubled until the stress at the lines changes by at most
--tolerance of its largest value.

Writes a CSV (time, strain, stress, internal variables, energy, dissipated energy, validity)
and a figure beside it. `validity` is the distance from the range of the training data in
half widths of that range: 0 inside, and where it is positive the law extrapolates.

example:
  printf '0, 0.1\\n1, 0.1\\n2, 0.0\\n' > history.csv
  ibvonn-fem run-point trap --strain-history history.csv
  # strain 0.1 at once, constant until 1, back to 0 until 2 (in friction over stiffness)
  # stress: 0.0999, 0.0567, -0.0208 (in stiffness × length)
"""

CHECK = """\
Check an exported law: format, schema and sha256 of every file; reference values of each
kernel (compiled C, ONNX Runtime) and of encoder and decoder; tangent against finite
differences; its symmetry; sign of the dissipation; convergence of random steps inside the
training range.
"""

EMIT_C = """\
Write an exported law as constitutive.c (one C99 file, nothing but libm), constitutive.h and
constitutive.f90 (a Fortran 2008 module). Beside batched and scalar functions the C file holds
a UMAT (Abaqus, CalculiX) and the generic behaviour of MFront (for MGIS); laws of one strain
become solids through a network of directions.

example:
  ibvonn-fem emit-c trap --output .
  cc -O2 -fPIC -shared -o libtrap.so constitutive.c -lm
"""

MODELS = """\
List the laws that the package carries, or every exported model in FOLDER: components of strain and
internal variables, the ranges of the training data, and what the law is of. `load_model(NAME)` and
the other commands find a carried law by its name.
"""

MODEL = "exported directory, or name of a carried law (see `ibvonn-fem models`)"


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``ibvonn-fem``."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="ibvonn-fem", description=DESCRIPTION, formatter_class=raw
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    models = commands.add_parser(
        "models",
        help="list the laws that the package carries",
        description=MODELS,
        formatter_class=raw,
    )
    models.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="list the exported models in this folder"
    )
    models.add_argument("--json", action="store_true", help="print JSON instead of text")
    models.set_defaults(run=_models)

    check = commands.add_parser(
        "check", help="check an exported law", description=CHECK, formatter_class=raw
    )
    check.add_argument("model", metavar="MODEL", help=MODEL)
    check.add_argument(
        "--kernel", choices=("c", "onnx"), help="check this kernel only (default: both)"
    )
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    check.set_defaults(run=_check)

    point = commands.add_parser(
        "run-point",
        help="drive one material point through a strain history",
        description=RUN_POINT,
        formatter_class=raw,
    )
    point.add_argument("model", metavar="MODEL", help=MODEL)
    point.add_argument(
        "--strain-history", metavar="FILE", type=Path, required=True, help="time, strain, …"
    )
    point.add_argument(
        "--tolerance",
        metavar="T",
        type=float,
        default=TOLERANCE,
        help="largest change of the stress, over its largest value, when the time steps are halved "
        f"(default: {TOLERANCE:g}; inf: one step per line, whatever the error)",
    )
    point.add_argument(
        "--output", metavar="CSV", type=Path, help="result (default: FILE with _response.csv)"
    )
    point.add_argument(
        "--figure", metavar="PNG", type=Path, help="figure (default: beside the result)"
    )
    point.add_argument("--no-figure", action="store_true", help="write no figure")
    point.add_argument(
        "--kernel", choices=("auto", "c", "onnx"), default="auto", help="runtime (default: auto)"
    )
    point.add_argument(
        "--strict-range",
        action="store_true",
        help="fail where the strain leaves the range of the training data",
    )
    point.set_defaults(run=_run_point)

    emit = commands.add_parser(
        "emit-c",
        help="write an exported law as one C file for other codes",
        description=EMIT_C,
        formatter_class=raw,
    )
    emit.add_argument("model", metavar="MODEL", help=MODEL)
    emit.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder to write into (default: MODEL, if that is a directory)",
    )
    emit.add_argument(
        "--directions",
        metavar="N",
        type=int,
        default=55,
        help="directions of the microsphere that carries a law of one strain (default: 55)",
    )
    emit.add_argument(
        "--derivatives",
        action="store_true",
        help="also write NAME_derivatives, the derivatives of a step by its inputs",
    )
    emit.set_defaults(run=_emit_c)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s"
    )
    try:
        code: int = options.run(options)
    except (ValueError, ArithmeticError, RuntimeError, OSError) as error:
        sys.stderr.write(f"ibvonn-fem: {error}\n")
        return 1
    return code


def _write(text: str) -> None:
    """Write a line to standard output; nothing else in the package does."""
    sys.stdout.write(text + "\n")


def _models(options: argparse.Namespace) -> int:
    summaries = summaries_of(options.folder)
    if options.json:
        entries = [{**asdict(summary), "folder": str(summary.folder)} for summary in summaries]
        _write(json.dumps(entries, indent=2, ensure_ascii=False))
        return 0
    _write("\n\n".join(_paragraph(summary) for summary in summaries))
    return 0


def _paragraph(summary: LawSummary) -> str:
    lines = {
        "law of": summary.description,
        "strain": summary.strains,
        "variables": summary.variables,
        "valid for": summary.validity,
        "folder": str(summary.folder),
    }
    texts = [
        textwrap.fill(
            text,
            width=100,
            initial_indent=f"  {label:<11}",
            subsequent_indent=" " * 13,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, text in lines.items()
    ]
    return "\n".join([summary.name, *texts])


def _check(options: argparse.Namespace) -> int:
    kernels: list[KernelName] = ["c", "onnx"] if options.kernel is None else [options.kernel]
    checks = check_model(options.model, kernels)
    passed = all(check.passed for check in checks)
    if options.json:
        document = {
            "model": str(options.model),
            "passed": passed,
            "checks": [check.as_dict() for check in checks],
        }
        _write(json.dumps(document, indent=2))
    else:
        _write(_table(checks))
        _write(f"{options.model}: {'all checks passed' if passed else 'a check FAILED'}")
    return 0 if passed else 1


def _table(checks: Sequence[Check]) -> str:
    rows = [
        [
            check.name,
            "ok" if check.passed else "FAIL",
            "" if np.isnan(check.value) else f"{check.value:.1e}",
            "" if np.isnan(check.bound) else f"<= {check.bound:.0e}",
            check.detail,
        ]
        for check in checks
    ]
    table: str = tabulate(rows, tablefmt="plain", disable_numparse=True)
    return table


def _run_point(options: argparse.Namespace) -> int:
    if options.figure is not None and not options.no_figure:
        with suppress(ImportError):  # said once there is a result that is not drawn
            require_drawable(options.figure)
    model = load_model(options.model, options.kernel, strict_range=options.strict_range)
    time, strain = read_strain_history(options.strain_history, model.strain_size)
    with warnings.catch_warnings():  # one message for all instants follows below
        warnings.simplefilter("ignore", EnvelopeWarning)
        history, steps, change = _resolved(model, time, strain, options.tolerance)
    output = options.output or options.strain_history.with_name(
        options.strain_history.stem + "_response.csv"
    )
    write_history(output, model, history)
    _write(f"{output}: {len(time)} instants of {model.manifest.name} ({model.kernel.codename})")
    if np.isfinite(change):
        _write(
            f"{steps} implicit steps per line; half as many change the stress by {change:.1g} of "
            "its largest value"
        )
    if not options.no_figure:
        figure = options.figure or output.with_suffix(".png")
        try:
            draw_history(figure, model, history)
            _write(f"{figure}: strain, stress and internal variables over time")
        except ImportError as error:
            sys.stderr.write(f"ibvonn-fem: no figure, matplotlib cannot be imported ({error})\n")
    outside = int(np.count_nonzero(history.validity > 0.0))
    if outside:
        sys.stderr.write(
            f"ibvonn-fem: {outside} of {len(time)} instants are outside the range of the training "
            f"data (column validity, at most {history.validity.max():.3g} half widths); the law "
            "extrapolates there\n"
        )
    return 0


def _resolved(
    model: ExportedModel, time: FloatArray, strain: FloatArray, tolerance: float
) -> Resolved:
    if tolerance == np.inf:
        return Resolved(run_point(model, time, strain), 1, np.inf)
    return resolve_point(model, time, strain, tolerance=tolerance)


def _emit_c(options: argparse.Namespace) -> int:
    paths = emit_c(
        options.model,
        options.output,
        directions=options.directions,
        derivatives=options.derivatives,
    )
    for path in paths:
        _write(f"{path}: {path.stat().st_size} bytes")
    return 0
