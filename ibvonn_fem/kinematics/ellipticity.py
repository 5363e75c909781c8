"""Strong ellipticity of a solid: whether plane waves of every direction have real speeds.

With A = dP/dF, a direction N and the acoustic tensor

    Q(N)_ik = A_iJkL N_J N_L,

the equations of a step are elliptic where m·Q(N) m > 0 for all unit vectors m and N. Where the
smallest eigenvalue of the symmetric part of Q over all N reaches zero, deformation may localise in
a band with the normal N, of a width that the mesh chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..directions import lebedev
from ..kernels.base import FloatArray
from ..model.exported_model import ExportedModel
from .evaluation import Evaluation
from .settings import PLANE, SPACE
from .solid import Solid

_PLANE_COUNT = 180
_SPACE_COUNT = 385
_ROUNDS = 12


@dataclass(frozen=True)
class Ellipticity:
    """Strong ellipticity at ``n`` deformations.

    Attributes:
        smallest: Smallest eigenvalue of the acoustic tensor over all directions, shape ``(n,)``
            [stress]; strongly elliptic where positive. NaN where the law did not converge.
        normal: Direction N of it in the reference configuration, shape ``(n, d)``.
        statev: Internal variables α⁺, shape ``(n, n_α)``.
        validity: Excursion of the law's strain and state from its training data, shape ``(n,)``.
    """

    smallest: FloatArray
    normal: FloatArray
    statev: FloatArray
    validity: FloatArray


def strong_ellipticity(
    model: ExportedModel,
    solid: Solid,
    gradient: FloatArray,
    *,
    statev: FloatArray | None = None,
    dt: float = 0.0,
) -> Ellipticity:
    """Smallest eigenvalue of the acoustic tensor of a law at given deformations.

    The tangent is that of a step of length ``dt`` from the undeformed state: with ``dt=0`` that of
    sudden changes of load at the internal variables ``statev``, with a very long step that of
    quasi-static loading, in which internal variables are in equilibrium.

    Args:
        model: The law.
        solid: A kinematics of finite strain in the plane or in space without condensed components,
            such as ``DirectionStretch(model)``.
        gradient: H = F − 1, shape ``(n, d, d)``.
        statev: α_n, shape ``(n, n_α)`` (default: of the undeformed state).
        dt: Δt ≥ 0 [time of the model].

    Raises:
        ValueError: If the solid is of small strain, in another setting, or the shapes do not fit.
    """
    size = solid.setting.dimension
    if not solid.finite or solid.setting not in (PLANE, SPACE) or solid.direction_count != 1:
        raise ValueError(
            "strong_ellipticity: needs a solid of finite strain in the plane or in space with one "
            f"evaluation of the law, such as DirectionStretch(model); found {type(solid).__name__} "
            f"in {solid.setting.name}{'' if solid.finite else ', of small strain'}."
        )
    gradient = np.asarray(gradient, dtype=np.float64)
    if gradient.ndim != 3 or gradient.shape[1:] != (size, size):
        raise ValueError(
            f"strong_ellipticity: gradient must have shape (n, {size}, {size}); found "
            f"{gradient.shape}."
        )
    count = len(gradient)
    if statev is None:
        statev = np.tile(model.manifest.initial_state.statev, (count, 1))
    if np.shape(statev) != (count, model.internal_size):
        raise ValueError(
            f"strong_ellipticity: statev must have shape ({count}, {model.internal_size}); found "
            f"{np.shape(statev)}."
        )
    evaluate = Evaluation(model, solid, size * size, count)
    measure = gradient.reshape(count, -1).copy()
    response = evaluate(measure, measure if dt == 0.0 else np.zeros_like(measure), statev, dt)
    tangent = response.tangent.reshape(count, size, size, size, size)
    smallest, normal = smallest_acoustic_eigenvalue(tangent)
    converged: NDArray[np.bool_] = response.law.residual <= model.manifest.residual_tolerance
    smallest[~converged] = np.nan
    # The kernel's own measure of strain and state; how long the step is does not matter here.
    kernel = model.kernel.update(response.strain, response.strain, response.law.statev_new, 0.0)
    return Ellipticity(smallest, normal, response.law.statev_new.copy(), kernel.validity.copy())


def smallest_acoustic_eigenvalue(tangent: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smallest eigenvalue of the symmetric part of Q(N) over all directions N.

    A scan over the half circle or half sphere, then a search around the best direction that shrinks
    until the direction is known to 1e-4 of a radian, where the eigenvalue is flat.

    Args:
        tangent: A_iJkL = ∂P_iJ/∂F_kL, shape ``(n, d, d, d, d)`` with d = 2 or 3.

    Returns:
        The eigenvalue, shape ``(n,)``, and N, shape ``(n, d)``.
    """
    count, size = len(tangent), tangent.shape[1]
    if size == 2:
        angle = np.pi * np.arange(_PLANE_COUNT) / _PLANE_COUNT
        first = np.stack([np.cos(angle), np.sin(angle)], -1)
        radius = np.pi / _PLANE_COUNT
    else:
        first = lebedev(_SPACE_COUNT).vectors
        radius = 0.15  # more than the distance of two of 385 directions on the half sphere
    spread = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * size, indexing="ij"), -1)
    spread = spread.reshape(-1, size)
    smallest, normal = np.empty(count), np.empty((count, size))
    for point in range(count):
        trial = first
        near = radius
        for _ in range(_ROUNDS):
            q = np.einsum("iJkL,mJ,mL->mik", tangent[point], trial, trial)
            values = np.linalg.eigvalsh(0.5 * (q + q.transpose(0, 2, 1)))[:, 0]
            best = int(np.argmin(values))
            smallest[point], normal[point] = values[best], trial[best]
            trial = trial[best] + near * spread
            trial /= np.linalg.norm(trial, axis=1, keepdims=True)
            near *= 0.5
    return smallest, normal
