"""The encoder as a graph, with the zeros of α and of the strain of the exported model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EncoderGraph(nn.Module):
    """Microstates of an ensemble → internal variables, and the strain where it is averaged.

    Exported variables may have another zero than those of training: α_training =
    α + ``internal_shift`` and ε_training = ε + ``strain_shift``, as in
    :class:`ibvonn_train.export.graphs.decoder_graph.FlowLogDensity`.

    Args:
        encoder: Microstates ``(n_state, n_replica, n_x)`` → α_training ``(n_state, n_α)``.
        averaged: Whether the strain is ⟨x⟩.
        strain_shift: Shift of the strain.
        internal_shift: Shift of the internal variables.
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
    ) -> None:
        super().__init__()
        self.encoder, self.averaged = encoder, averaged
        for name, value in (
            ("strain_shift", strain_shift),
            ("internal_shift", internal_shift),
        ):
            tensor = torch.as_tensor(value, dtype=torch.float64).detach().clone()
            self.register_buffer(name, tensor)

    def forward(self, microstate: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return statev ``(n_state, n_α)`` and, for averaged strain, strain ``(n_state, n_x)``."""
        trained: Tensor = self.encoder(microstate)
        statev = trained - self.internal_shift
        if not self.averaged:
            return statev
        return statev, torch.mean(microstate, 1) - self.strain_shift
