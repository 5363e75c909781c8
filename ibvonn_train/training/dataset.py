"""Training data as tensors: trajectories of (ε, σ) and of binned microstates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures, uniform_nodes
from ..data.ensemble import TrajectoryEnsemble
from ..data.state_measures import measure_of, span_of
from ..law.learned_law import StrainKind
from ..rollouts.drives import Drive, drive_of
from .training_config import ConfigError

ANCHOR_INSTANTS = 60

SAMPLES = 512
"""Replicas kept where microstates have several dimensions and cannot be binned: every step of a
training encodes all of them, so they bound its time and memory."""


@dataclass(frozen=True, eq=False)
class Block:
    """Protocols that share their number of instants, in the order of axes of the files.

    Series have the axes (protocol, time, site, component), one trajectory for each site of each
    protocol. States are the same order without its axes: state ``(p n_time + t) n_site + s`` is
    that of protocol p, instant t and site s.

    Attributes:
        time: Shape ``(n_time,)``; ``(n_protocol, n_time)`` where protocols have their own.
        strain, stress: Shape ``(n_protocol, n_time, n_site, n_ε)``.
        measures: Of each of the n_state = n_protocol · n_time · n_site states.
        drive: What drives roll-outs of the protocols; None where states were picked.
        strides: Steps of the integrator in each interval between stored instants; where
            protocols have their own instants, of the longest.
        duration_ratio: Duration over that of the shortest block; rates of α shrink by about as
            much.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    measures: Measures
    drive: Drive | None = None
    strides: tuple[int, ...] = ()
    duration_ratio: float = 1.0

    @property
    def instants(self) -> int:
        """n_time."""
        return self.strain.shape[1]

    @property
    def trajectories(self) -> int:
        """n_protocol · n_site."""
        return self.strain.shape[0] * self.strain.shape[2]

    @property
    def states(self) -> int:
        """n_state."""
        return self.strain.shape[:3].numel()

    @property
    def numbers(self) -> Tensor:
        """Number of each state, shape ``(n_protocol, n_time, n_site)``."""
        return torch.arange(self.states, device=self.strain.device).reshape(self.strain.shape[:3])

    @property
    def intervals(self) -> Tensor:
        """Δt between instants, ``(n_time − 1,)``, or ``(n_protocol, n_time − 1)``."""
        return torch.diff(self.time)

    def flat(self, series: Tensor) -> Tensor:
        """Return a series ``(n_protocol, n_time, n_site, n)`` as states ``(n_state, n)``."""
        return series.reshape(-1, series.shape[-1])

    def series(self, flat: Tensor) -> Tensor:
        """Return states ``(n_state, n)`` as a series ``(n_protocol, n_time, n_site, n)``."""
        return flat.reshape(*self.strain.shape[:3], flat.shape[-1])

    def of_states(self, numbers: Tensor, *, time: Tensor, **of_protocols: Any) -> Block:
        """Return the block that some states make up.

        Args:
            numbers: Of the states, with the axes (protocol, time, site) of the new block.
            time: Its instants.
            of_protocols: Its other attributes.
        """
        return Block(
            time=time,
            strain=self.flat(self.strain)[numbers],
            stress=self.flat(self.stress)[numbers],
            measures=self.measures.select(numbers.reshape(-1)),
            duration_ratio=self.duration_ratio,
            **of_protocols,
        )

    def pick(self, index: Tensor) -> Block:
        """Return some states, each as a protocol of one instant and one site.

        Args:
            index: Which states, counted along one trajectory after the other: the order in which
                the random picks of a seed have always been drawn.
        """
        numbers = self.numbers.transpose(1, 2).reshape(-1)[index]
        return self.of_states(numbers[:, None, None], time=self.time[..., :1])

    def trajectories_of(self, index: Tensor) -> Block:
        """Return some trajectories, each as a protocol of one site: what drives them is left out.

        Args:
            index: Numbers of trajectories, of which the first n_site are of the first protocol.
        """
        protocol, site = index // self.strain.shape[2], index % self.strain.shape[2]
        numbers = self.numbers[protocol, :, site].unsqueeze(-1)
        return self.of_states(numbers, time=self.time, strides=self.strides)

    def windows(self, starts: Sequence[int], length: int) -> Block:
        """Return windows of all protocols as protocols with instants of their own."""

        def cut(series: Tensor) -> Tensor:
            """(n_protocol, n_time, …) → (n_protocol · n_start, length, …)."""
            return torch.stack([series[:, i : i + length] for i in starts], 1).flatten(0, 1)

        rows = [self.strides[i : i + length - 1] for i in starts]
        return self.of_states(
            cut(self.numbers),
            time=cut(self.time.expand(len(self.strain), -1)),
            drive=None if self.drive is None else self.drive.windows(starts, length),
            strides=tuple(map(max, zip(*rows, strict=True))),
        )


