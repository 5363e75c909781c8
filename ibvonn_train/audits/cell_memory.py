r"""Audit of cells: do the open fractions know all that their next increment depends on?

For every stored interval the mean increment of α is compared with that of the law, begun anew at
the measured state. What is left, r, has the variance v between the replicas' own residuals, divided
by their number, if law and variables are right:

.. math:: \chi^2 = \Big\langle \frac{\sum r^2}{\sum v} \Big\rangle ,

the mean over ten groups of increments whose noise is alike, because v of single ones is as
uncertain as few replicas and few jumps make it. 1 is sampling noise; a systematic error as large
as the noise is 2, so that more replicas are a stricter test. v is that of
:mod:`~ibvonn_train.audits.replica_noise`.

What the past adds to a regression of increments, the audit of other systems, is no measure here:
with as few paths it finds tens of per cent in bonds that jump independently.

A law's error is no memory. So r is regressed, on one half of the paths, on the law's increment and
on its noise times (1, ε, α) of the direction and of all, which changes the law's two fluxes
by any linear factor, and the rest predicted on the other half. The value is χ² of the better of the
two predictions from (ε, α). Then the regression is given more: the residual of the interval before,
and, where the record is of a lattice, the correlations of open bonds with their neighbours.
"""

from __future__ import annotations

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray, Law
from ..simulation.systems.periodic_lattice import PeriodicLattice
from ..simulation.systems.registry import known_system
from . import acceptance_ranges, kinetics
from .audit import Audit
from .audit_data import NEEDS_POTENTIALS, Evidence, lacks_noise, lacks_samples
from .cell_states import fractions, of_cell
from .one_step import over_intervals
from .replica_noise import replica_noise

NOISE_GROUPS = 10
RIDGE = 1e-3
MIXTURE = 0.02
"""Added to p(1 − p), over which correlations are taken: nearly empty states have none."""


def markov_residual(law: Law, evidence: Evidence) -> Audit:
    """Return χ² for laws of cells, for others what the past adds to the prediction."""
    return chi_squared(law, evidence) or kinetics.markov_residual(law, evidence)


def chi_squared(law: Law, evidence: Evidence) -> Audit | None:
    """Return χ² of increments predicted from the present state alone, on paths left out."""
    if not of_cell(law, evidence) or law.physics is None:
        return None
    name, acceptable = "Markov residual", acceptance_ranges.CELL_MARKOV
    lacking = lacks_noise(evidence) or lacks_samples(evidence)
    if not law.has_potentials:
        lacking = NEEDS_POTENTIALS
    if lacking or evidence.data.protocols < 2:
        return Audit.not_available(name, acceptable, lacking or "needs two paths")
    data, measured = evidence.data, evidence.measured
    internal = measured.internal[:, :, 0]
    shape = internal[:, 1:].shape
    cases, steps = (part.ravel() for part in np.indices(shape[:2]))
    noise = replica_noise(law, evidence, cases, steps)
    variance, expected = (
        np.einsum("nii->ni", part).reshape(shape) / (data.elements * data.replicas)
        for part in noise
    )
    modelled = over_intervals(law, evidence).increment[:, :, 0]
    residual = np.diff(internal, axis=1) - modelled
    fluxes = np.stack([modelled, expected * data.elements * data.replicas], -1)
    present = _of_state(law, evidence)
    past = np.zeros_like(residual)
    past[:, 1:] = residual[:, :-1] / np.sqrt(expected[:, :-1])
    groups = np.array_split(np.argsort(expected.ravel()), NOISE_GROUPS)

    def chi(rest: FloatArray) -> float:
        squares, sizes = np.square(rest).ravel(), variance.ravel()
        return float(np.mean([squares[rows].sum() / sizes[rows].sum() for rows in groups]))

    def left(features: FloatArray) -> float:
        factors = (features[..., None] * fluxes[..., None, :]).reshape(*shape, -1)
        return chi(_left_out(residual, factors, np.sqrt(expected)))

    own, corrected = chi(residual), left(present)
    more = [("the interval before", left(np.concatenate([present, past[..., None]], -1)))]
    correlations = neighbour_correlations(law, evidence)
    if correlations is not None:
        with_neighbours = np.concatenate([present, correlations[:, :-1]], -1)
        more.append(("correlations of neighbours", left(with_neighbours)))
    return Audit.compare(
        name,
        min(own, corrected),
        acceptable,
        f"χ² of {residual.size} increments of α predicted from (ε, α), 1 being the sampling noise "
        f"of {data.replicas} replicas: {own:.3f} by the law, {corrected:.3f} with a correction "
        "fitted on other paths; with further predictors "
        + ", ".join(f"{words} {value:.3f}" for words, value in more),
    )


