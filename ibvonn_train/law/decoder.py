"""Decoders: conditional densities q(y | c) of microstates."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Decoder(nn.Module, ABC):
    """Density of y given a context c, where y = x for controlled, y = x − ε for averaged strain.

    The context is α of the class, and where populations are under an imposed strain its strain
    features before it: see :meth:`ibvonn_train.law.learned_law.LearnedLaw.context`.

    Attributes:
        centre, scale: Mean and standard deviation of y in the training data, shape ``(n_x,)``.
    """

    centre: Tensor
    scale: Tensor

    @abstractmethod
    def log_density(self, y: Tensor, context: Tensor) -> Tensor:
        """Return ln q(y | c), ``(n_state, n_point)``, for y of ``(n_state, n_point, n_x)``."""

    @abstractmethod
    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return y of the shape of the standard normal ``noise``, ``(n_state, n_sample, n_x)``."""
