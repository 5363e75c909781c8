"""Parity of the runtimes of an exported model: the table of ``ibvonn export --verify``.

    python -m ibvonn_train.export.verify DIRECTORY [--points N]

Runtimes: torch, ONNX Runtime, TorchScript, a torch program where there is one, and the C file of
``ibvonn-fem emit-c`` where that is installed. Every runtime takes the same steps: those of
reference.npz, compared with the values stored there, and random ones inside the envelope and beyond
it, compared with torch. The measure is |value − reference| / max(|reference|, column scale). The
table is stored in the manifest under ``parity``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import manifest as manifests
from . import torchscript
from .c_runtime import c_runtimes, emit_c
from .graph import INPUTS, OUTPUTS
from .law import Law
from .parameters import LawParameters
from .reference import Arrays, graph_arrays, random_states, relative_difference
from .runtime import session

Runtime = Callable[[Arrays], Arrays]
"""Inputs of the update by name → its outputs by name."""

COMPARED = ("stress", "statev_new", "tangent")
BEYOND_REACH = 3.0
BEYOND_FACTOR = 100.0
"""Factor on the tolerance beyond the envelope, where round-off is amplified."""

BLOCK = 8192
"""Points per call: the arrays of one call stay in the cache."""


@dataclass(frozen=True)
class Parity:
    """One row of the table.

    Attributes:
        runtime: ``"onnx"``, ``"torchscript"``, …
        states: ``"reference"``, ``"inside"`` or ``"beyond"`` the envelope.
        points: Number of steps.
        refused: Number of steps that torch refuses; the runtime must refuse the same.
        stress: Largest relative difference of the stress.
        statev_new: Largest relative difference of the new internal variables.
        tangent: Largest relative difference of the tangent.
        agrees: Whether all are within the tolerance and the same steps are refused.
    """

    runtime: str
    states: str
    points: int
    refused: int
    stress: float
    statev_new: float
    tangent: float
    agrees: bool


def torch_runtime(update: Any) -> Runtime:
    """The update as a torch module, eager or compiled."""

    def run(inputs: Arrays) -> Arrays:
        with torch.no_grad():
            values = update(*(torch.tensor(inputs[name]) for name in INPUTS))
        return {name: v.numpy() for name, v in zip(OUTPUTS, values, strict=True)}

    return run


def onnx_runtime(path: Path) -> Runtime:
    """The update through ONNX Runtime."""
    opened = session(path)

    def run(inputs: Arrays) -> Arrays:
        values = opened.run(list(OUTPUTS), {name: inputs[name] for name in INPUTS})
        return dict(zip(OUTPUTS, values, strict=True))

    return run


def runtimes_of(directory: Path) -> dict[str, Runtime]:
    """The runtimes for which the directory holds a file."""
    found = {"onnx": onnx_runtime(directory / "constitutive.onnx")}
    if (directory / "constitutive.pt").exists():
        found["torchscript"] = torch_runtime(torchscript.load(directory / "constitutive.pt"))
    if (directory / "constitutive.pt2").exists():
        found["pt2"] = torch_runtime(torch.export.load(directory / "constitutive.pt2").module())
    return found


def verify(
    directory: str | Path,
    *,
    law: Law | None = None,
    runtimes: dict[str, Runtime] | None = None,
    n_points: int = 100_000,
    seed: int = 2,
) -> list[Parity]:
    """Compare all runtimes of an exported model with torch.

    Args:
        directory: The model.
        law: The law, needed where the directory has no ``parameters.npz``.
        runtimes: Further runtimes by name, such as a compiled kernel.
        n_points: Number of random steps inside, and again beyond the envelope.
        seed: Seed of the states.

    Raises:
        ValueError: If there is neither ``law`` nor ``parameters.npz``.
    """
    directory = Path(directory)
    if law is None:
        if not (directory / "parameters.npz").exists():
            raise ValueError(
                f"{directory}: has no parameters.npz, from which torch rebuilds the law. Verify "
                "laws of the family 'graph' where they are exported, passing the law."
            )
        law = Law.of(LawParameters.load(directory / "parameters.npz"))
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    span = np.asarray(manifest["envelope"]["time_step"], dtype=np.float64)
    tolerance = float(manifest["tolerances"]["reference"])
    generator = np.random.default_rng(seed)
    with np.load(directory / "reference.npz", allow_pickle=False) as archive:
        reference = dict(archive)
    steps = {
        "reference": graph_arrays(reference, "constitutive", "in"),
        "inside": random_states(law, span, n_points, generator),
        "beyond": random_states(law, span, n_points, generator, reach=BEYOND_REACH),
    }
    eager = torch_runtime(law.update())
    compared = {"torch": eager} | runtimes_of(directory) | (runtimes or {})
    rows = []
    for states, inputs in steps.items():
        stored = states == "reference"
        expected = (
            graph_arrays(reference, "constitutive", "out") if stored else _in_blocks(eager, inputs)
        )
        allowed = BEYOND_FACTOR * tolerance if states == "beyond" else tolerance
        for name, runtime in compared.items():
            if stored or runtime is not eager:
                found = _in_blocks(runtime, inputs)
                row = _compare(name, states, found, expected, allowed, law.residual_tolerance)
                rows.append(row)
    return sorted(rows, key=lambda row: list(compared).index(row.runtime))


def _in_blocks(runtime: Runtime, inputs: Arrays) -> Arrays:
    def parts() -> Iterator[Arrays]:
        for first in range(0, len(inputs["dt"]), BLOCK):
            yield runtime({key: value[first : first + BLOCK] for key, value in inputs.items()})

    blocks = list(parts())
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def _compare(
    name: str, states: str, found: Arrays, expected: Arrays, allowed: float, converged_at: float
) -> Parity:
    accepted = expected["residual"][:, 0] <= converged_at
    same = np.array_equal(accepted, found["residual"].reshape(-1) <= converged_at)
    gaps = {
        key: relative_difference(found[key][accepted], expected[key][accepted]) for key in COMPARED
    }
    return Parity(
        runtime=name,
        states=states,
        points=len(accepted),
        refused=int(np.sum(~accepted)),
        agrees=bool(same and max(gaps.values()) <= allowed),
        **gaps,
    )


def verify_all(directory: str | Path, *, n_points: int = 100_000) -> list[Parity]:
    """Compare all runtimes including the C file, which is written and compiled for the purpose."""
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as name:
        folder, compiled = Path(name), {}
        if (directory / "parameters.npz").exists():
            source = emit_c(directory, folder)
            compiled = c_runtimes(source, folder) if source is not None else {}
        return verify(directory, runtimes=compiled, n_points=n_points)


def table(rows: Sequence[Parity]) -> str:
    """Return the table as text."""
    lines = [
        f"{'runtime':<21}{'states':<11}{'points':>8}{'refused':>9}{'stress':>10}{'state':>10}"
        f"{'tangent':>10}  agrees"
    ]
    lines += [
        f"{r.runtime:<21}{r.states:<11}{r.points:>8}{r.refused:>9}{r.stress:>10.1e}"
        f"{r.statev_new:>10.1e}{r.tangent:>10.1e}  {'yes' if r.agrees else 'NO'}"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def store(directory: str | Path, rows: Sequence[Parity]) -> None:
    """Write the table into the manifest, whose other entries stay as they are."""
    path = Path(directory) / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    listed = document.pop("files")
    # JSON has no infinity; no difference of interest is larger than the largest number.
    largest = float(np.finfo(np.float64).max)
    document["parity"] = [
        {k: min(v, largest) if isinstance(v, float) else v for k, v in asdict(row).items()}
        for row in rows
    ]
    document["files"] = listed
    manifests.replace(document, path.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.export.verify``; 1 where a runtime does not agree."""
    parser = argparse.ArgumentParser(description="Compare the runtimes of an exported model.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--no-store", action="store_true", help="leave the manifest as it is")
    chosen = parser.parse_args(arguments)
    rows = verify_all(chosen.directory, n_points=chosen.points)
    sys.stdout.write(table(rows))
    if not chosen.no_store:
        store(chosen.directory, rows)
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
