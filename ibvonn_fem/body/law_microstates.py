"""Microstates at a quadrature point, drawn from the decoder of the model at the committed state."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..kernels.base import FloatArray
from ..kinematics import Kinematics
from ..kinematics.evaluation import strains_of_law
from ..model.exported_model import ExportedModel
from ..model.microstates import Decoder
from .law_state import LawState


class LawMicrostates:
    """The distribution q(x | ε, α) at the committed state of one integration direction.

    Args:
        name: Name of the law, for messages.
        model: The law; without a decoder the methods raise ``ExportedModelError``.
        kinematics: Map between the measure and the strains of the law.
        state: State of the points.
    """

    def __init__(
        self, name: str, model: ExportedModel, kinematics: Kinematics, state: LawState
    ) -> None:
        self._name = name
        self._model = model
        self._kinematics = kinematics
        self._state = state

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self._model)

    def sample(
        self, point: int, direction: int | None, n: int, random: np.random.Generator
    ) -> FloatArray:
        """Draw ``n`` microstates, shape ``(n, n_x)``, or ``(n_class, n, n_x)`` of several classes.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        strain, statev = self._strain_and_statev(point, direction)
        return np.asarray(self._decoder.sample(strain, statev, n, random)[0])

    def density(self, point: int, direction: int | None, x: object) -> FloatArray:
        """q(x | ε, α) per unit volume of x, shape ``(n,)``, for ``x`` of shape ``(n, n_x)``.

        Of several classes the shapes are ``(n_class, n)`` and ``(n_class, n, n_x)``.

        Raises:
            ExportedModelError: If the model has no decoder.
            IndexError: If there is no such point or direction.
        """
        strain, statev = self._strain_and_statev(point, direction)
        classes = self._decoder.classes
        shape = (1, -1) if classes == 1 else (1, classes, -1)
        microstates = np.asarray(x, dtype=np.float64).reshape(*shape, self._decoder.size)
        return np.asarray(np.exp(self._decoder.log_density(strain, statev, microstates)[0]))

    def _strain_and_statev(
        self, point: int, direction: int | None
    ) -> tuple[FloatArray, FloatArray]:
        """Committed ε and α of one integration direction, each with one row."""
        points, directions, _ = self._state.shape
        if not 0 <= point < points:
            raise IndexError(
                f"{self._name}: point must be one of the {points} of this rank; found {point}."
            )
        if (direction is None and directions > 1) or not 0 <= (direction or 0) < directions:
            raise IndexError(
                f"{self._name}: direction must be one of {directions} (0 to {directions - 1}); "
                f"found {direction}."
            )
        k = direction or 0
        measure = self._state.measure_old[point : point + 1]
        strain = strains_of_law(self._model, self._kinematics, measure)[k : k + 1]
        return strain, self._state.internal[point, k : k + 1]
