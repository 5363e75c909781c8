"""What a training has seen and what its law makes of it, as arrays for figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..files.plain_files import replacing
from ..law.learned_law import LearnedLaw
from .dataset import Block, TrainingSet
from .slow_features import SlowFeatures
from .stage import sampling_error
from .validation import references, rollouts

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlockReport:
    """Roll-outs of the protocols of one duration, training or validation, by the law's own drive.

    Attributes:
        held_out: Whether these are validation protocols.
        time: Instants, ``(n_time,)``.
        quantities: Names of what is compared: stress, an averaged strain, α, ``(n,)``.
        measured, predicted: First component at the first point, ``(n, n_protocol, n_time)``.
        errors: Of every protocol, over all points and components, in per cent of the error that the
            mean of the protocol's own values would have, ``(n, n_protocol)``.
        sampling_errors: What the sampling error of the data alone would show, same shape.
    """

    held_out: bool
    time: FloatArray
    quantities: tuple[str, ...]
    measured: FloatArray
    predicted: FloatArray
    errors: FloatArray
    sampling_errors: FloatArray

    @classmethod
    @torch.no_grad()
    def of(cls, law: LearnedLaw, block: Block, *, held_out: bool) -> BlockReport:
        """Roll the protocols of a block out in the first mode of their drive."""
        internal = block.series(law.encode(block.measures))
        run = next(iter(rollouts(law, block, internal).values()))
        measured = {**references(block), "internal": (internal, internal_error(law, block))}
        series = [(value, getattr(run, name)) for name, (value, _) in measured.items()]
        return cls(
            held_out=held_out,
            time=block.time.cpu().numpy(),
            quantities=tuple(measured),
            measured=np.stack([_first(value) for value, _ in series]),
            predicted=np.stack([_first(value) for _, value in series]),
            errors=np.stack([_per_cent(own - value, value) for value, own in series]),
            sampling_errors=np.stack([_per_cent(se, value) for value, se in measured.values()]),
        )


@dataclass(frozen=True, eq=False)
class TrainingReport:
    """Everything that the figures of a training show, apart from its log.

    Attributes:
        centres: Of the cells of microstate space, ``(n_cell, n_x)``.
        occupancy: Part of all samples in each cell, ``(n_cell,)``.
        features: Slow features on the cells, ``(n_cell, n_feature)``.
        time_scales: Of the features [time], ``(n_feature,)``.
        variables: In words, which internal variables the law has, and why.
        blocks: Roll-outs of each duration, those of the validation last.
    """

    centres: FloatArray
    occupancy: FloatArray
    features: FloatArray
    time_scales: FloatArray
    variables: str
    blocks: tuple[BlockReport, ...]

    @classmethod
    def of(
        cls, law: LearnedLaw, data: TrainingSet, features: SlowFeatures, variables: str
    ) -> TrainingReport:
        """Collect it at the end of a training."""
        training = [BlockReport.of(law, block, held_out=False) for block in data.training]
        validation = [BlockReport.of(law, block, held_out=True) for block in data.validation]
        return cls(
            centres=features.centres,
            occupancy=features.occupancy,
            features=features.values,
            time_scales=features.time_scales,
            variables=variables,
            blocks=(*training, *validation),
        )

    def save(self, path: Path) -> None:
        """Write the arrays as NPZ; it holds no objects."""
        arrays: dict[str, Any] = {
            f.name: np.asarray(getattr(self, f.name)) for f in fields(self)[:-1]
        }
        for number, block in enumerate(self.blocks):
            arrays |= {f"{number}/{name}": np.asarray(v) for name, v in asdict(block).items()}
        with replacing(path) as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> TrainingReport:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            count = sum(name.endswith("/time") for name in file.files)
            blocks = []
            for number in range(count):
                own = {f.name: file[f"{number}/{f.name}"] for f in fields(BlockReport)}
                own["held_out"] = bool(own["held_out"])
                own["quantities"] = tuple(map(str, own["quantities"]))
                blocks.append(BlockReport(**own))
            series = {f.name: file[f.name] for f in fields(cls)[:-1]}
        return cls(**{**series, "variables": str(series["variables"]), "blocks": tuple(blocks)})


def internal_error(law: LearnedLaw, block: Block) -> Tensor:
    """Return the standard error of the α of a block, as its series."""
    return block.series(sampling_error(law, block.measures, block.samples))


def _first(series: Tensor) -> FloatArray:
    """Return the first component at the first point, ``(n_protocol, n_time)``."""
    values: FloatArray = series[:, :, 0, 0].cpu().numpy()
    return values


def _per_cent(error: Tensor, reference: Tensor) -> FloatArray:
    """Return norms over time, points and components in per cent of those about the mean."""
    about = reference - reference.mean(1, keepdim=True)
    ratio: FloatArray = (error.flatten(1).norm(dim=1) / about.flatten(1).norm(dim=1)).cpu().numpy()
    return 100.0 * ratio
