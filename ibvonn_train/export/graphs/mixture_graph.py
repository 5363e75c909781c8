"""The mixture over the states of a population as two graphs: log-density and sampling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...law.mixture import MixtureFlow, fractions_of, of_the_chosen, pick_state
from .decoder_graph import FlowGraph


class _MixtureGraph(FlowGraph):
    """The flow of all states, and where each state is."""

    state_centre: Tensor
    state_scale: Tensor

    def __init__(self, mixture: MixtureFlow, **about: Any) -> None:
        super().__init__(mixture.flow, **about)
        self.states, self.first = mixture.states, mixture.first
        for name in ("centre", "scale", "state_centre", "state_scale"):
            self.register_buffer(name, getattr(mixture, name).detach().clone())

    def fractions(self, context: Tensor) -> Tensor:
        """Return p of all states, ``(n_state, 1, m)``."""
        return fractions_of(context[..., self.first :], self.states)

    def with_state(self, context: Tensor, state: int) -> Tensor:
        """Return what the flow of a state is given: the context, and its number behind it."""
        zero, one = torch.zeros_like(context[..., :1]), torch.ones_like(context[..., :1])
        number = [one if s == state else zero for s in range(self.states)]
        return torch.cat([context, *number], -1)


class MixtureLogDensity(_MixtureGraph):
    """ln q(x | ε, α) of a :class:`ibvonn_train.law.mixture.MixtureFlow`.

    Args: as :class:`ibvonn_train.export.graphs.decoder_graph.FlowLogDensity`.
    """

    def forward(self, microstate: Tensor, strain: Tensor, statev: Tensor) -> Tensor:
        """Return ``(n_state, n_sample)`` for microstates ``(n_state, n_sample, n_x)``."""
        context = self.context(strain, statev)
        y = self.scaled(microstate, strain)
        log_weight = torch.log(self.fractions(context))
        log_weight = log_weight - torch.sum(torch.log(self.state_scale), -1)
        terms = []
        for s in range(self.states):
            own = (y - self.state_centre[s : s + 1]) / self.state_scale[s : s + 1]
            of_state = self.scaled_log_density(own, self.with_state(context, s))
            terms.append(of_state + log_weight[..., s : s + 1])
        together = torch.cat(terms, -1)
        largest = torch.amax(together, -1, keepdim=True)
        total = torch.sum(torch.exp(together - largest), -1, keepdim=True)
        log_density = torch.log(total) + largest - torch.sum(torch.log(self.scale))
        return torch.sum(log_density, -1)


class MixtureSample(_MixtureGraph):
    """Microstates from standard normal noise, of which the first component picks the state.

    Args: as :class:`ibvonn_train.export.graphs.decoder_graph.FlowLogDensity`.
    """

    def forward(self, noise: Tensor, strain: Tensor, statev: Tensor) -> Tensor:
        """Return microstates of the shape of ``noise``, ``(n_state, n_sample, n_x)``."""
        context = self.context(strain, statev)
        origin = torch.zeros_like(torch.cat([context[..., :1]] * self.size, -1))
        medians = [self._of_state(s, origin, context)[..., :1] for s in range(self.states)]
        chosen, first = pick_state(noise[..., :1], self.fractions(context), medians)
        inner = torch.cat([first, noise[..., 1:]], -1)
        values = [self._of_state(s, inner, context) for s in range(self.states)]
        return self.absolute(of_the_chosen(chosen, values), strain)

    def _of_state(self, state: int, noise: Tensor, context: Tensor) -> Tensor:
        scaled = self.scaled_sample(noise, self.with_state(context, state))
        place = slice(state, state + 1)
        return scaled * self.state_scale[place] + self.state_centre[place]
