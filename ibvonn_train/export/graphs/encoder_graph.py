"""The encoder as a graph, with the zeros of α and of the strain of the exported model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EncoderGraph(nn.Module):
    """Microstates of an ensemble → internal variables, and the strain where it is averaged.

    Exported variables may have another zero than those of training: α_training =
    α + ``internal_shift`` and ε_training = ε + ``strain_shift``, as in
    :class:`ibvonn_train.export.graphs.decoder_graph.FlowLogDensity`.

    With several classes of elements a class axis stands before that of the replicas, and α lists
    those of the classes one after the other.

    Args:
        encoder: Microstates ``(…, n_replica, n_x)`` → α_training of a class, ``(…, n)``.
        averaged: Whether the strain is ⟨x⟩.
        strain_shift: Shift of the strain.
        internal_shift: Shift of the internal variables.
        classes: Number of classes.
    """

    strain_shift: Tensor
    internal_shift: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        *,
        averaged: bool,
        strain_shift: Tensor | float = 0.0,
        internal_shift: Tensor | float = 0.0,
        classes: int = 1,
    ) -> None:
        super().__init__()
        self.encoder, self.averaged, self.classes = encoder, averaged, classes
        for name, value in (
            ("strain_shift", strain_shift),
            ("internal_shift", internal_shift),
        ):
            tensor = torch.as_tensor(value, dtype=torch.float64).detach().clone()
            self.register_buffer(name, tensor)

    def forward(self, microstate: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return statev ``(n_state, n_α)`` and, for averaged strain, strain ``(n_state, n_x)``."""
        trained: Tensor = self.encoder(microstate)
        if self.classes > 1:
            trained = torch.reshape(trained, (-1, self.internal_shift.shape[0]))
        statev = trained - self.internal_shift
        if not self.averaged:
            return statev
        return statev, torch.mean(microstate, 1) - self.strain_shift
