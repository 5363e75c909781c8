"""The decoder's density against the distribution of the microstates, on hat functions.

Densities are compared by their means of hat functions b_i on a lattice, ∫ q b_i dx and ⟨b_i⟩, whose
sampling error the replicas tell. In several dimensions the hat functions are tensor products in the
first two components. A histogram has no more of b_i than the cubic interpolation of their values at
its nodes, of which the mean over the decoder is taken, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.bin_lattice import Lattice
from ..data.bins_by_numpy import interpolation
from ..data.ensemble import TrajectoryEnsemble
from ..data.lattice_bins import CUBIC
from .interface import FloatArray, Law
from .law_rollouts import Trajectories
from .likelihood import microstates_of

Rows = npt.NDArray[np.intp]

STATES, SEED = 12, 6
"""Number of random states (protocol, time, point), and the seed of their choice."""
SHOWN = 2
"""Components that are compared: the first ones."""
NODES = {1: 40, 2: 20}
"""Hat functions along each axis of the samples, by the number of axes."""
MIDPOINTS = {1: 20, 2: 4}
"""Of the quadrature in each cell of the hat functions, along each axis."""
SAMPLES = 20_000
"""Of a decoder of more than two components."""
BEYOND = 0.25
"""Part of the range of the microstates that the hat functions go on beyond it, on either side."""


class Weighted(NamedTuple):
    """Microstates ``(…, n, n_x)`` and their weights ``(…, n)``, which sum to one."""

    positions: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class Hats:
    """Hat functions on a lattice in the first components of the microstate.

    Attributes:
        axes: Equidistant nodes along each axis.
        histogram: Nodes between which their values are interpolated by cubic polynomials; or None.
    """

    axes: tuple[FloatArray, ...]
    histogram: Lattice | None = None

    @classmethod
    def over(
        cls,
        low: FloatArray,
        high: FloatArray,
        spacing: FloatArray,
        histogram: Lattice | None = None,
    ) -> Hats:
        """Return hat functions whose nodes are low + i · spacing, up to a quarter beyond a box."""
        axes = []
        for start, end, step in zip(low, high, spacing, strict=True):
            more = int(np.ceil(BEYOND * (end - start) / step)) + 1
            inside = int(np.ceil((end - start) / step - 1e-6))
            axes.append(start + step * np.arange(-more, inside + more + 1))
        return cls(tuple(axes), histogram)

    @property
    def spacing(self) -> FloatArray:
        """Distance of the nodes along each axis."""
        return np.array([nodes[1] - nodes[0] for nodes in self.axes])

    def midpoints(self) -> list[FloatArray]:
        """Return the midpoints of a quadrature between the nodes, along each axis."""
        parts = MIDPOINTS[len(self.axes)]
        return [
            nodes[0] + (nodes[1] - nodes[0]) * (np.arange((len(nodes) - 1) * parts) + 0.5) / parts
            for nodes in self.axes
        ]

    def values(self, positions: FloatArray) -> list[FloatArray]:
        """Return the factors of b_i at positions ``(…, n_x)``: for each axis ``(…, n_node)``."""
        places = positions[..., : len(self.axes)]
        if self.histogram is None:
            return [_hats(places[..., axis], nodes) for axis, nodes in enumerate(self.axes)]
        cells, parts = self.histogram.cells(places)
        weights = interpolation(parts, CUBIC)[..., None]
        origin, spacing = self.histogram.origin, self.histogram.spacing
        values = []
        for axis, nodes in enumerate(self.axes):
            around = [
                weights[number, ..., axis, :]
                * _hats(origin[axis] + (cells[..., axis] + number - 1) * spacing[axis], nodes)
                for number in range(CUBIC)
            ]
            values.append(np.sum(around, 0))
        return values

    def means(self, microstates: Weighted) -> FloatArray:
        """Return ⟨b_i⟩, ``(…, n_1)`` or ``(…, n_1, n_2)``."""
        first, *second = self.values(microstates.positions)
        weighted = np.swapaxes(first * microstates.weights[..., None], -1, -2)
        means: FloatArray = weighted @ second[0] if second else weighted.sum(-1)
        return means


def _hats(positions: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return the hat functions of equidistant nodes, ``(…, n_node)``."""
    values: FloatArray = 1.0 - np.abs(positions[..., None] - nodes) / (nodes[1] - nodes[0])
    return np.maximum(values, 0.0)