@dataclass(frozen=True)
class Scales:
    """Means and standard deviations of the training data, each of shape ``(n,)``."""

    strain_centre: Tensor
    strain_scale: Tensor
    stress_scale: Tensor
    microstate_centre: Tensor
    microstate_scale: Tensor
    decoder_centre: Tensor
    decoder_scale: Tensor
    centred_scale: Tensor


@dataclass(frozen=True)
class TrainingSet:
    """Training and validation blocks with what they have in common.

    Attributes:
        strain_kind: Of all ensembles.
        training, validation: Blocks, one for each duration.
        anchors: About sixty instants of each training trajectory: the states over which α has zero
            mean and unit variance.
        scales: Of the training data.
    """

    strain_kind: StrainKind
    training: tuple[Block, ...]
    validation: tuple[Block, ...]
    anchors: tuple[Measures, ...]
    scales: Scales

    @property
    def microstate_size(self) -> int:
        """n_x."""
        return self.training[0].measures.absolute.nodes.shape[-1]


def prepare(
    ensembles: Sequence[TrajectoryEnsemble],
    device: torch.device,
    seed: int,
    *,
    nodes: int,
    validation: Sequence[int] = (),
) -> TrainingSet:
    """Split, bin and convert ensembles.

    Args:
        ensembles: One for each duration.
        device: Where the tensors go.
        seed: Chooses the replicas that are kept where microstates have several dimensions.
        nodes: Number of nodes on which microstates of one dimension are binned.
        validation: Indices of protocols that are held out; they run through the ensembles in order.

    Raises:
        ConfigError: If an index does not exist, or no protocol is left to train on.
        ValueError: If the ensembles differ in kind.
    """
    for number, ensemble in enumerate(ensembles):
        if len(ensemble.time) < 2:
            raise ValueError(
                f"training data: each ensemble must have at least 2 instants, between which α "
                f"changes; ensemble {number} has {len(ensemble.time)}."
            )
    kinds = {str(ensemble.strain_kind) for ensemble in ensembles}
    if len(kinds) != 1 or not kinds <= {"controlled", "averaged"}:
        raise ValueError(
            f"training data: all ensembles must have one strain_kind, controlled or averaged; "
            f"found {sorted(kinds)}."
        )
    kind: StrainKind = "controlled" if kinds == {"controlled"} else "averaged"
    total = sum(ensemble.protocols for ensemble in ensembles)
    for index in validation:
        if not 0 <= index < total:
            raise ConfigError(
                f"validation: protocol {index} does not exist; the data have {total}, from 0."
            )
    train = [i for i in range(total) if i not in set(validation)]
    if not train:
        raise ConfigError("validation: every protocol is held out; leave some to train on.")
    grid = None
    if ensembles[0].microstate_size == 1:
        used = [*train, *validation]
        parts = _split(ensembles, used)
        grid = tuple(
            uniform_nodes(float(span[:, 0].min()), float(span[:, 1].max()), nodes)
            for span in (
                np.stack([span_of(e, rows, centred=centred)[:, 0] for e, rows in parts])
                for centred in (False, True)
            )
        )
    generator = np.random.default_rng(seed)
    shortest = min(_duration(ensemble) for ensemble in ensembles)
    blocks = [
        tuple(
            replace(
                _block(ensemble, rows, grid, generator, device),
                duration_ratio=_duration(ensemble) / shortest if shortest else 1.0,
            )
            for ensemble, rows in _split(ensembles, part)
        )
        for part in (train, list(validation))
    ]
    anchors = tuple(_anchor(block) for block in blocks[0])
    return TrainingSet(kind, blocks[0], blocks[1], anchors, _scales(blocks[0], kind))


