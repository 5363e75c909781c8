"""The loss of a stage: which terms, on which states, with which parts frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import dynamics, losses
from ..encoder import Gauge, whitening
from ..free_energy import flow_free_energy
from ..model import LawValues, LearnedLaw
from ..physics import Physics
from .config import LossWeights
from .dataset import Block, TrainingSet


@dataclass(frozen=True)
class Batch:
    """Part of a block on which the loss is evaluated.

    Attributes:
        block: The data.
        trajectories: Indices, for the terms along time; None = all.
        states: Indices of states, for the decoder's terms; None = none.
    """

    block: Block
    trajectories: Tensor | None
    states: Tensor | None


class Objective:
    """Sum of the weighted terms of one stage.

    Args:
        law: The law in training.
        data: Training data.
        physics: What is known of the system.
        weights: Weights of the terms.
        weak_widths: Widths of the test functions.
        window: Length of the windows, in stored steps.
    """

    def __init__(
        self,
        law: LearnedLaw,
        data: TrainingSet,
        physics: Physics,
        weights: LossWeights,
        weak_widths: Sequence[int],
        window: int,
    ) -> None:
        self.law = law
        self.data = data
        self.physics = physics
        self.weights = weights
        self.weak_widths = weak_widths
        self.window = window
        self.encoder_frozen = not any(p.requires_grad for p in law.encoder.parameters())
        self.decoder_frozen = not any(p.requires_grad for p in law.decoder.parameters())
        self._internal: dict[int, Tensor] = {}
        self._flow: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def encode(self, block: Block) -> tuple[Gauge, Tensor]:
        """Return the gauge and α of every state of a block, shape ``(n_state, n_α)``.

        The gauge is the stored one of a frozen encoder, else that of the present training set.
        """
        encoder = self.law.encoder
        if not self.encoder_frozen and self.law.internal_size:
            raw = [encoder.raw_mean(b.measure) for b in self.data.training]
            gauge = whitening(torch.cat(raw))
            own = [a for a, b in zip(raw, self.data.training, strict=True) if b is block]
            return gauge, gauge(own[0] if own else encoder.raw_mean(block.measure))
        if id(block) not in self._internal:
            with torch.no_grad():
                self._internal[id(block)] = encoder.gauge(encoder.raw_mean(block.measure))
        return encoder.gauge, self._internal[id(block)]

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its unweighted terms."""
        block, w = batch.block, self.weights
        gauge, flat = self.encode(block)
        internal, strain, stress = block.series(flat), block.strain, block.stress
        if batch.trajectories is not None:
            pick = batch.trajectories
            internal, strain, stress = internal[pick], strain[pick], stress[pick]
        terms: dict[str, Tensor] = {}
        if w.stress or w.weak:
            values: LawValues = self.law(strain, internal)
            terms["stress"] = losses.normalised_square(
                values.stress, stress, self.data.scales.stress_scale
            )
            if self.law.internal_size:
                pairs = losses.weak_form(internal, values.rate, block.time, self.weak_widths)
                terms["weak"] = losses.weak_form_loss(pairs, self.law.dissipation.time_scale)
        if batch.states is not None and (w.likelihood or w.tie or w.tie_gradient):
            terms |= self._decoder_terms(block, flat[batch.states], batch.states)
        if w.gauge and self.law.internal_size:
            terms["gauge"] = self._gauge_term(block, gauge, batch.trajectories)
        if w.window:
            terms["window"] = self._window_term(block, internal, strain, stress)
        if w.rollout:
            terms["rollout"] = rollout_error(self.law, block, block.series(flat), self)
        loss = flat.new_zeros(())
        for name, term in terms.items():
            loss = loss + getattr(w, name) * term
        return loss, terms

    def _decoder_terms(self, block: Block, internal: Tensor, states: Tensor) -> dict[str, Tensor]:
        """Return likelihood and tie on some states."""
        w = self.weights
        strain = block.flat(block.strain)[states]
        terms: dict[str, Tensor] = {}
        frozen = self.encoder_frozen and self.decoder_frozen
        if w.likelihood or (w.tie and not frozen):
            measure = block.measure.select(states)
            log_density = self.law.log_density(measure.positions(), strain, internal)
            if w.likelihood:
                likelihood = losses.negative_log_likelihood(measure, log_density)
                terms["likelihood"] = likelihood.mean()
        if not (w.tie or w.tie_gradient):
            return terms
        if frozen:
            reference, force = self._frozen_flow(block, internal, strain, states)
        else:
            reference, force = self._flow_energy(block, log_density, strain), None
        values: LawValues = self.law(strain, internal)
        terms["tie"] = losses.relative_variance(values.energy, reference)
        if force is not None and w.tie_gradient:
            scale = force.std(0)
            terms["tie_gradient"] = losses.normalised_square(values.driving_force, force, scale)
        return terms

    def _flow_energy(self, block: Block, log_density: Tensor, strain: Tensor) -> Tensor:
        """Return F_flow by quadrature on the nodes of the data."""
        energy = self.physics.energy
        if energy is None or not block.measure.shared:
            raise ValueError(
                "training: the tie of f to the decoder needs a known microscopic energy and "
                "microstates of one dimension; set loss.tie and loss.tie_gradient to 0."
            )
        nodes = block.measure.nodes
        microscopic = energy(nodes.expand(len(strain), *nodes.shape), strain)
        spacing = nodes[1, 0] - nodes[0, 0]
        return flow_free_energy(log_density, microscopic, spacing, self.physics.thermal_energy)

    def _frozen_flow(
        self, block: Block, internal: Tensor, strain: Tensor, states: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return F_flow and −∂F_flow/∂α of frozen parts, computed once for each set of states."""
        key = (id(block), id(states))
        if key not in self._flow:
            nodes = block.measure.nodes
            alpha = internal.detach().requires_grad_()
            values, forces = [], []
            for some, eps in zip(torch.split(alpha, 256), torch.split(strain, 256), strict=True):
                points = nodes.expand(len(eps), *nodes.shape)
                log_density = self.law.log_density(points, eps, some)
                value = self._flow_energy(block, log_density, eps)
                (slope,) = torch.autograd.grad(value.sum(), some)
                values.append(value.detach())
                forces.append(-slope)
            self._flow[key] = torch.cat(values), torch.cat(forces)
        return self._flow[key]

    def _gauge_term(self, block: Block, gauge: Gauge, trajectories: Tensor | None) -> Tensor:
        """Return the mean square of ⟨∂α/∂x⟩ in units of the standard deviations of α and ε."""
        measure = block.measure
        if trajectories is not None:
            measure = measure.select(block.state_indices(trajectories))
        _, slope = self.law.encoder.features_and_slope(measure.nodes)
        mean = measure.mean(slope.flatten(-2)).reshape(-1, *slope.shape[-2:])
        relative: Tensor = (gauge.matrix @ mean) * self.data.scales.strain_scale
        return relative.square().mean()

    def _window_term(
        self, block: Block, internal: Tensor, strain: Tensor, stress: Tensor
    ) -> Tensor:
        """Return the error of windows that start from encoded states, under the measured strain."""
        length = min(self.window, len(block.time) - 1)
        starts = range(0, len(block.time) - length, max(1, length // 2))

        def windows(series: Tensor) -> Tensor:
            return torch.stack([series[:, s : s + length + 1] for s in starts]).movedim(2, 0)

        alpha, eps, sigma = windows(internal), windows(strain), windows(stress)
        # Equidistant instants: every window sees the same time steps.
        result = dynamics.controlled(_rates(self.law), block.time[: length + 1], eps, alpha[0])
        return (result.internal - alpha).square().mean() + losses.normalised_square(
            result.stress, sigma, self.data.scales.stress_scale
        )


def rollout_error(law: LearnedLaw, block: Block, internal: Tensor, objective: Objective) -> Tensor:
    """Return the mean square error of full roll-outs, over all drive modes of the system."""
    scales = objective.data.scales
    alpha, eps, sigma = (block.by_site(s) for s in (internal, block.strain, block.stress))
    error = alpha.new_zeros(())
    results = rollouts(law, block, internal, objective.physics)
    for result in results.values():
        error = error + losses.normalised_square(
            result.strain.transpose(0, 1), eps, scales.strain_scale
        )
        error = error + losses.normalised_square(
            result.stress.transpose(0, 1), sigma, scales.stress_scale
        )
        error = error + (result.internal.transpose(0, 1) - alpha).square().mean()
    return error / len(results)


def rollouts(
    law: LearnedLaw, block: Block, internal: Tensor, physics: Physics
) -> dict[str, dynamics.Rollout]:
    """Roll a block out from its first encoded states, in every drive mode of the system.

    Args:
        law: The law.
        block: The data.
        internal: Encoded α, shape ``(n_trajectory, n_time, n_α)``.
        physics: Friction and reference length.

    Returns:
        Drive ("controlled", or "end" and "force") → trajectories with axes
        ``(n_time, n_protocol, n_site, n)``.
    """
    alpha, eps = block.by_site(internal), block.by_site(block.strain)
    rates = _rates(law)
    if law.strain_kind == "controlled":
        result = dynamics.controlled(rates, block.time, eps.transpose(0, 1), alpha[:, 0])
        return {"controlled": result}
    # The end position follows from the strains, so that its zero need not be known.
    length = (eps[..., 0].sum(-1) + block.sites) * physics.reference_length
    return {
        "end": dynamics.end_driven(
            rates,
            block.time,
            length,
            block.control_rate,
            eps[:, 0],
            alpha[:, 0],
            friction=physics.friction,
            reference_length=physics.reference_length,
        ),
        "force": dynamics.force_driven(
            rates,
            block.time,
            block.force,
            eps[:, 0],
            alpha[:, 0],
            friction=physics.friction,
            reference_length=physics.reference_length,
        ),
    }


def _rates(law: LearnedLaw) -> dynamics.Rates:
    def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        values: LawValues = law(strain, internal)
        return values.stress, values.rate

    return rates
