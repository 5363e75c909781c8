"""The values of a law at given states: what evaluation, audits and figures ask it for."""

from __future__ import annotations

from typing import Generic, NamedTuple

from .normalisation import Array


class Rates(NamedTuple, Generic[Array]):
    """f, σ, g and α̇ at given states, as arrays of torch or of numpy.

    Attributes:
        energy: Helmholtz free energy f, shape ``(...)``.
        stress: σ = ∂f/∂ε, shape ``(..., n_ε)``.
        driving_force: g = −∂f/∂α, shape ``(..., n_α)``.
        rate: α̇ = ∂φ/∂g, shape ``(..., n_α)``.
    """

    energy: Array
    stress: Array
    driving_force: Array
    rate: Array