def density_errors(law: Law, data: TrajectoryEnsemble, measured: Trajectories) -> dict[str, float]:
    """Return how far the decoder is from the distribution of unseen microstates, in per cent.

    Args:
        law: A law with a decoder.
        data: The ensemble.
        measured: Its states.

    Returns:
        "error": 100 ‖∫ q b − ⟨b⟩‖ / ‖⟨b⟩‖ over all b_i of some random states, and "sampling_error",
        what the error of the exact density would be, where the record knows.
    """
    shape = measured.strain.shape[:3]
    pick = np.random.default_rng(SEED).permutation(int(np.prod(shape)))[:STATES]
    case, at, point = np.unravel_index(pick, shape)
    difference, size, noise = 0.0, 0.0, 0.0
    known = True
    for number in range(len(pick)):
        own = slice(number, number + 1)
        place = (case[own], at[own], point[own])
        distribution = measured_microstates(data, *place)
        hats = hats_of(data, distribution)
        strain, internal = (values[place] for values in (measured.strain, measured.internal))
        decoded = decoded_microstates(law, hats, strain, internal, data)
        means = hats.means(distribution)
        difference += float(np.square(hats.means(decoded) - means).sum())
        size += float(np.square(means).sum())
        variance = _variance_of_means(data, hats, distribution, place)
        known &= variance is not None
        noise += variance or 0.0
    errors = {"error": 100.0 * float(np.sqrt(difference / size))}
    if known:
        errors["sampling_error"] = 100.0 * float(np.sqrt(noise / size))
    return errors


def measured_microstates(data: TrajectoryEnsemble, case: Rows, at: Rows, point: Rows) -> Weighted:
    """Return the microstates of states: positions ``(n_state, n_class, n, n_x)``, and weights."""
    positions, weights = microstates_of(data, case, at, point)
    lead = (len(case), len(data.classes))
    return Weighted(
        positions.reshape(*lead, *positions.shape[-2:]), weights.reshape(*lead, weights.shape[-1])
    )


def decoded_microstates(
    law: Law,
    hats: Hats,
    strain: FloatArray,
    internal: FloatArray,
    data: TrajectoryEnsemble,
) -> Weighted:
    """Return microstates of the decoder with their weights, the axes as of the measured ones.

    They are the midpoints of a quadrature over the cells of the hat functions or, where these do
    not span all components, samples.
    """
    size, axes, classes = data.microstate_size, len(hats.axes), len(data.classes)
    lead = (len(strain),) if classes == 1 else (len(strain), classes)
    if size > axes:
        noise = np.random.default_rng(SEED).standard_normal((*lead, SAMPLES, size))
        samples = law.sample(noise, strain, internal)
        positions = samples.reshape(len(strain), classes, SAMPLES, size)
        return Weighted(positions, np.full(positions.shape[:-1], 1.0 / SAMPLES))
    grid = np.stack(np.meshgrid(*hats.midpoints(), indexing="ij"), -1).reshape(-1, size)
    points = np.broadcast_to(grid, (*lead, *grid.shape)).copy()
    density = np.exp(law.log_density(points, strain, internal))
    weights = density * np.prod(hats.spacing / MIDPOINTS[axes])
    return Weighted(
        points.reshape(len(strain), classes, *grid.shape),
        weights.reshape(len(strain), classes, len(grid)),
    )


def hats_of(data: TrajectoryEnsemble, microstates: Weighted, finest: bool = False) -> Hats:
    """Return hat functions over the microstates: those of a record that has some, else new ones.

    Args:
        data: The record.
        microstates: Of the states to compare.
        finest: Whether the nodes of a histogram are taken, in place of those that its variances
            between replicas belong to.
    """
    axes = min(SHOWN, data.microstate_size)
    if data.histogram is not None:
        own, coarse = data.histogram.nodes[:, :axes], data.histogram.coarse_nodes
        nodes = own if finest or coarse is None else coarse[:, :axes]
        grid = Lattice(own.min(0), _spacing(own))
        return Hats.over(nodes.min(0), nodes.max(0), _spacing(nodes), grid)
    flat = microstates.positions.reshape(-1, data.microstate_size)[:, :axes]
    low, high = flat.min(0), flat.max(0)
    return Hats.over(low, high, (high - low) / (NODES[axes] * (2 if finest else 1)))


def _spacing(nodes: FloatArray) -> FloatArray:
    """Return the spacing of a lattice along each axis, of which some nodes may be missing."""
    spacing = []
    for values in nodes.T:
        apart = np.diff(np.unique(values))
        spacing.append(apart[apart > 1e-6 * np.ptp(values)].min())
    return np.array(spacing)


def _variance_of_means(
    data: TrajectoryEnsemble, hats: Hats, microstates: Weighted, place: tuple[Rows, Rows, Rows]
) -> float | None:
    """Return the sum over b_i of the variances of ⟨b_i⟩; None where the record does not know."""
    classes = len(data.classes)
    if data.histogram is not None:
        if data.histogram.coarse_variance is None:
            return None
        case, at, point = place
        sites = point[:, None] * classes + np.arange(classes)
        variance = data.histogram.coarse_variance[case[:, None], at[:, None], sites]
        return float(variance.sum()) / data.replicas
    # Elements of one replica are not independent: the replicas are.
    positions = microstates.positions.reshape(classes, data.replicas, data.elements, -1)
    alike = np.full(positions.shape[:-1], 1.0 / data.elements)
    means = hats.means(Weighted(positions, alike))
    return float(means.var(1, ddof=1).sum()) / data.replicas
