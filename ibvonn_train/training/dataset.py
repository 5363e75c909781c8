"""Training data as tensors: trajectories of (ε, σ) and of binned microstates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures, bin_cubic, uniform_nodes
from ..data.ensemble import FloatArray, TrajectoryEnsemble
from ..law.learned_law import StrainKind
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
        control_rate, force: Shape ``(n_protocol, n_time)``; None where states were picked.
        strides: Steps of the integrator in each interval between stored instants; where
            protocols have their own instants, of the longest.
        duration_ratio: Duration over that of the shortest block; rates of α shrink by about as
            much.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    measures: Measures
    control_rate: Tensor | None = None
    force: Tensor | None = None
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

        def cut_if_there(series: Tensor | None) -> Tensor | None:
            return None if series is None else cut(series)

        rows = [self.strides[i : i + length - 1] for i in starts]
        return self.of_states(
            cut(self.numbers),
            time=cut(self.time.expand(len(self.strain), -1)),
            control_rate=cut_if_there(self.control_rate),
            force=cut_if_there(self.force),
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
    total = sum(np.shape(ensemble.control)[0] for ensemble in ensembles)
    for index in validation:
        if not 0 <= index < total:
            raise ConfigError(
                f"validation: protocol {index} does not exist; the data have {total}, from 0."
            )
    train = [i for i in range(total) if i not in set(validation)]
    if not train:
        raise ConfigError("validation: every protocol is held out; leave some to train on.")
    grid = None
    if np.shape(ensembles[0].microstate)[-1] == 1:
        used = [*train, *validation]
        spans = np.array([_span(e, rows) for e, rows in _split(ensembles, used)])
        low, high = spans[:, ::2].min(0), spans[:, 1::2].max(0)
        grid = (uniform_nodes(low[0], high[0], nodes), uniform_nodes(low[1], high[1], nodes))
    generator = np.random.default_rng(seed)
    shortest = min(_duration(ensemble) for ensemble in ensembles)
    blocks = [
        tuple(
            replace(
                _block(ensemble, rows, kind, grid, generator, device),
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
        count = np.shape(ensemble.control)[0]
        rows = [i - first for i in indices if first <= i < first + count]
        if rows:
            parts.append((ensemble, rows))
        first += count
    return parts


def _span(ensemble: TrajectoryEnsemble, rows: list[int]) -> list[float]:
    """Return the ranges of x and of x − ⟨x⟩."""
    ranges = []
    for row in rows:
        x = np.asarray(ensemble.microstate[row])
        centred = x - x.mean(2, keepdims=True, dtype=np.float64)
        ranges.append([x.min(), x.max(), centred.min(), centred.max()])
    low, high = np.min(ranges, 0), np.max(ranges, 0)
    return [float(v) for v in (low[0], high[1], low[2], high[3])]


def _block(
    ensemble: TrajectoryEnsemble,
    rows: list[int],
    kind: StrainKind,
    nodes: tuple[Tensor, Tensor] | None,
    generator: np.random.Generator,
    device: torch.device,
) -> Block:
    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(np.asarray(array, dtype=np.float64)).to(device)

    strains: list[FloatArray] = []
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for row in rows:  # one protocol at a time: files may be larger than memory
        x = np.asarray(ensemble.microstate[row])  # time, site, replica, n_x
        n_time, sites, n_replica, n_x = x.shape
        mean = x.mean(2, keepdims=True, dtype=np.float64)
        strains.append(mean[:, :, 0])
        keep = generator.permutation(n_replica)[:SAMPLES]
        for part, which, values in zip(parts, (0, 1), (x, x - mean), strict=True):
            flat = values.reshape(n_time * sites, n_replica, n_x)
            if nodes is not None:
                part.append(bin_cubic(flat[..., 0], nodes[which]))
            else:
                part.append(torch.as_tensor(flat[:, keep].astype(np.float64)))
    control, force = tensor(ensemble.control)[rows], tensor(ensemble.force)[rows]
    if kind == "averaged":
        strain, stress = tensor(np.stack(strains)), tensor(ensemble.site_force)[rows].unsqueeze(-1)
    else:
        strain, stress = control[:, :, None, None], force[:, :, None, None]
    measures = []
    for which, part in enumerate(parts):
        if nodes is not None:
            by_node = torch.cat([weights.T for weights in part], 1).to(device)
            measures.append(EmpiricalMeasure(nodes[which][:, None].to(device), by_node.T))
        else:
            samples_of_states = torch.cat(part).to(device)
            equal = samples_of_states.new_full(samples_of_states.shape[:2], 1.0 / len(keep))
            measures.append(EmpiricalMeasure(samples_of_states, equal))
    return Block(
        time=tensor(ensemble.time),
        strain=strain,
        stress=stress,
        measures=Measures(*measures),
        control_rate=tensor(ensemble.control_rate)[rows],
        force=force,
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
