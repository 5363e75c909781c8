"""Noise-free references: what a perfect law would predict from the same first states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..closed_form.exact_trap import ExactTrap
from ..data.ensemble import TrajectoryEnsemble
from ..simulation import MicroscopicSystem, TetheredParticle, repeat_from_first
from ..simulation.systems.registry import known_system
from .interface import FloatArray, Law
from .law_rollouts import Trajectories, encoded

NOISE_FREE_SEED = 90_001
"""Added to the seed of an ensemble for its repetition."""


def exact_trap_of(data: TrajectoryEnsemble) -> ExactTrap | None:
    """Return the closed forms of the trap that made the samples, or None for other records."""
    system = known_system(data)
    if not isinstance(system, TetheredParticle) or data.histogram is not None:
        return None
    return ExactTrap(system.stiffness, system.friction, system.thermal_energy)


def follows_the_scheme(data: TrajectoryEnsemble) -> bool:
    """Return whether a record says what its integrator did between stored instants."""
    has_rate = data.drive.path(data.strain)[1] is not None
    return has_rate and "time_step" not in data.not_recorded


def exact_trap_moments(data: TrajectoryEnsemble) -> tuple[FloatArray, FloatArray] | None:
    """Return mean and variance of the trap's own time-discrete scheme, given the first ensemble.

    Shape ``(n_protocol, n_time)`` each; None for other systems, and for records that lack the
    rate of the strain or the time step, without which the scheme cannot be followed.
    """
    exact = exact_trap_of(data)
    if exact is None or not follows_the_scheme(data):
        return None
    control, rate = data.drive.path(data.strain)
    assert rate is not None  # noqa: S101 (looked at above)
    x = data.samples[:, 0, 0, :, 0].astype(np.float64)
    return exact.discrete_moments(
        data.time, control[..., 0], rate[..., 0], data.time_step, x.mean(-1), x.var(-1)
    )


def exact_trap_mean(law: Law, data: TrajectoryEnsemble, measured: Trajectories) -> Trajectories:
    """Return the exact mean of the trap's own time-discrete scheme, given the first ensemble.

    α is that of Gaussian ensembles with the exact mean and variance.

    Args:
        law: Supplies the encoder.
        data: An ensemble of the trap, recorded at every step of its integrator or coarser.
        measured: The ensemble with the encoder's α.
    """
    exact, moments = exact_trap_of(data), exact_trap_moments(data)
    if exact is None or moments is None:
        raise ValueError(
            "exact_trap_mean: needs data of the trap with strain_rate and time step; these are of "
            f"{data.system!r}. Record them."
        )
    mean, variance = moments
    _, internal = law.encode(exact.ensemble(mean, variance)[:, :, None])
    force = exact.stress(data.strain[:, :, 0, 0], mean)
    return measured._replace(
        internal=internal,
        stress=force[:, :, None, None],
        force=force,
        order_parameter=mean[:, :, None],
    )


def repeated_mean(law: Law, repeated: TrajectoryEnsemble, data: TrajectoryEnsemble) -> Trajectories:
    """Return the means of an independent ensemble that starts from the same first microstates.

    Args:
        law: Supplies the encoder.
        repeated: Many times the replicas of ``data`` (`simulation.repeat_from_first`).
        data: The ensemble that is evaluated.

    Raises:
        ValueError: If the two do not belong together.
    """
    again, path = (record.drive.path(record.strain)[0] for record in (repeated, data))
    if again.shape != path.shape or not np.allclose(again, path, rtol=1e-6, atol=1e-12):
        raise ValueError(
            f"noise-free reference: must have the protocols of the ensemble; controls of shape "
            f"{again.shape} and {path.shape} differ. Make it with "
            "simulation.repeat_from_first."
        )
    first, repetition = data.samples[:, 0], repeated.samples[:, 0]
    spread = first.std(axis=2)
    if not np.all(np.abs(first.mean(2) - repetition.mean(2)) <= 1e-3 * spread + 1e-12):
        raise ValueError(
            "noise-free reference: must start from the first microstates of the ensemble; their "
            "means differ. Make it with simulation.repeat_from_first."
        )
    return encoded(law, repeated)


def noise_free_means(
    laws: Sequence[Law],
    data: TrajectoryEnsemble,
    *,
    seed: int | None = None,
    factor: int = 10,
    system: MicroscopicSystem | None = None,
    progress: bool = True,
) -> list[Trajectories]:
    """Return, for each law, the means of a repetition of the ensemble from its first microstates.

    One protocol is in memory at a time.

    Args:
        laws: Supply the encoders.
        data: The ensemble that is evaluated.
        seed: Of the repetition; protocol i takes ``seed + i``. By default another one than that of
            the ensemble.
        factor: Repetitions of each first microstate.
        system: That made the data; by default a trap or chain with their parameters.
        progress: Show progress bars.
    """
    parts: list[list[Trajectories]] = [[] for _ in laws]
    seed = NOISE_FREE_SEED + data.seed if seed is None else seed
    for case in range(data.protocols):
        one = data.select([case])
        many = repeat_from_first(
            one, factor=factor, seed=seed + case, system=system, progress=progress
        )
        for law, blocks in zip(laws, parts, strict=True):
            blocks.append(repeated_mean(law, many, one))
    return [_joined(blocks) for blocks in parts]


def _joined(parts: Sequence[Trajectories]) -> Trajectories:
    """Return the trajectories of all protocols as one."""
    strain, internal, stress, force = (
        np.concatenate(column) for column in zip(*(part[:4] for part in parts), strict=True)
    )
    order = [part.order_parameter for part in parts if part.order_parameter is not None]
    return Trajectories(strain, internal, stress, force, np.concatenate(order) if order else None)
