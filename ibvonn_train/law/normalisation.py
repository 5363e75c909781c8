"""Normalisation of internal variables: the affine map that fixes their zero, unit and axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, npt.NDArray[np.float64])


@dataclass(frozen=True)
class Normalisation(Generic[Array]):
    """Affine map α = M (a − m) from raw variables a to those of zero mean and unit covariance.

    Its arrays are those of torch or of numpy, as those of the states that it is applied to.

    Attributes:
        shift: m, shape ``(n_α,)``.
        matrix: M, shape ``(n_α, n_α)``.
    """

    shift: Array
    matrix: Array

    @classmethod
    def of(cls, states: Array) -> Normalisation[Array]:
        """Return the map that gives the states zero mean, unit variance and no correlation.

        M is the inverse of the lower Cholesky factor of the covariance: α_1 is the first raw
        variable, standardised, and each further one is what is new in it. Differentiable in the
        states where they are of torch.

        Args:
            states: Raw variables, shape ``(..., n_α)``, usually those of the training set.
        """
        if isinstance(states, np.ndarray):
            normalisation = Normalisation.of(torch.as_tensor(states))
            return cls(normalisation.shift.numpy(), normalisation.matrix.numpy())
        raw = states.reshape(-1, states.shape[-1])
        shift = raw.mean(0)
        centred = raw - shift
        covariance = centred.T @ centred / len(raw)
        # The floor keeps two initially parallel variables from giving an infinite matrix.
        floor = 1e-10 * torch.diagonal(covariance).detach().sum() + 1e-300
        identity = torch.eye(raw.shape[1], dtype=raw.dtype, device=raw.device)
        factor = torch.linalg.cholesky(covariance + floor * identity)
        return cls(shift, torch.linalg.solve_triangular(factor, identity, upper=False))

    def __call__(self, raw: Array) -> Array:
        """Return α, shape ``(..., n_α)``."""
        return (raw - self.shift) @ self.matrix.T
