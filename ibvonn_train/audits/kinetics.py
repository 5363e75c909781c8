"""Audits of the kinetics: memory, momentum, and α under rigid translation (D5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence, lacks_noise, lacks_time_step
from .one_step import over_intervals

WINDOW = 10
"""Stored steps over which rates are averaged."""
LAGS = (10, 20, 40)
"""How far back, in stored steps, the history is asked."""
FEATURES = 100
"""Random features of the present state, besides its products."""
DEFECT_STATES = 300
"""States at which the stress defect is measured."""


def markov_residual(law: Law, evidence: Evidence) -> Audit:
    """Ask whether the past says more about α̇ than the present state does.

    The difference between measured increments of α over a window and those of the law along the
    measured states is regressed on the states within the window, without and with those before it,
    on one half of the trajectories and predicted on the other. What the past adds, over the
    standard deviation of the increments, is the memory that the internal variables lack. In the
    certificate of a cell :mod:`~ibvonn_train.audits.cell_memory` takes its place.
    """
    name, acceptable = (
        "Markov residual",
        acceptance_ranges.MARKOV if evidence.strain_given else acceptance_ranges.CHAIN_MARKOV,
    )
    data, measured = evidence.data, evidence.measured
    instants, size = len(data.time), law.internal_size
    trajectories = data.protocols * measured.strain.shape[2]
    if len(set(data.strides)) > 1:
        reason = "needs instants at equal intervals: a window of steps is one length of time"
        return Audit.not_available(name, acceptable, reason)
    if trajectories < 2 or instants < LAGS[-1] + 2 * WINDOW:
        return Audit.not_available(
            name, acceptable, "needs two trajectories and more stored instants"
        )
    alpha, strain, increment = (
        _by_trajectory(part)
        for part in (measured.internal, measured.strain, over_intervals(law, evidence).increment)
    )
    starts = np.arange(LAGS[-1], instants - WINDOW, WINDOW // 2)
    moved = (alpha[:, starts + WINDOW] - alpha[:, starts]) / law.internal_scale
    rest: FloatArray = np.zeros((trajectories, 1, size))
    modelled = np.cumsum(np.concatenate([rest, increment], 1), axis=1) / law.internal_scale
    target = moved - (modelled[:, starts + WINDOW] - modelled[:, starts])
    states = np.concatenate([strain, alpha], -1)
    states = (states - states.mean((0, 1))) / states.std((0, 1))
    features = _features(states)  # a law's own error depends on the states within the window
    present = np.stack([features[:, at : at + WINDOW].mean(1) for at in starts], 1)
    past = np.concatenate([states[:, starts - lag] - states[:, starts] for lag in LAGS], -1)
    half = np.random.default_rng(7).permutation(trajectories) % 2 == 0
    # A few trajectories make regressions that predict worse than none: then none is used.
    nothing = float(np.mean(target**2))
    without, with_past = (
        min(nothing, 0.5 * sum(_unexplained(predictors, target, mask) for mask in (half, ~half)))
        for predictors in (present, np.concatenate([present, past], -1))
    )
    spread = float(np.mean(np.var(moved, axis=(0, 1))))
    own = 100 * float(np.sqrt(nothing / spread))
    return Audit.compare(
        name,
        100 * float(np.sqrt(max(without - with_past, 0.0) / spread)),
        acceptable,
        f"what states up to {LAGS[-1]} steps back add to the prediction of Δα over {WINDOW} steps, "
        "in % of its sd, on trajectories left out of the regression; the law's own residual: "
        f"{own:.3g} %",
    )


def _by_trajectory(values: FloatArray) -> FloatArray:
    """Return ``(n_protocol · n_site, n_time, n)`` of ``(n_protocol, n_time, n_site, n)``."""
    moved = np.swapaxes(values, 1, 2)
    return moved.reshape(-1, *moved.shape[2:])


def _features(states: FloatArray) -> FloatArray:
    """Return products and random features of standardised states, ``(..., n)``."""
    size = states.shape[-1]
    pairs = [states[..., i] * states[..., j] for i in range(size) for j in range(i, size)]
    rng = np.random.default_rng(8)
    random = np.tanh(states @ rng.normal(size=(size, FEATURES)) + rng.normal(size=FEATURES))
    one = np.ones_like(states[..., :1])
    return np.concatenate([one, states, np.stack(pairs, -1), random], -1)


def _unexplained(features: FloatArray, target: FloatArray, fit: npt.NDArray[np.bool_]) -> float:
    """Return the mean square error, on trajectories left out, of a ridge regression."""
    size = features.shape[-1]
    x, y = features[fit].reshape(-1, size), target[fit].reshape(-1, target.shape[-1])
    weights = np.linalg.solve(x.T @ x + 1e-4 * len(x) * np.eye(size), x.T @ y)
    miss = target[~fit] - features[~fit] @ weights
    return float(np.mean(miss**2))


def momentum(law: Law, evidence: Evidence) -> Audit | None:
    """Compare η v_i − (σ_{i+1} − σ_i) of the beads of a chain with its noise.

    The balance holds for ensemble means at every step of the integrator, whatever the law; with
    the law's σ at the encoded states the residual exceeds the noise by the law's own error. The
    noise is known exactly where every step is stored. Where the record is coarser, the mean of σ
    over an interval is not that of its ends, and the residual of the measured forces takes the
    place of the noise: the value is reported, because these forces miss more than a wrong stress.
    """
    if evidence.strain_given or law.physics is None:
        return None
    data, measured = evidence.data, evidence.measured
    name, acceptable = (
        "momentum residual",
        acceptance_ranges.MOMENTUM if data.stride == 1 else acceptance_ranges.COARSE_MOMENTUM,
    )
    lacking = lacks_noise(evidence) or lacks_time_step(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    length, friction = law.physics.reference_length, law.physics.friction
    dt = np.diff(data.time)[:, None]
    position = length * np.cumsum(measured.strain[..., 0], axis=2)[:, :, :-1]
    drag = friction * np.diff(position, axis=1) / dt
    stress = law.rates(*evidence.all_states(law)).stress.reshape(measured.stress.shape)[..., 0]
    replicas = data.replicas
    exact = np.sqrt(2 * data.parameters["thermal_energy"] * friction / (dt * replicas))
    of_law, of_data = (
        _root_mean_square((drag - _pull(forces, np.array(data.strides))) / exact)
        for forces in (stress, measured.stress[..., 0])
    )
    detail = "root mean square of η v − Δσ over its exact noise sqrt(2 k_BT η/N dt), σ of the law"
    if data.stride == 1:
        return Audit.compare(name, of_law, acceptable, detail)
    return Audit.compare(
        name,
        of_law / of_data,
        acceptable,
        "root mean square of η v − Δσ with σ of the law over that with the measured forces, which "
        f"at {data.stride} steps per stored interval is {of_data:.3g} of the noise of η v",
    )


def _pull(stress: FloatArray, strides: npt.NDArray[np.int64]) -> FloatArray:
    """Return σ_{i+1} − σ_i of each interval: at its start, or the mean of its ends if coarse."""
    pull: FloatArray = np.diff(stress, axis=2)
    single = (strides == 1)[:, None]
    return np.where(single, pull[:, :-1], (pull[:, 1:] + pull[:, :-1]) / 2)


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def stress_defect(law: Law, evidence: Evidence) -> Audit | None:
    """Under a rigid translation of the microstates α must not change: ⟨ψ'⟩ ∂f/∂α against σ.

    Where it does, the mean force is ∂f/∂ε + ⟨ψ'⟩ ∂f/∂α and not ∂f/∂ε (theory A3).
    """
    if not law.averaged:
        return None
    data, measured = evidence.data, evidence.measured
    shape = measured.strain.shape[:3]
    pick = np.random.default_rng(6).permutation(int(np.prod(shape)))[:DEFECT_STATES]
    at = np.unravel_index(pick, shape)
    x = data.samples[at].astype(np.float64)
    step = 1e-2 * float(x.std())
    rates = law.rates(measured.strain[at], measured.internal[at])
    defect = [
        (law.encode(x + by)[1] - law.encode(x - by)[1]) / (2 * step) * rates.driving_force
        for by in step * np.eye(x.shape[-1])  # a rigid translation in every direction
    ]
    return Audit.compare(
        "frame indifference",
        100 * float(np.linalg.norm(np.sum(defect, -1)) / np.linalg.norm(rates.stress)),
        acceptance_ranges.STRESS_DEFECT,
        f"rms of ⟨ψ'⟩ ∂f/∂α over rms of σ in %, {len(x)} states of unseen data",
    )
