r"""Estimate of a law's stress error at a state, as plain arrays in one file (CONVENTIONS.md).

This file stands in both packages, which do not import each other; a test keeps the two alike.
``ibvonn error-field`` fits the estimate to re-runs of the microscopic system, and both packages
evaluate it. With x = (ε, α, ε̇), each of the three over a scale of its own and a length ℓ,

.. math::
    \rho(x, x') = e^{-\frac12 |x - x'|^2}, \qquad
    m(x) = a^2 \rho(x, X) K^{-1} y, \qquad
    s^2(x) = q^2 (a^2 + b^2 + c^2 - a^4 \rho(x, X) K^{-1} \rho(X, x)),

component by component of the stress error y of the windows X of the re-runs, K being their
covariance with the noise of the re-runs. b is what ε, α and ε̇ do not tell because it belongs to a
path as a whole, c what is left of a window, q the calibration.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .parsing import parse_arrays
from .plain_files import read_file, write_file

FloatArray = npt.NDArray[np.float64]

FORMAT = 1
"""Format of the file, in its array ``ibvonn_error_estimate``."""

MOST_BYTES = 2**28
STATES_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class ErrorEstimate:
    """Mean and standard deviation of the stress error of a law, by strain, state and rate.

    Attributes:
        law: ASCII codes of the sha256 of the law's manifest.
        sizes: n_ε, n_α.
        scales: Of (ε, α, ε̇) with their lengths, ``(2 n_ε + n_α,)``.
        inputs: X over the scales, ``(n_row, 2 n_ε + n_α)``.
        weights: K⁻¹ y, ``(n_row, n_ε)`` [1 / stress].
        precision: K⁻¹ of each component, ``(n_ε, n_row, n_row)`` [1 / stress²].
        amplitudes: a, b, c [stress].
        calibration: q.
    """

    law: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]
    scales: FloatArray
    inputs: FloatArray
    weights: FloatArray
    precision: FloatArray
    amplitudes: FloatArray
    calibration: FloatArray

    @property
    def manifest_sha256(self) -> str:
        """Hash of the manifest of the law that it is an estimate of."""
        return bytes(self.law).decode("ascii")

    def at(
        self, strain: FloatArray, internal: FloatArray, rate: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the expected error σ_law − σ and its standard deviation, ``(n, n_ε)`` each.

        Args:
            strain: ε, ``(n, n_ε)``.
            internal: α, ``(n, n_α)``.
            rate: ε̇, ``(n, n_ε)`` [1 / time].
        """
        states = np.concatenate([strain, internal, rate], 1) / self.scales
        parts = [
            self._at(states[first : first + STATES_AT_ONCE])
            for first in range(0, len(states), STATES_AT_ONCE)
        ]
        if not parts:
            return np.zeros((0, int(self.sizes[0]))), np.zeros((0, int(self.sizes[0])))
        return np.concatenate([mean for mean, _ in parts]), np.concatenate([s for _, s in parts])

    def _at(self, states: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, b, c = self.amplitudes
        cross = a**2 * likeness(states, self.inputs)
        known = np.einsum("nr,crs,ns->nc", cross, self.precision, cross, optimize=True)
        # Round-off of K⁻¹ must not leave less than what no state tells.
        variance = np.maximum(a**2 + b**2 + c**2 - known, c**2)
        return cross @ self.weights, float(self.calibration) * np.sqrt(variance)

    def save(self, path: str | Path) -> None:
        """Write the arrays; an older file is replaced when the new one is complete."""
        stream = BytesIO()
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        np.savez_compressed(stream, ibvonn_error_estimate=np.array(FORMAT), **arrays)
        write_file(path, stream.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> ErrorEstimate:
        """Read a file.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is not an estimate of a format that is known here.
        """
        try:
            arrays = parse_arrays(read_file(path, MOST_BYTES, follow=True), MOST_BYTES)
        except ValueError as error:
            raise ValueError(
                f"{path}: must be an estimate of errors ({error}). Write one with `ibvonn "
                "error-field`."
            ) from error
        stored_format = arrays.pop("ibvonn_error_estimate", None)
        names = [each.name for each in fields(cls)]
        if stored_format is None or int(stored_format) != FORMAT or set(arrays) != set(names):
            raise ValueError(
                f"{path}: must be an estimate of errors of format {FORMAT}; found "
                f"{'none' if stored_format is None else stored_format} with the arrays "
                f"{sorted(arrays)}. Write one with `ibvonn error-field`."
            )
        estimate = cls(**arrays)
        rows, inputs = len(estimate.inputs), len(estimate.scales)
        strains = int(estimate.sizes[0])
        shapes = {
            "inputs": (rows, inputs),
            "weights": (rows, strains),
            "precision": (strains, rows, rows),
            "amplitudes": (3,),
            "scales": (2 * strains + int(estimate.sizes[1]),),
        }
        for name, shape in shapes.items():
            values = arrays[name]
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(
                    f"{path}: {name} must be finite numbers of shape {shape}; found shape "
                    f"{values.shape}. Write the file again with `ibvonn error-field`."
                )
        return estimate


def likeness(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return ρ between the rows of two arrays, ``(n, m)``."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2.0 * one @ other.T
    like: FloatArray = np.exp(-0.5 * np.maximum(squares, 0.0))
    return like
