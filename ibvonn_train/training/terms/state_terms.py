"""Terms at single states: how well the decoder predicts microstates, and how f agrees with it."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...data.binned_microstates import EmpiricalMeasure
from ...law.free_energy import flow_free_energy
from ...law.rates import Rates
from .. import losses
from ..dataset import Block
from .fluctuation_term import FluctuationTerm
from .term_context import TermContext


class StateTerms:
    """`negative_log_likelihood`, the consistency of f and g with the decoder, `fluctuation`.

    Consistency compares f with the decoder free energy F_flow = ⟨e⟩_q + k_BT ⟨ln q⟩_q
    (`free_energy_consistency`) and g with −∂F_flow/∂α (`driving_force_consistency`).

    Args:
        context: Of the stage.
    """

    def __init__(self, context: TermContext) -> None:
        self.context = context
        self._frozen = context.encoder_frozen and context.decoder_frozen
        self._fluctuation = FluctuationTerm(context) if context.weights.fluctuation else None
        # What frozen parts give for a block is computed once, and forgotten with the block.
        self._flow: WeakKeyDictionary[Block, tuple[Tensor, Tensor]] = WeakKeyDictionary()

    def __call__(self, block: Block, internal: Tensor) -> dict[str, Tensor]:
        """Return the terms that have a weight.

        Args:
            block: States.
            internal: Their α, shape ``(n_state, n_α)``.
        """
        law, weights = self.context.law, self.context.weights
        strain = block.flat(block.strain)
        terms: dict[str, Tensor] = {}
        consistent = weights.free_energy_consistency or weights.driving_force_consistency
        measure = self._decoder_measure(block)
        if weights.driving_force_consistency and not self._frozen:
            internal = internal.detach().requires_grad_()  # of a frozen encoder
        if weights.negative_log_likelihood or (consistent and not self._frozen):
            log_density = law.decoder.log_density(measure.positions(), internal)
            if weights.negative_log_likelihood:
                nats = losses.negative_log_likelihood(measure, log_density)
                terms["negative_log_likelihood"] = nats.mean()
        values: Rates[Tensor] = law(strain, internal)
        if self._fluctuation is not None:
            terms["fluctuation"] = self._fluctuation(block, values, internal)
        if not consistent:
            return terms
        if self._frozen:
            reference, force = self._frozen_flow(block, internal)
        else:
            reference = self._flow_energy(measure, log_density, strain)
        terms["free_energy_consistency"] = losses.relative_variance(values.energy, reference)
        if weights.driving_force_consistency:
            if not self._frozen:
                (slope,) = torch.autograd.grad(reference.sum(), internal, create_graph=True)
                force = -slope
            scale = force.detach().std(0)
            terms["driving_force_consistency"] = losses.normalised_square(
                values.driving_force, force, scale
            )
        return terms

    def _decoder_measure(self, block: Block) -> EmpiricalMeasure:
        """Return the measures of what the decoder describes."""
        averaged = self.context.law.strain_kind == "averaged"
        return block.measures.centred if averaged else block.measures.absolute

    def _flow_energy(
        self, measure: EmpiricalMeasure, log_density: Tensor, strain: Tensor
    ) -> Tensor:
        """Return F_flow by quadrature on the nodes of the data."""
        physics = self.context.physics
        if physics.energy is None or not measure.shared:
            raise ValueError(
                "training: the consistency of f with the decoder needs a known microscopic energy "
                "and microstates of one dimension; set loss.free_energy_consistency and "
                "loss.driving_force_consistency to 0."
            )
        microscopic = physics.energy(measure.nodes + self.context.law.origin(strain), strain)
        spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
        return flow_free_energy(log_density, microscopic, spacing, physics.thermal_energy)

    def _frozen_flow(self, block: Block, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return F_flow and −∂F_flow/∂α of frozen parts."""
        if block not in self._flow:
            law = self.context.law
            measure, strain = self._decoder_measure(block), block.flat(block.strain)
            alpha = internal.detach().requires_grad_()
            values, forces = [], []
            for states, eps in zip(torch.split(alpha, 256), torch.split(strain, 256), strict=True):
                points = measure.nodes.expand(len(eps), *measure.nodes.shape)
                log_density = law.decoder.log_density(points, states)
                value = self._flow_energy(measure, log_density, eps)
                slope = torch.zeros_like(states)
                if law.internal_size:
                    (slope,) = torch.autograd.grad(value.sum(), states)
                values.append(value.detach())
                forces.append(-slope)
            self._flow[block] = torch.cat(values), torch.cat(forces)
        return self._flow[block]
