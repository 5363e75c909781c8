"""Estimated stress error of a law at its quadrature points, with its own uncertainty.

errors = StressErrors(law, "plate_errors.npz")  # written by `ibvonn error-field`
with FieldWriter("plate.xdmf", law, u, errors=errors) as fields:
    stepping.run(times, callback=lambda step: fields.write(step.time))
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files.error_estimate import ErrorEstimate
from ..files.model_directory import manifest_hash
from ..kernels.base import FloatArray
from ..kinematics.evaluation import strains_of_law
from ..model.scaling import unscaled
from .law import InternalVariableLaw


class StressErrors:
    """Estimate of a law's stress error at the committed states of its points.

    Args:
        law: The law; each point sees one strain.
        estimate: The estimate, or its file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an estimate of this law, or the kinematics has several directions.
    """

    def __init__(self, law: InternalVariableLaw, estimate: ErrorEstimate | str | Path) -> None:
        source = estimate if isinstance(estimate, str | Path) else "the estimate"
        self._estimate = (
            estimate if isinstance(estimate, ErrorEstimate) else ErrorEstimate.load(estimate)
        )
        self.law = law
        original, self._scales = unscaled(law.model)
        if law.kinematics.direction_count != 1:
            raise ValueError(
                f"StressErrors: {type(law.kinematics).__name__} has "
                f"{law.kinematics.direction_count} directions at a point; errors are estimated of "
                "laws that see one strain at a point."
            )
        raw = original.manifest.raw
        if not raw or manifest_hash(raw) != self._estimate.manifest_sha256:
            raise ValueError(
                f"StressErrors: {source} must be an estimate of the law {law.name!r}; it is of a "
                f"law with another manifest ({self._estimate.manifest_sha256[:12]}…). Write one "
                "for this law with `ibvonn error-field`."
            )
        self._time: float | None = None
        self._strain = self._strains()
        self._rate = np.zeros_like(self._strain)

    def at(self, time: float) -> tuple[FloatArray, FloatArray]:
        """Return the expected error σ_law − σ of the committed state and its standard deviation.

        The strain rate is that since the instant of the last call; a call at the same instant, as
        after a jump of the loads, takes the rate of the call before.

        Args:
            time: Instant of the committed state.

        Returns:
            Two arrays ``(points, n_ε)`` [stress], in the components of the law.
        """
        strain = self._strains()
        if self._time is not None and time > self._time:
            self._rate = (strain - self._strain) / ((time - self._time) / self._scales["time"])
        self._time, self._strain = time, strain
        mean, deviation = self._estimate.at(strain, self.law.internal[:, 0], self._rate)
        stress = self._scales["stress"]
        return stress * mean, stress * deviation

    def _strains(self) -> FloatArray:
        """Strain of every point in the measure of the exported law, ``(points, n_ε)``."""
        law = self.law
        return strains_of_law(law.model, law.kinematics, law.measure) / self._scales["strain"]