def _left_out(residual: FloatArray, features: FloatArray, size: FloatArray) -> FloatArray:
    """Return residuals less their ridge regression on the other half of the protocols."""
    half = np.random.default_rng(7).permutation(len(residual)) % 2 == 0
    rest = np.empty_like(residual)
    for fit in (half, ~half):
        count = features.shape[-1]
        x = (features[fit] / size[fit][..., None]).reshape(-1, count)
        unit = np.sqrt(np.mean(x**2, axis=0))
        unit[unit == 0.0] = 1.0
        x = x / unit
        y = (residual[fit] / size[fit]).reshape(-1)
        weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(count), x.T @ y)
        rest[~fit] = residual[~fit] - (features[~fit] / unit) @ weights
    return rest


def _of_state(law: Law, evidence: Evidence) -> FloatArray:
    """Return 1, ε and α of the direction and of all, ``(n_protocol, n_interval, n_α, n)``."""
    strain, internal = evidence.measured.strain[:, :, 0], evidence.measured.internal[:, :, 0]
    class_strain = np.einsum("cqe,nte->ntcq", evidence.data.strain_basis, strain)
    class_strain = (class_strain[:, 1:] + class_strain[:, :-1]) / (2 * (class_strain.std() or 1.0))
    p = fractions(law, internal)[:, :-1, :, None]
    own = np.concatenate([p, class_strain], -1)
    everywhere = np.broadcast_to(own.mean(2, keepdims=True), own.shape)
    return np.concatenate([np.ones_like(p), own, everywhere], -1)


def neighbour_correlations(law: Law, evidence: Evidence) -> FloatArray | None:
    """Return how the open bonds of a direction are correlated with neighbours of three kinds.

    The next bond of the same line, the bonds of the same direction beside it, and the bonds of
    other directions that begin at the same node: ⟨b b'⟩ − ⟨b⟩⟨b'⟩ over p(1 − p) of the direction,
    ``(n_protocol, n_time, n_direction, 3)``. None where the record is not of a lattice.
    """
    data, system = evidence.data, known_system(evidence.data)
    if not isinstance(system, PeriodicLattice) or not system.series:
        return None
    spread = fractions(law, evidence.measured.internal[:, :, 0])
    spread = spread * (1.0 - spread) + MIXTURE
    residuals = np.stack([_of_path(data, system, case) for case in range(data.protocols)])
    correlations: FloatArray = residuals / spread[..., None]
    return correlations


def _of_path(data: TrajectoryEnsemble, system: PeriodicLattice, case: int) -> FloatArray:
    neighbours = system.lattice.neighbours(system.cells)
    state = np.asarray(data.samples[case])[..., 1] > system.crossing
    bonds = state.reshape(*state.shape[:2], data.replicas, data.elements).astype(np.float32)
    mean = bonds.mean((2, 3), dtype=np.float64)
    columns = []
    for own in range(bonds.shape[1]):
        others = [other for other in range(bonds.shape[1]) if other != own]

        def pair(first: int, second: int, along: int | None) -> FloatArray:
            far = bonds[:, second] if along is None else bonds[:, second][..., neighbours[along]]
            product = (bonds[:, first] * far).mean((1, 2), dtype=np.float64)
            covariance: FloatArray = product - mean[:, first] * mean[:, second]
            return covariance

        line = pair(own, own, own)
        beside = np.mean([pair(own, own, other) for other in others], 0)
        across = np.mean([pair(own, other, None) for other in others], 0)
        columns.append(np.stack([line, beside, across], -1))
    return np.stack(columns, 1)
