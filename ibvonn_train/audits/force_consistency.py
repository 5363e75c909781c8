"""What data alone say of −∂F/∂α, and in which directions they say anything (theory D1).

The free energy of the measured microstates themselves, F = ⟨e⟩ + k_BT ⟨ln p⟩ with the plug-in
entropy of a sample, knows neither f nor the decoder. Its slope by α over the states near a given
one is the driving force. Where the data reach that state along one path only, α is a function of ε
there, the slope in its direction has no finite error, and nothing can be said of a law in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from ..evaluation.interface import FloatArray, Law
from .audit_data import Evidence
from .decoder_free_energy import flow_energy

POOL = 4000
"""States of the data that are used."""
RADIUS = 0.4
"""Of a neighbourhood, in standard deviations of ε and α."""
NEIGHBOURS = 200
"""Of them at most, chosen at random: the nearest ones would differ by noise alone."""
FEWEST_TRAJECTORIES = 5
"""A spread over fewer independent trajectories is no standard error."""
REACH = 3
"""m of the spacings: few, or a well with some ten replicas would be smeared over the barrier."""
NUMBERS_AT_ONCE = 4_000_000


class Gradients(NamedTuple):
    """Slopes at n states, in energy per standard deviation of each α.

    Where there is no estimate the standard errors are infinite.

    Attributes:
        decoder: −∂F_flow/∂α less that of the data, ``(n, n_α)``.
        standard_error: Of the data's, along the principal directions of its error, ``(n, n_α)``.
        directions: Unit vectors, in the last axis, ``(n, n_α, n_α)``.
    """

    decoder: FloatArray
    standard_error: FloatArray
    directions: FloatArray

    def along(self, gradient: FloatArray) -> FloatArray:
        """Return the components of ``(n, n_α)`` along the directions."""
        components: FloatArray = np.einsum("nji,ni->nj", self.directions, gradient)
        return components


def plug_in_energy(law: Law, microstate: FloatArray, strain: FloatArray) -> FloatArray:
    r"""Return F = ⟨e⟩ + k_BT ⟨ln p⟩ of samples of one-dimensional microstates.

    The entropy is that of spacings, −⟨ln p⟩ = ⟨ln [N (x_{i+m} − x_{i−m})/2m]⟩ over the sorted
    sample: its bias depends on N and m only where p is smooth over 2m of N neighbours.

    Args:
        law: Gives e and k_BT.
        microstate: In the measure of the data, ``(n, n_replica)``.
        strain: ε in the measure of the law, ``(n, n_ε)``.

    Returns:
        Shape ``(n,)``, per unit reference length.
    """
    assert law.physics is not None  # noqa: S101 (the caller has asked)
    assert law.physics.energy is not None  # noqa: S101
    x = np.sort(microstate, axis=1)
    size = x.shape[1]
    place = np.arange(size)
    low, high = np.maximum(place - REACH, 0), np.minimum(place + REACH, size - 1)
    # Equal numbers of a single-precision record are as far apart as the record can tell.
    smallest = np.finfo(np.float32).eps * np.abs(x).max()
    gap = np.maximum(x[:, high] - x[:, low], smallest)
    entropy = np.log(size * gap / (high - low)).mean(1)
    energy = law.physics.energy(
        torch.from_numpy(x[..., None]), torch.from_numpy(strain + law.strain_reference)
    )
    free_energy: FloatArray = energy.numpy().mean(1) - law.physics.thermal_energy * entropy
    return free_energy


def compare_gradients(
    law: Law, evidence: Evidence, strain: FloatArray, internal: FloatArray
) -> Gradients:
    """Regress the difference of the data's free energy and the decoder's on (ε, α), state by state.

    The decoder's free energy is but the point of departure: what it explains need not be resolved
    by a straight line. The noise of a finite sample moves F, ε and α together, though not as one
    family of densities does. So the replicas are split in two halves: the slope is that of the
    states of one half with those of the other as instruments, both ways, and true differences
    between states alone count. Its covariance is that over trajectories (protocol and site), whose
    states depend on each other.

    Args:
        law: A law with a decoder of one-dimensional microstates and a known energy.
        evidence: The data.
        strain: ε of the states asked for, ``(n, n_ε)``.
        internal: Their α, ``(n, n_α)``.
    """
    rng = np.random.default_rng(9)
    data, measured = evidence.data, evidence.measured
    shape = measured.strain.shape[:3]
    pool = np.sort(rng.permutation(int(np.prod(shape)))[:POOL])
    case, _, site = np.unravel_index(pool, shape)
    halves = [_half(law, evidence, pool, start) for start in (0, 1)]
    everything = np.concatenate(evidence.all_states(law), 1)
    scale = everything.std(0)
    states = everything[pool] / scale
    values = [half.energy - flow_energy(law, half.strain, half.internal) for half in halves]
    split = [np.concatenate([half.strain, half.internal], 1) / scale for half in halves]
    trajectory = case * data.sites + site
    tree = cKDTree(states)
    gradients = []
    for target in np.concatenate([strain, internal], 1) / scale:
        near = np.array(tree.query_ball_point(target, RADIUS), dtype=np.int64)
        near = rng.permutation(near)[:NEIGHBOURS]
        regressors, instruments = (
            np.concatenate([part[near] for part in parts]) for parts in (split, split[::-1])
        )
        slope, covariance = _slope(
            regressors,
            instruments,
            np.concatenate([value[near] for value in values]),
            np.tile(trajectory[near], 2),
            target,
        )
        n = law.strain_size
        gradients.append(_Principal.of(slope[n:], covariance[n:, n:]))
    return Gradients(*(np.array(column) for column in zip(*gradients, strict=True)))


class _Principal(NamedTuple):
    slope: FloatArray
    standard_error: FloatArray
    directions: FloatArray

    @classmethod
    def of(cls, slope: FloatArray, covariance: FloatArray) -> _Principal:
        size = len(slope)
        if not np.isfinite(covariance).all():
            return cls(np.zeros(size), np.full(size, np.inf), np.eye(size))
        variance, vectors = np.linalg.eigh(covariance)
        return cls(slope, np.sqrt(np.maximum(variance, 0.0)), vectors.T)


class _Half(NamedTuple):
    energy: FloatArray
    strain: FloatArray
    internal: FloatArray


def _half(law: Law, evidence: Evidence, pool: npt.NDArray[np.int64], start: int) -> _Half:
    """Return F, ε and α of every second replica of the chosen states."""
    microstate = evidence.data.samples
    shape = evidence.measured.strain.shape
    strain_of_all = evidence.measured.strain.reshape(-1, shape[-1])
    count = max(1, NUMBERS_AT_ONCE // microstate.shape[3])
    parts = []
    for at in range(0, len(pool), count):
        index = pool[at : at + count]
        x = microstate[np.unravel_index(index, shape[:3])][:, start::2].astype(np.float64)
        strain, internal = law.encode(x)
        strain = strain_of_all[index] if strain is None else strain
        parts.append((plug_in_energy(law, x[..., 0], strain), strain, internal))
    return _Half(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _slope(
    states: FloatArray,
    instruments: FloatArray,
    values: FloatArray,
    trajectory: npt.NDArray[np.int64],
    target: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the slope of values by states, and its covariance over trajectories."""
    size = states.shape[1]
    nothing = np.full(size, np.nan), np.full((size, size), np.inf)
    names, member = np.unique(trajectory, return_inverse=True)
    groups = len(names)
    if groups < FEWEST_TRAJECTORIES:
        return nothing
    one = np.ones((len(values), 1))
    x, z = (np.concatenate([one, part - target], 1) for part in (states, instruments))
    try:
        inverse = np.linalg.inv(z.T @ x)
    except np.linalg.LinAlgError:
        return nothing
    weights = inverse @ (z.T @ values)
    residual = values - x @ weights
    scores = np.zeros((groups, size + 1))
    np.add.at(scores, member, z * residual[:, None])
    covariance = groups / (groups - 1) * inverse @ (scores.T @ scores) @ inverse.T
    return weights[1:], covariance[1:, 1:]
