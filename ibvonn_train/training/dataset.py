"""Training data as tensors: trajectories of (ε, σ) and of empirical measures of the microstates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures, uniform_nodes
from ..data.ensemble import TrajectoryEnsemble
from ..data.lattice_bins import BoundedLattice
from ..data.state_measures import measure_of, span_of
from ..law.learned_law import StrainKind
from ..rollouts.drives import Drive, drive_of
from .sampling_errors import stress_error
from .training_config import ConfigError

ANCHOR_INSTANTS = 60

SAMPLES = 512
"""Samples kept where microstates have several dimensions and cannot be binned: every step of a
training encodes all of them, so they bound its time and memory."""


@dataclass(frozen=True, eq=False)
class Block:
    """Protocols that share their number of instants, in the order of axes of the files.

    Series have the axes (protocol, time, point, component). The measures are those of the sites,
    (protocol, time, point, class) in this order without its axes.

    Attributes:
        time: Shape ``(n_time,)``.
        strain, stress: Shape ``(n_protocol, n_time, n_point, n_ε)``.
        stress_error: Standard error of σ, same shape.
        measures: Of each of the n_protocol · n_time · n_point · n_class sites.
        classes: n_class.
        samples: Independent samples of each site in the data, of which the measures are made.
        drive: What drives roll-outs of the protocols.
        strides: Steps of the integrator in each interval between stored instants.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    stress_error: Tensor
    measures: Measures
    classes: int
    samples: int
    drive: Drive
    strides: tuple[int, ...]

    @property
    def instants(self) -> int:
        """n_time."""
        return self.strain.shape[1]

    @property
    def states(self) -> int:
        """n_protocol · n_time · n_point."""
        return self.strain.shape[:3].numel()

    @property
    def sites(self) -> Tensor:
        """Number of each site, shape ``(n_protocol, n_time, n_point, n_class)``."""
        shape = (*self.strain.shape[:3], self.classes)
        return torch.arange(self.states * self.classes, device=self.strain.device).reshape(shape)

    def flat(self, series: Tensor) -> Tensor:
        """Return a series ``(n_protocol, n_time, n_point, n)`` as states ``(n_state, n)``."""
        return series.reshape(-1, series.shape[-1])

    def series(self, of_sites: Tensor) -> Tensor:
        """Return what sites have, ``(n_site, n)``, as ``(n_protocol, n_time, n_point, C n)``."""
        return of_sites.reshape(*self.strain.shape[:3], -1)


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of trajectories of single points, each with instants of its own.

    Attributes:
        time: Shape ``(n_window, length)``.
        strain, stress, stress_error: Shape ``(n_window, length, n_ε)``.
        measures: Of the different sites of the windows, which overlap.
        sites: Place among them of each site (window, instant, class) in this order.
        states: Number of each state in its block, ``(n_window, length)``.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    stress_error: Tensor
    measures: Measures
    sites: Tensor
    states: Tensor

    def series(self, of_sites: Tensor) -> Tensor:
        """Return what the different sites have, ``(n, m)``, as ``(n_window, length, C m)``."""
        return of_sites[self.sites].reshape(*self.time.shape, -1)

    @classmethod
    def random(cls, block: Block, count: int, length: int, generator: torch.Generator) -> Windows:
        """Return windows of random protocols, points and starts.

        Args:
            block: The data.
            count: Number of windows.
            length: Instants of each, at most those of the block.
            generator: Source of randomness.
        """
        cases, instants, points = block.strain.shape[:3]
        case, point, start = (
            torch.randint(size, (count, 1), generator=generator)
            for size in (cases, points, instants - length + 1)
        )
        place = case, start + torch.arange(length), point
        return cls.at(block, *(index.to(block.strain.device) for index in place))

    @classmethod
    def at(cls, block: Block, case: Tensor, instant: Tensor, point: Tensor) -> Windows:
        """Return the windows at given places, indices that broadcast to ``(n_window, length)``."""
        numbers = block.sites[case, instant, point]
        different, sites = torch.unique(numbers.reshape(-1), return_inverse=True)
        whole = 2 * len(different) > block.states * block.classes  # a selection copies
        return cls(
            time=block.time[instant],
            strain=block.strain[case, instant, point],
            stress=block.stress[case, instant, point],
            stress_error=block.stress_error[case, instant, point],
            measures=block.measures if whole else block.measures.select(different),
            sites=numbers.reshape(-1) if whole else sites,
            states=numbers[..., 0] // block.classes,
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
        anchors: About sixty instants of each training trajectory: the states over which means have
            zero mean and unit variance.
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
        seed: Chooses the samples that are kept where microstates have several dimensions.
        nodes: Number of nodes on which microstates of one dimension are binned.
        validation: Indices of protocols that are held out; they run through the ensembles in order.

    Raises:
        ConfigError: If an index does not exist, or no protocol is left to train on.
        ValueError: If an ensemble has one instant only, or something does not vary.
    """
    for number, ensemble in enumerate(ensembles):
        if len(ensemble.time) < 2:
            raise ValueError(
                f"training data: each ensemble must have at least 2 instants, between which α "
                f"changes; ensemble {number} has {len(ensemble.time)}."
            )
    total = sum(ensemble.protocols for ensemble in ensembles)
    for index in validation:
        if not 0 <= index < total:
            raise ConfigError(
                f"validation: protocol {index} does not exist; the data have {total}, from 0."
            )
    train = [i for i in range(total) if i not in set(validation)]
    if not train:
        raise ConfigError("validation: every protocol is held out; leave some to train on.")
    parts = rows_of(ensembles, [*train, *validation])
    grid = tuple(_grid(parts, nodes, centred=centred) for centred in (False, True))
    generator = np.random.default_rng(seed)
    blocks = [
        tuple(
            _block(ensemble, rows, grid, generator, device)
            for ensemble, rows in rows_of(ensembles, part)
        )
        for part in (train, list(validation))
    ]
    kind: StrainKind = "averaged" if ensembles[0].strain_kind == "averaged" else "controlled"
    anchors = tuple(_anchor(block) for block in blocks[0])
    return TrainingSet(kind, blocks[0], blocks[1], anchors, _scales(blocks[0], kind))


def _grid(
    parts: Sequence[tuple[TrajectoryEnsemble, list[int]]], nodes: int, *, centred: bool
) -> Tensor | BoundedLattice | None:
    """Return the nodes that all states share, or None where microstates have too many dimensions.

    Args:
        parts: Ensembles and their protocols.
        nodes: Number of nodes for one dimension; a fifth of it along each of two axes.
        centred: Whether microstates are counted from their mean.
    """
    size = parts[0][0].microstate_size
    if size > 2 or (size == 2 and any(data.histogram is not None for data, _ in parts)):
        return None
    spans = np.stack([span_of(data, rows, centred=centred) for data, rows in parts])
    low, high = spans[:, 0].min(0), spans[:, 1].max(0)
    if size == 1:
        return uniform_nodes(float(low[0]), float(high[0]), nodes)
    return BoundedLattice.over(low, high, max(nodes // 5, 8))


def rows_of(
    ensembles: Sequence[TrajectoryEnsemble], indices: Sequence[int]
) -> list[tuple[TrajectoryEnsemble, list[int]]]:
    """Return the rows of each ensemble that carry the given running indices of protocols."""
    parts = []
    first = 0
    for ensemble in ensembles:
        count = ensemble.protocols
        rows = [i - first for i in indices if first <= i < first + count]
        if rows:
            parts.append((ensemble, rows))
        first += count
    return parts


def _anchor(block: Block) -> Measures:
    stride = max(1, block.instants // ANCHOR_INSTANTS)
    return block.measures.select(block.sites[:, ::stride].reshape(-1))


def _block(
    ensemble: TrajectoryEnsemble,
    rows: list[int],
    grid: tuple[Tensor | BoundedLattice | None, ...],
    generator: np.random.Generator,
    device: torch.device,
) -> Block:
    def tensor(array: Any) -> Tensor:
        # A copy: BLAS repeats to the bit only on memory that torch has aligned.
        return torch.tensor(np.asarray(array, dtype=np.float64)[rows])

    random = np.random.default_rng(int(generator.integers(2**63)))
    measures = Measures(
        *(
            measure_of(
                ensemble,
                rows,
                centred=centred,
                nodes=grid[centred],
                samples=SAMPLES,
                generator=random,
            )
            for centred in (False, True)
        )
    )
    strain, stress = tensor(ensemble.strain), tensor(ensemble.stress)
    variance = ensemble.stress_variance
    error = (
        stress_error(strain, stress, measures.absolute, ensemble.replicas)
        if variance is None
        else (tensor(variance) / ensemble.replicas).sqrt()
    )
    moved = [
        EmpiricalMeasure(m.nodes.to(device), m.weights.to(device))
        for m in (measures.absolute, measures.centred)
    ]
    return Block(
        time=torch.tensor(np.asarray(ensemble.time, dtype=np.float64)).to(device),
        strain=strain.to(device),
        stress=stress.to(device),
        stress_error=error.to(device),
        measures=Measures(*moved),
        classes=len(ensemble.classes),
        samples=ensemble.replicas * ensemble.elements,
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
