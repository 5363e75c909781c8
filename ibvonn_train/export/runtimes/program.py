"""The update as an exported program of torch (``.pt2``), the successor of TorchScript.

    python -m ibvonn_train.export.runtimes.program DIRECTORY

adds ``constitutive.pt2`` to an exported model. The loop uses torch's ``while_loop``, which is a
prototype: a version of torch may refuse it. It takes some ten seconds and half a megabyte, so no
export does it unasked.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ...files.model_directory import read_arrays
from ...files.plain_files import locked, replacing
from .. import manifest as manifests
from ..constitutive_law import Law
from ..graphs.newton import MAX_PASSES, initial_state
from ..graphs.update import ConstitutiveUpdate
from ..parameters import LawParameters


class _Program(nn.Module):
    def __init__(self, update: ConstitutiveUpdate) -> None:
        super().__init__()
        self.update = update

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        from torch._higher_order_ops import while_loop

        e, a0, h, m, amp, bad = self.update.prepare(strain, strain_old, statev, dt)

        def unfinished(k: Tensor, *state: Tensor) -> Tensor:
            return torch.any(state[-1] > 0.5) & (k < MAX_PASSES)

        # The loop wants each result in memory of its own.
        def newton_pass(k: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            new = self.update.newton(e, a0, h, m, amp, *state)
            return (k + 1, *(x.clone() for x in new))

        start = tuple(x.clone() for x in initial_state(a0))
        counter = torch.zeros((), dtype=torch.int64)
        carried = (counter, *start)
        _, *state = while_loop(unfinished, newton_pass, carried)  # type: ignore[no-untyped-call]
        outputs: tuple[Tensor, ...] = self.update.finish(e, a0, h, m, amp, bad, state[0], state[-2])
        return outputs


def program(update: ConstitutiveUpdate) -> Any:
    """Export the update with a free batch axis.

    Raises:
        ValueError: If this version of torch cannot export the loop.
    """
    sizes = (update.strain_size, update.strain_size, update.internal_size, 1)
    inputs = tuple(torch.full((3, size), 0.1, dtype=torch.float64) for size in sizes)
    points = torch.export.Dim("npoints", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(
                _Program(update), inputs, dynamic_shapes=tuple({0: points} for _ in inputs)
            )
    except Exception as error:  # torch raises many classes here, most of them private
        raise ValueError(
            f"export: torch {torch.__version__} cannot write the update as a .pt2 program "
            f"({type(error).__name__}). Leave it out, or use another version of torch."
        ) from error
    for module in exported.graph_module.modules():
        if isinstance(module, fx.GraphModule):
            _forget_source(module)
    return exported


def save(update: ConstitutiveUpdate, path: Path) -> None:
    """Write ``constitutive.pt2``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program(update), str(path))


def _forget_source(module: fx.GraphModule) -> None:
    """Drop where each node came from: the paths of this machine, nine tenths of the file."""
    for node in module.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
            node.meta.pop(key, None)


def add(directory: str | Path) -> Path:
    """Add ``constitutive.pt2`` to an exported model and to the files of its manifest.

    Raises:
        ValueError: If the model has no ``parameters.npz``, or torch cannot export the loop.
    """
    directory = Path(directory)
    document = manifests.read(directory)
    if "parameters.npz" not in document["files"]:
        raise ValueError(
            f"{directory}: has no parameters.npz, from which torch rebuilds the law. Pass pt2=True "
            "to export_law where the law is exported."
        )
    law = Law.of(LawParameters.of(read_arrays(directory, document, "parameters.npz")))
    with locked(directory):
        with replacing(directory / "constitutive.pt2") as part:
            save(law.update(), part)
        manifests.write(document, directory, {*document["files"], "constitutive.pt2"})
    return directory / "constitutive.pt2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.export.runtimes.program``."""
    parser = argparse.ArgumentParser(description="Add constitutive.pt2 to an exported model.")
    parser.add_argument("directory", type=Path)
    path = add(parser.parse_args(arguments).directory)
    sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
