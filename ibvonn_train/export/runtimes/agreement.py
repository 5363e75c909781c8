"""Agreement of the runtimes of an exported model: the table of ``ibvonn verify``.

Runtimes: torch, ONNX Runtime, TorchScript, and the C file of
``ibvonn-fem emit-c`` where that is installed. Every runtime takes the same steps: those of
reference.npz, compared with the values stored there, and random ones inside the envelope and beyond
it, compared with torch. A model of the family ``graph`` has no weights from which torch would
rebuild the law; there the TorchScript file takes the place of torch. The measure is
|value − reference| / max(|reference|, column scale). The table is stored in the manifest under
``parity``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from ...files.model_directory import read_arrays, read_listed
from .. import manifest as manifests
from ..constitutive_law import ConstitutiveLaw
from ..graphs.interfaces import INPUTS, OUTPUTS
from ..reference_points import Arrays, graph_arrays, random_states, relative_difference
from . import torchscript
from .c_runtime import c_runtimes, emit_c
from .onnx_session import session

Runtime = Callable[[Arrays], Arrays]
"""Inputs of the update by name → its outputs by name."""

COMPARED = ("stress", "statev_new", "tangent")
BEYOND_REACH = 3.0
BEYOND_FACTOR = 100.0
"""Factor on the tolerance beyond the envelope, where round-off is amplified."""

BLOCK = 8192
"""Points per call: the arrays of one call stay in the cache."""


@dataclass(frozen=True)
class RuntimeAgreement:
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


def onnx_runtime(content: bytes) -> Runtime:
    """The update through ONNX Runtime, from the bytes of its file."""
    opened = session(content)

    def run(inputs: Arrays) -> Arrays:
        values = opened.run(list(OUTPUTS), {name: inputs[name] for name in INPUTS})
        return dict(zip(OUTPUTS, values, strict=True))

    return run


def runtimes_of(directory: Path) -> dict[str, Runtime]:
    """The runtimes for which the manifest lists a file, first the one that judges the others.

    Nothing runs before every file is the one that the manifest lists.

    Raises:
        ValueError: If the directory is not an unaltered model, or has no runtime to compare with.
    """
    manifest, rows = manifests.read(directory), {}
    listed = manifest["files"]
    if "parameters.npz" in listed:
        law = ConstitutiveLaw.of_arrays(read_arrays(directory, manifest, "parameters.npz"))
        rows["torch"] = torch_runtime(law.update())
    if "constitutive.pt" in listed:
        content = read_listed(directory, manifest, "constitutive.pt")
        rows["torchscript"] = torch_runtime(torchscript.load(content))
    if not rows:
        raise ValueError(
            f"{directory}: has neither parameters.npz nor constitutive.pt, from which torch would "
            "take the law that the others are compared with. Export the model again."
        )
    rows["onnx"] = onnx_runtime(read_listed(directory, manifest, "constitutive.onnx"))
    return rows


def verify(
    directory: str | Path,
    *,
    runtimes: dict[str, Runtime] | None = None,
    n_points: int = 100_000,
) -> list[RuntimeAgreement]:
    """Compare all runtimes of an exported model with torch.

    Args:
        directory: The model.
        runtimes: Further runtimes by name, such as a compiled kernel.
        n_points: Number of random steps inside, and again beyond the envelope.

    Raises:
        ValueError: If there is neither ``parameters.npz`` nor ``constitutive.pt``.
    """
    directory = Path(directory)
    manifest = manifests.read(directory)
    ranges = {key: np.asarray(value) for key, value in manifest["envelope"].items()}
    box = np.concatenate([ranges["strain"], ranges["statev"]]), len(ranges["strain"])
    tolerance = float(manifest["tolerances"]["reference"])
    converged_at = float(manifest["tolerances"]["residual"])
    compared = runtimes_of(directory)
    standard = next(iter(compared.values()))
    generator = np.random.default_rng(2)

    def drawn(reach: float) -> Arrays:
        variables = manifest["internal"]["variables"]
        steps = *box, ranges["time_step"], n_points, generator
        return random_states(*steps, reach=reach, variables=variables)

    reference = read_arrays(directory, manifest, "reference.npz")
    steps = {
        "reference": graph_arrays(reference, "constitutive", "in"),
        "inside": drawn(1.0),
        "beyond": drawn(BEYOND_REACH),
    }
    compared |= runtimes or {}
    rows = []
    for states, inputs in steps.items():
        stored = states == "reference"
        expected = (
            graph_arrays(reference, "constitutive", "out")
            if stored
            else _in_blocks(standard, inputs)
        )
        allowed = BEYOND_FACTOR * tolerance if states == "beyond" else tolerance
        for name, runtime in compared.items():
            if stored or runtime is not standard:
                values = _in_blocks(runtime, inputs)
                row = _compare(name, states, values, expected, allowed, converged_at)
                rows.append(row)
    return sorted(rows, key=lambda row: list(compared).index(row.runtime))


def _in_blocks(runtime: Runtime, inputs: Arrays) -> Arrays:
    def parts() -> Iterator[Arrays]:
        for first in range(0, len(inputs["dt"]), BLOCK):
            yield runtime({key: value[first : first + BLOCK] for key, value in inputs.items()})

    blocks = list(parts())
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def _compare(
    name: str, states: str, values: Arrays, expected: Arrays, allowed: float, converged_at: float
) -> RuntimeAgreement:
    accepted = expected["residual"][:, 0] <= converged_at
    same = np.array_equal(accepted, values["residual"].reshape(-1) <= converged_at)
    gaps = {
        key: relative_difference(values[key][accepted], expected[key][accepted]) for key in COMPARED
    }
    return RuntimeAgreement(
        runtime=name,
        states=states,
        points=len(accepted),
        refused=int(np.sum(~accepted)),
        agrees=bool(same and max(gaps.values()) <= allowed),
        **gaps,
    )


def verify_all(directory: str | Path, *, n_points: int = 100_000) -> list[RuntimeAgreement]:
    """Compare all runtimes including the C file, which is written and compiled for the purpose."""
    directory = Path(directory)
    with tempfile.TemporaryDirectory() as name:
        folder, compiled = Path(name), {}
        if "parameters.npz" in manifests.read(directory)["files"]:
            source = emit_c(directory, folder)
            compiled = c_runtimes(source, folder) if source is not None else {}
        return verify(directory, runtimes=compiled, n_points=n_points)


def table(rows: Sequence[RuntimeAgreement]) -> str:
    """Return the table as text."""
    header = ["runtime", "states", "points", "refused", "stress", "state", "tangent", "agrees"]
    cells = [[*astuple(row)[:-1], "yes" if row.agrees else "NO"] for row in rows]
    return f"{tabulate(cells, header, floatfmt='.1e', numalign='right')}\n"


def store(directory: str | Path, rows: Sequence[RuntimeAgreement]) -> None:
    """Write the table into the manifest, whose other entries stay as they are."""
    # JSON has no infinity; no difference of interest is larger than the largest number.
    largest = float(np.finfo(np.float64).max)
    agreement = [
        {k: min(v, largest) if isinstance(v, float) else v for k, v in asdict(row).items()}
        for row in rows
    ]
    manifests.add(Path(directory), runtime_agreement=agreement)
