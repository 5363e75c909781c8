"""Training data as tensors: trajectories of (ε, σ) and of binned microstates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import TrajectoryEnsemble
from ..empirical import EmpiricalMeasure, bin_cubic, uniform_nodes
from ..model import StrainKind
from .config import ConfigError, DataConfig


@dataclass(frozen=True)
class Block:
    """Trajectories that share their instants; a trajectory is one site of one protocol.

    Attributes:
        time: Shape ``(n_time,)``.
        strain, stress: Shape ``(n_trajectory, n_time, n_ε)``, protocol-major.
        measure: One measure for each state, trajectory-major: n_state = n_trajectory · n_time.
        control, control_rate, force: Shape ``(n_protocol, n_time)``.
        sites: Number of sites of a protocol.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    measure: EmpiricalMeasure
    control: Tensor
    control_rate: Tensor
    force: Tensor
    sites: int

    @property
    def trajectories(self) -> int:
        """n_trajectory."""
        return self.strain.shape[0]

    @property
    def states(self) -> int:
        """n_state."""
        return self.strain.shape[0] * self.strain.shape[1]

    def flat(self, series: Tensor) -> Tensor:
        """Return a series ``(n_trajectory, n_time, n)`` as ``(n_state, n)``."""
        return series.reshape(-1, series.shape[-1])

    def series(self, flat: Tensor) -> Tensor:
        """Return states ``(n_state, n)`` as ``(n_trajectory, n_time, n)``."""
        return flat.reshape(-1, len(self.time), flat.shape[-1])

    def state_indices(self, trajectories: Tensor) -> Tensor:
        """Return the indices of all states of some trajectories."""
        steps = torch.arange(len(self.time), device=trajectories.device)
        return (trajectories[:, None] * len(self.time) + steps).reshape(-1)

    def by_site(self, series: Tensor) -> Tensor:
        """Return a series as ``(n_protocol, n_time, n_site, n)``."""
        shape = (-1, self.sites, *series.shape[1:])
        return series.reshape(shape).transpose(1, 2)


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


@dataclass(frozen=True)
class TrainingSet:
    """Training and validation blocks with what they have in common."""

    strain_kind: StrainKind
    training: tuple[Block, ...]
    validation: tuple[Block, ...]
    scales: Scales

    @property
    def microstate_size(self) -> int:
        """n_x."""
        return self.training[0].measure.nodes.shape[-1]


def prepare(
    ensembles: Sequence[TrajectoryEnsemble], config: DataConfig, device: torch.device, seed: int
) -> TrainingSet:
    """Split, bin and convert ensembles.

    Protocol indices of the configuration run through the ensembles in order.

    Args:
        ensembles: One for each duration.
        config: Split and binning.
        device: Where the tensors go.
        seed: Chooses the replicas that are kept where microstates have several dimensions.

    Raises:
        ConfigError: If an index of the split does not exist.
        ValueError: If the ensembles differ in kind.
    """
    kinds = {str(ensemble.strain_kind) for ensemble in ensembles}
    if len(kinds) != 1 or not kinds <= {"controlled", "averaged"}:
        raise ValueError(
            f"training data: all ensembles must have one strain_kind, controlled or averaged; "
            f"found {sorted(kinds)}."
        )
    kind: StrainKind = "controlled" if kinds == {"controlled"} else "averaged"
    total = sum(np.shape(ensemble.control)[0] for ensemble in ensembles)
    chosen = config.protocols or tuple(range(total))
    for index in (*chosen, *config.validation):
        if not 0 <= index < total:
            raise ConfigError(
                f"training.data: protocol {index} does not exist; the data have {total}, from 0."
            )
    train = [i for i in chosen if i not in set(config.validation)]
    if not train:
        raise ConfigError("training.data: every protocol is held out; leave some to train on.")
    nodes = None
    one_dimensional = np.shape(ensembles[0].microstate)[-1] == 1
    if one_dimensional:
        used = [*train, *config.validation]
        spans = [_span(ensemble, rows) for ensemble, rows in _split(ensembles, used)]
        nodes = uniform_nodes(min(s[0] for s in spans), max(s[1] for s in spans), config.nodes)
    generator = np.random.default_rng(seed)
    blocks = [
        tuple(
            _block(ensemble, rows, kind, nodes, config.samples, generator, device)
            for ensemble, rows in _split(ensembles, part)
        )
        for part in (train, list(config.validation))
    ]
    return TrainingSet(kind, blocks[0], blocks[1], _scales(blocks[0], kind))


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


def _span(ensemble: TrajectoryEnsemble, rows: list[int]) -> tuple[float, float]:
    values = [np.asarray(ensemble.microstate[row]) for row in rows]
    return min(float(v.min()) for v in values), max(float(v.max()) for v in values)


def _block(
    ensemble: TrajectoryEnsemble,
    rows: list[int],
    kind: StrainKind,
    nodes: Tensor | None,
    samples: int,
    generator: np.random.Generator,
    device: torch.device,
) -> Block:
    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(np.asarray(array, dtype=np.float64)).to(device)

    strains, weights, clouds = [], [], []
    for row in rows:  # one protocol at a time: files may be larger than memory
        x = np.moveaxis(np.asarray(ensemble.microstate[row]), 0, 1)  # site, time, replica, n_x
        sites, n_time, n_replica, n_x = x.shape
        flat = x.reshape(sites * n_time, n_replica, n_x)
        if nodes is not None:
            weights.append(bin_cubic(flat[..., 0], nodes))
        else:
            keep = generator.permutation(n_replica)[:samples]
            clouds.append(torch.as_tensor(flat[:, keep].astype(np.float64)))
        if kind == "averaged":
            strains.append(x.mean(2, dtype=np.float64))
    control = tensor(ensemble.control)[rows]
    force = tensor(ensemble.force)[rows]
    if kind == "averaged":
        strain = tensor(np.concatenate(strains))
        stress = tensor(ensemble.site_force)[rows].transpose(1, 2).reshape(*strain.shape[:2], 1)
    else:
        strain, stress = control.unsqueeze(-1), force.unsqueeze(-1)
    if nodes is not None:
        by_node = torch.cat(weights).T.contiguous().to(device)
        measure = EmpiricalMeasure(nodes[:, None].to(device), by_node.T)
    else:
        cloud = torch.cat(clouds).to(device)
        measure = EmpiricalMeasure(cloud, torch.full_like(cloud[..., 0], 1.0 / cloud.shape[1]))
    return Block(
        time=tensor(ensemble.time),
        strain=strain,
        stress=stress,
        measure=measure,
        control=control,
        control_rate=tensor(ensemble.control_rate)[rows],
        force=force,
        sites=sites,
    )


def _scales(blocks: Sequence[Block], kind: StrainKind) -> Scales:
    strain = torch.cat([block.flat(block.strain) for block in blocks])
    stress = torch.cat([block.flat(block.stress) for block in blocks])
    moments = []
    for centred in (False, kind == "averaged"):
        first, second = [], []
        for block in blocks:
            x = block.measure.nodes
            mean, square = block.measure.mean(x), block.measure.mean(x * x)
            if centred:  # moments of x − ε
                eps = block.flat(block.strain)
                mean, square = mean - eps, square - 2.0 * eps * mean + eps * eps
            first.append(mean)
            second.append(square)
        centre = torch.cat(first).mean(0)
        moments += [centre, (torch.cat(second).mean(0) - centre**2).sqrt()]
    return Scales(strain.mean(0), strain.std(0), stress.std(0), *moments)
