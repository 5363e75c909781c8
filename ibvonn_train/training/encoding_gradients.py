"""Gradients of many terms through one encoder."""

from __future__ import annotations

import torch
from torch import Tensor


class EncodingGradients:
    r"""Hands copies of α to the terms, and what they gather there to the encoder in one pass.

    A copy is cut off from the encoder: each term can be differentiated on its own and its graph
    freed, in pieces that stay in the processor's cache, while the encoder's graph is walked through
    once at the end. The gradients of the weights are the same as those of the sum of the terms::

                             cut
        microstates ─► α  ┄┄┄┄┄┄┄┄► copy ─┬─► term 1, differentiated at once
            encoder    ▲                  ├─► term 2, differentiated at once
                       │                  └─► …
                       └── one pass at the end ◄── copy.grad, the sum over the terms
    """

    def __init__(self) -> None:
        self._encodings: list[tuple[Tensor, Tensor]] = []
        self._scalars: list[Tensor] = []

    def copy(self, internal: Tensor) -> Tensor:
        """Return α to build terms on; that of a frozen encoder is returned as it is."""
        if not internal.requires_grad:
            return internal
        own = internal.detach().requires_grad_()
        self._encodings.append((internal, own))
        return own

    def add(self, scalar: Tensor) -> None:
        """Take a term that the encoder gives itself, to be differentiated in the same pass."""
        self._scalars.append(scalar)

    def backward(self) -> None:
        """Differentiate the encodings with what their copies have gathered."""
        pairs = [(internal, own.grad) for internal, own in self._encodings if own.grad is not None]
        pairs += [(scalar, torch.ones_like(scalar)) for scalar in self._scalars]
        if pairs:
            torch.autograd.backward([root for root, _ in pairs], [grad for _, grad in pairs])
