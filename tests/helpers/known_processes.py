"""Records of stationary processes whose slow features are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ibvonn_train.data import StrainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble

FloatArray = npt.NDArray[np.float64]


def record(x: FloatArray, interval: float = 0.1) -> TrajectoryEnsemble:
    """Return a record of microstates ``(protocol, time, replica, n_x)`` of one site."""
    protocols, instants = x.shape[:2]
    ramp = np.linspace(0.0, 1.0, instants)[None, :, None, None] * np.ones((protocols, 1, 1, 1))
    return TrajectoryEnsemble(
        time=interval * np.arange(instants),
        strain=ramp,
        stress=2.0 * ramp,
        microstate=x[:, :, None],
        drive=StrainDriven(),
        strain_kind="controlled",
        system="a known process",
        parameters={"friction": 1.0, "thermal_energy": 1.0},
        time_step=interval,
        seed=0,
        units={},
    )


def ornstein_uhlenbeck(
    decay: float, shape: tuple[int, int, int], *, drift: float = 0.0, seed: int = 0
) -> FloatArray:
    """Return x_{t+1} = a x_t + √(1 − a²) ξ about a mean that moves, ``(*shape, 1)``."""
    generator = np.random.default_rng(seed)
    protocols, instants, replicas = shape
    noise = generator.standard_normal((instants, protocols, replicas))
    x = np.empty_like(noise)
    x[0] = noise[0]
    for t in range(1, instants):
        x[t] = decay * x[t - 1] + np.sqrt(1.0 - decay**2) * noise[t]
    moved = x + drift * np.sin(np.linspace(0.0, 6.0, instants))[:, None, None]
    return np.swapaxes(moved, 0, 1)[..., None]


def jumps(
    rates: FloatArray, shape: tuple[int, int, int], *, width: float = 0.1, interval: float = 0.1
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return positions s + white noise of elements that jump between states s, and the states.

    Args:
        rates: k_ij from state i to state j, with rows that sum to zero.
        shape: Protocols, instants, replicas.
        width: Standard deviation of the noise.
        interval: Between instants.
    """
    from scipy.linalg import expm

    generator = np.random.default_rng(1)
    protocols, instants, replicas = shape
    passing = np.cumsum(expm(interval * rates), axis=1)
    rest = np.linalg.svd(rates.T)[2][-1]
    rest = rest / rest.sum()
    state = np.empty((instants, protocols, replicas), dtype=np.int64)
    state[0] = generator.choice(len(rates), size=(protocols, replicas), p=rest)
    for t in range(1, instants):
        drawn = generator.random((protocols, replicas, 1))
        state[t] = (drawn > passing[state[t - 1]]).sum(-1).clip(max=len(rates) - 1)
    state = np.swapaxes(state, 0, 1)
    x = state + width * generator.standard_normal(state.shape)
    return x[..., None], state
