"""The decoder of a population: one conditional density for each state, mixed by the fractions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .decoder import Decoder
from .flow import ConditionalFlow
from .networks.normal_distribution import upper_quantile, upper_tail

EMPTY = 1e-8
"""Least fraction of a state in the mixture; histograms give an empty one small negative values."""


class MixtureFlow(Decoder):
    r"""Density q(y | c) = Σ_s p_s q_s(y | c), p_s the fractions of the states, which stand in c.

    The sharp peaks of the states are apart and their weights known: no smooth map of one normal has
    to make them. ⟨ln q⟩ holds Σ p_s ln p_s exactly where the q_s do not overlap. All q_s are one
    flow, which is given the number of the state (one of m entries is 1) behind c.

    Args:
        features: n_x.
        context: Components of c.
        first: Place of α in c; its first m − 1 components are the fractions of the states 1 … m−1.
        states: m.
        generator: Source of the initial weights.

    Attributes:
        state_centre, state_scale: Where each state was at the start of the training, in units of
            ``scale`` from ``centre``, shape ``(m, n_x)``.
    """

    centre: Tensor
    scale: Tensor
    state_centre: Tensor
    state_scale: Tensor

    def __init__(
        self, features: int, context: int, *, first: int, states: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first, self.states = first, states
        self.flow = ConditionalFlow(features, context + states, generator=generator)
        for name, shape in (("", (features,)), ("state_", (states, features))):
            self.register_buffer(f"{name}centre", torch.zeros(shape, dtype=torch.float64))
            self.register_buffer(f"{name}scale", torch.ones(shape, dtype=torch.float64))

    def fractions(self, context: Tensor) -> Tensor:
        """Return p of all states, ``(n_state, m)``."""
        return fractions_of(context[..., self.first :], self.states)

    def log_density(self, y: Tensor, context: Tensor) -> Tensor:
        """Return ln q(y | c), ``(n_state, n_point)``, for y of ``(n_state, n_point, n_x)``."""
        scaled = ((y - self.centre) / self.scale).unsqueeze(1)
        scaled = (scaled - self.state_centre.unsqueeze(1)) / self.state_scale.unsqueeze(1)
        count = len(context)
        number = torch.eye(self.states, dtype=context.dtype, device=context.device)
        condition = torch.cat(
            [context.repeat_interleave(self.states, 0), number.repeat(count, 1)], -1
        )
        of_states = self.flow.log_density(scaled.flatten(0, 1), condition)
        of_states = of_states.reshape(count, self.states, -1)
        log_weight = self.fractions(context).log() - self.state_scale.log().sum(-1)
        total = torch.logsumexp(of_states + log_weight.unsqueeze(-1), 1)
        return total - self.scale.log().sum()

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Return y, ``(n_state, n_sample, n_x)``, of standard normal noise of that shape.

        u = Φ(z₁) picks the state in whose interval of the cumulated fractions it lies, the states
        being in the order of the medians of y₁; Φ⁻¹ of its place there takes the place of z₁.
        """
        medians = [
            self._of_state(s, torch.zeros_like(noise[:, :1]), context)[..., :1]
            for s in range(self.states)
        ]
        chosen, first = pick_state(noise[..., :1], self.fractions(context).unsqueeze(1), medians)
        inner = torch.cat([first, noise[..., 1:]], -1)
        values = [self._of_state(s, inner, context) for s in range(self.states)]
        return of_the_chosen(chosen, values) * self.scale + self.centre

    def _of_state(self, state: int, noise: Tensor, context: Tensor) -> Tensor:
        number = torch.zeros_like(context[:, :1]).repeat(1, self.states)
        number[:, state] = 1.0
        y = self.flow.sample(noise, torch.cat([context, number], -1))
        return y * self.state_scale[state] + self.state_centre[state]


# The functions below use only operations that trace into every graph.


def fractions_of(internal: Tensor, states: int) -> Tensor:
    """Return p_0 … p_{m−1}, ``(..., m)``, at least ``EMPTY``, of α that begins with p_1 … p_{m−1}.

    Args:
        internal: α of a class, shape ``(..., n)``.
        states: m.
    """
    rest = internal[..., : states - 1]
    whole = torch.cat([1.0 - torch.sum(rest, -1, keepdim=True), rest], -1)
    filled = torch.relu(whole - EMPTY) + EMPTY
    return filled / torch.sum(filled, -1, keepdim=True)


def pick_state(
    noise: Tensor, fractions: Tensor, medians: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Split standard normal numbers z into a state and a standard normal number within it.

    Args:
        noise: z, shape ``(..., n, 1)``.
        fractions: p of m states, summing to one, shape ``(..., 1, m)``.
        medians: What orders the states, m tensors ``(..., 1, 1)``.

    Returns:
        Whether each state is that of z, m tensors ``(..., n, 1)``, and Φ⁻¹((Φ(z) − c)/p), c being
        the fractions of the states before it: it rises with z within a state.
    """
    parts = [fractions[..., s : s + 1] for s in range(len(medians))]
    nothing = torch.zeros_like(parts[0])
    below, above = [], []
    for s in range(len(parts)):
        low, high = nothing, nothing
        for t in range(len(parts)):
            if t != s:
                low = low + torch.where(_before(medians, t, s), parts[t], nothing)
                high = high + torch.where(_before(medians, s, t), parts[t], nothing)
        below.append(low)
        above.append(high)
    positive = noise > 0.0
    tail = upper_tail(torch.abs(noise))
    reached = [
        (positive & (tail < part + high)) | (~positive & (tail >= low))
        for part, low, high in zip(parts, below, above, strict=True)
    ]
    chosen = []
    for s, here in enumerate(reached):
        last = here
        for t, there in enumerate(reached):
            if t != s:
                last = last & ~(there & _before(medians, s, t))
        chosen.append(last)
    part, low, high = (of_the_chosen(chosen, values) for values in (parts, below, above))
    from_below = (torch.where(positive, 1.0 - tail, tail) - low) / part
    from_above = (torch.where(positive, tail, 1.0 - tail) - high) / part
    size = upper_quantile(torch.minimum(from_below, from_above))
    return chosen, torch.where(from_below < from_above, -size, size)


def of_the_chosen(chosen: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return of some values, one for each state, that of the chosen state."""
    value = values[0]
    for here, other in zip(chosen[1:], values[1:], strict=True):
        value = torch.where(here, other, value)
    return value


def _before(medians: Sequence[Tensor], s: int, t: int) -> Tensor:
    """Return whether state s stands before state t; of equal medians the first is the first."""
    return medians[s] <= medians[t] if s < t else medians[s] < medians[t]