def _duration(ensemble: TrajectoryEnsemble) -> float:
    return float(ensemble.time[-1] - ensemble.time[0])


def _anchor(block: Block) -> Measures:
    stride = max(1, block.instants // ANCHOR_INSTANTS)
    return block.measures.select(block.numbers[:, ::stride].reshape(-1))


def _split(
    ensembles: Sequence[TrajectoryEnsemble], indices: list[int]
) -> list[tuple[TrajectoryEnsemble, list[int]]]:
    """Return the rows of each ensemble that carry the given running indices."""
    parts = []
    first = 0
    for ensemble in ensembles:
        count = ensemble.protocols
        rows = [i - first for i in indices if first <= i < first + count]
        if rows:
            parts.append((ensemble, rows))
        first += count
    return parts


def _block(
    ensemble: TrajectoryEnsemble,
    rows: list[int],
    grid: tuple[Tensor, ...] | None,
    generator: np.random.Generator,
    device: torch.device,
) -> Block:
    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(np.asarray(array, dtype=np.float64)).to(device)

    measures = [
        measure_of(
            ensemble,
            rows,
            centred=bool(which),
            nodes=None if grid is None else grid[which],
            samples=SAMPLES,
            generator=generator,
        )
        for which in (0, 1)
    ]
    moved = [EmpiricalMeasure(m.nodes.to(device), m.weights.to(device)) for m in measures]
    return Block(
        time=tensor(ensemble.time),
        strain=tensor(ensemble.strain)[rows],
        stress=tensor(ensemble.stress)[rows],
        measures=Measures(*moved),
        drive=drive_of(ensemble).select(torch.tensor(rows)).to(device),
        strides=ensemble.strides,
    )


def _scales(blocks: Sequence[Block], kind: StrainKind) -> Scales:
    strain = torch.cat([block.flat(block.strain) for block in blocks])
    stress = torch.cat([block.flat(block.stress) for block in blocks])
    absolute = _moments([block.measures.absolute for block in blocks])
    centred = _moments([block.measures.centred for block in blocks])
    decoder = centred if kind == "averaged" else absolute
    scales = Scales(strain.mean(0), strain.std(0), stress.std(0), *absolute, *decoder, centred[1])
    for name, scale, size in (
        ("strain", scales.strain_scale, strain),
        ("stress", scales.stress_scale, stress),
        ("microstate", scales.microstate_scale, absolute[0]),
        ("spread of the replicas", scales.centred_scale, absolute[0]),
    ):
        # What is left of a constant is the round-off of its mean.
        if not bool((scale > 1e-13 * size.abs().max()).all()):
            raise ValueError(
                f"training data: the {name} must vary over the training protocols, whose standard "
                f"deviation is the unit of the law; found {scale.tolist()}. Add protocols in which "
                "it does."
            )
    return scales


def _moments(measures: Sequence[EmpiricalMeasure]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the microstate over all states."""
    mean = torch.cat([m.mean(m.nodes) for m in measures]).mean(0)
    square = torch.cat([m.mean(m.nodes**2) for m in measures]).mean(0)
    return mean, (square - mean**2).sqrt()
