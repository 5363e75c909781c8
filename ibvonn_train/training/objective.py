"""The loss of a stage: which terms, on which states, with which parts frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import dynamics, losses
from ..empirical import EmpiricalMeasure
from ..encoder import Gauge, whitening
from ..free_energy import flow_free_energy
from ..model import LawValues, LearnedLaw
from ..physics import Physics
from .config import ConfigError, LossWeights
from .dataset import Block, TrainingSet

PIECE = 8192
"""States evaluated at once: arrays of this length and twenty columns fit into a cache."""


@dataclass(frozen=True)
class Encoding:
    """Result of the encoder on a block.

    Attributes:
        gauge: From raw means to α.
        internal: α, shape ``(n_state, n_α)``.
        slope: ⟨∂ψ/∂x⟩, shape ``(n_state, n_α, n_x)``, where the loss needs it.
    """

    gauge: Gauge
    internal: Tensor
    slope: Tensor | None


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
        self._noise: dict[tuple[int, int], Tensor] = {}
        if weights.fluctuation and not (self.encoder_frozen and law.strain_kind == "controlled"):
            raise ConfigError(
                "loss.fluctuation: needs a frozen encoder and controlled strain; found "
                f"{law.strain_kind} strain. Leave it to a stage that trains energy and dissipation."
            )

    def encode(self, block: Block) -> Encoding:
        """Return the gauge and α of every state of a block.

        The gauge is the stored one of a frozen encoder, else that of the present training set.
        """
        encoder = self.law.encoder
        if self.encoder_frozen or not self.law.internal_size:
            if id(block) not in self._internal:
                with torch.no_grad():
                    self._internal[id(block)] = encoder.gauge(encoder.raw_mean(block.measures))
            return Encoding(encoder.gauge, self._internal[id(block)], None)
        raw, slope = {}, None
        for other in {id(b): b for b in (*self.data.training, block)}.values():
            if other is block and self.weights.gauge:
                raw[id(other)], slope = encoder.raw_mean_and_slope(other.measures)
            else:
                raw[id(other)] = encoder.raw_mean(other.measures)
        gauge = whitening(torch.cat([raw[id(b)] for b in self.data.training]))
        return Encoding(gauge, gauge(raw[id(block)]), slope)

    def backward(self, batch: Batch, factor: float = 1.0) -> dict[str, float]:
        """Add the gradient of ``factor`` times the loss; return the loss and its unweighted terms.

        The law's terms are sums over trajectories: they are evaluated in pieces that stay in the
        processor's cache, on a copy of α whose gradient then goes to the encoder in one piece.
        """
        block, w = batch.block, self.weights
        encoding = self.encode(block)
        alpha = encoding.internal.detach().requires_grad_(encoding.internal.requires_grad)
        record: dict[str, float] = {}

        def collect(terms: dict[str, Tensor], share: float = 1.0) -> None:
            total = alpha.new_zeros(())
            for name, term in terms.items():
                total = total + share * getattr(w, name) * term
                record[name] = record.get(name, 0.0) + share * float(term.detach())
            if total.requires_grad:
                torch.autograd.backward(factor * total)

        if w.stress or w.weak:
            chosen = batch.trajectories
            if chosen is None:
                chosen = torch.arange(block.trajectories, device=alpha.device)
            for piece in torch.split(chosen, max(1, PIECE // len(block.time))):
                collect(self._law_terms(block, alpha, piece), len(piece) / len(chosen))
        if batch.states is not None and w.fluctuation:
            collect({"fluctuation": self._fluctuation_term(block, alpha, batch.states)})
        if batch.states is not None and (w.likelihood or w.tie or w.tie_gradient):
            collect(self._decoder_terms(block, alpha[batch.states], batch.states))
        if w.rollout:
            collect({"rollout": self._rollout_term(block, block.series(alpha))})
        roots, gradients = [encoding.internal], [alpha.grad]
        if encoding.slope is not None:
            term = self._gauge_term(encoding.gauge, encoding.slope)
            record["gauge"] = float(term.detach())
            roots.append(factor * w.gauge * term)
            gradients.append(torch.ones_like(term))
        if alpha.grad is not None:
            torch.autograd.backward(roots, gradients)
        record["loss"] = sum(getattr(w, name) * value for name, value in record.items())
        return record

    def _law_terms(self, block: Block, alpha: Tensor, piece: Tensor) -> dict[str, Tensor]:
        """Return stress and weak form on some trajectories."""
        internal, strain = block.series(alpha)[piece], block.strain[piece]
        values: LawValues = self.law(strain, internal)
        scale = self.data.scales.stress_scale
        terms = {"stress": losses.normalised_square(values.stress, block.stress[piece], scale)}
        if self.law.internal_size:
            pairs = losses.weak_form(internal, values.rate, block.time, self.weak_widths)
            terms["weak"] = losses.weak_form_loss(pairs, self.law.dissipation.time_scale)
        return terms

    def _decoder_terms(self, block: Block, internal: Tensor, states: Tensor) -> dict[str, Tensor]:
        """Return likelihood and tie on some states."""
        w = self.weights
        strain = block.flat(block.strain)[states]
        terms: dict[str, Tensor] = {}
        frozen = self.encoder_frozen and self.decoder_frozen
        measure = self._decoder_measure(block)
        if w.likelihood or (w.tie and not frozen):
            some = measure.select(states)
            log_density = self.law.decoder.log_density(some.positions(), internal)
            if w.likelihood:
                likelihood = losses.negative_log_likelihood(some, log_density)
                terms["likelihood"] = likelihood.mean()
        if not (w.tie or w.tie_gradient):
            return terms
        if frozen:
            reference, force = self._frozen_flow(measure, internal, strain, states)
        else:
            reference, force = self._flow_energy(measure, log_density, strain), None
        values: LawValues = self.law(strain, internal)
        terms["tie"] = losses.relative_variance(values.energy, reference)
        if force is not None and w.tie_gradient:
            scale = force.std(0)
            terms["tie_gradient"] = losses.normalised_square(values.driving_force, force, scale)
        return terms

    def _decoder_measure(self, block: Block) -> EmpiricalMeasure:
        """Return the measures of what the decoder describes."""
        averaged = self.law.strain_kind == "averaged"
        return block.measures.centred if averaged else block.measures.absolute

    def _flow_energy(
        self, measure: EmpiricalMeasure, log_density: Tensor, strain: Tensor
    ) -> Tensor:
        """Return F_flow by quadrature on the nodes of the data."""
        energy = self.physics.energy
        if energy is None or not measure.shared:
            raise ValueError(
                "training: the tie of f to the decoder needs a known microscopic energy and "
                "microstates of one dimension; set loss.tie and loss.tie_gradient to 0."
            )
        microscopic = energy(measure.nodes + self.law.origin(strain), strain)
        spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
        return flow_free_energy(log_density, microscopic, spacing, self.physics.thermal_energy)

    def _frozen_flow(
        self, measure: EmpiricalMeasure, internal: Tensor, strain: Tensor, states: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return F_flow and −∂F_flow/∂α of frozen parts, computed once for each set of states."""
        key = (id(measure), id(states))
        if key not in self._flow:
            alpha = internal.detach().requires_grad_()
            values, forces = [], []
            for some, eps in zip(torch.split(alpha, 256), torch.split(strain, 256), strict=True):
                points = measure.nodes.expand(len(eps), *measure.nodes.shape)
                log_density = self.law.decoder.log_density(points, some)
                value = self._flow_energy(measure, log_density, eps)
                (slope,) = torch.autograd.grad(value.sum(), some)
                values.append(value.detach())
                forces.append(-slope)
            self._flow[key] = torch.cat(values), torch.cat(forces)
        return self._flow[key]

    def _fluctuation_term(self, block: Block, internal: Tensor, states: Tensor) -> Tensor:
        """Return the relative square error of φ'' against the noise of α (theory: Einstein)."""
        key = (id(block), id(states))
        if key not in self._noise:
            with torch.no_grad():
                noise = self.law.encoder.noise(block.measures.absolute.select(states))
            self._noise[key] = noise / (self.physics.friction * self.physics.reference_length)
        target, strain = self._noise[key], block.flat(block.strain)[states]
        state = self.law.energy.state(strain, internal[states])
        force = self.law(strain, internal[states]).driving_force
        mobility = self.law.dissipation.hessian(force, state)
        size = torch.linalg.matrix_norm(target)
        error: Tensor = torch.linalg.matrix_norm(mobility - target) / size
        return error.square().mean()

    def _gauge_term(self, gauge: Gauge, slope: Tensor) -> Tensor:
        """Return the mean square of ⟨∂α/∂x⟩ in units of the standard deviations of α and ε."""
        relative: Tensor = (gauge.matrix @ slope) * self.data.scales.strain_scale
        return relative.square().mean()

    def _rollout_term(self, block: Block, internal: Tensor) -> Tensor:
        """Return the mean square error of roll-outs over windows, in all drive modes."""
        length = min(self.window or len(block.time), len(block.time))
        starts = range(0, len(block.time) - length + 1, max(1, length // 2))
        scales = self.data.scales
        truth = [block.by_site(s) for s in (block.strain, internal, block.stress)]
        strain, alpha, stress = (
            torch.stack([s[:, i : i + length] for i in starts], 1).flatten(0, 1) for s in truth
        )
        error = alpha.new_zeros(())
        results = rollouts(self.law, block, internal, self.physics, starts, length)
        for result in results.values():
            error = error + (result.internal.transpose(0, 1) - alpha).square().mean()
            error = error + losses.normalised_square(
                result.stress.transpose(0, 1), stress, scales.stress_scale
            )
            error = error + losses.normalised_square(
                result.strain.transpose(0, 1), strain, scales.strain_scale
            )
        return error / len(results)


def rollouts(
    law: LearnedLaw,
    block: Block,
    internal: Tensor,
    physics: Physics,
    starts: Sequence[int] = (0,),
    length: int | None = None,
) -> dict[str, dynamics.Rollout]:
    """Roll a block out from encoded states, in every drive mode of the system.

    Args:
        law: The law.
        block: The data; its instants must be equidistant if there are several starts.
        internal: Encoded α, shape ``(n_trajectory, n_time, n_α)``.
        physics: Friction and reference length.
        starts: Instants to start from.
        length: Number of instants of each roll-out; None = to the end.

    Returns:
        Drive ("controlled", or "end" and "force") → trajectories with axes
        ``(n_time, n_protocol · n_start, n_site, n)``.
    """
    length = len(block.time) - max(starts) if length is None else length

    def windows(series: Tensor) -> Tensor:
        """(n_protocol, n_time, …) → (n_protocol · n_start, length, …)."""
        return torch.stack([series[:, i : i + length] for i in starts], 1).flatten(0, 1)

    strain, alpha = windows(block.by_site(block.strain)), windows(block.by_site(internal))
    rates, time = law.rates_function(), block.time[starts[0] : starts[0] + length]
    if law.strain_kind == "controlled":
        return {"controlled": dynamics.controlled(rates, time, strain.transpose(0, 1), alpha[:, 0])}
    # The velocity that the data's own scheme gave to the end; its zero need not be known.
    end = block.by_site(block.strain)[..., 0].sum(-1) * physics.reference_length
    velocity = torch.diff(end, dim=1) / torch.diff(block.time)
    # Beyond the last step the recorded rate serves the external force.
    velocity = windows(torch.cat([velocity, block.control_rate[:, -1:]], 1))
    cases = len(velocity)
    both = dynamics.chain(
        rates,
        time,
        strain[:, 0].repeat(2, 1, 1),
        alpha[:, 0].repeat(2, 1, 1),
        moved=torch.arange(2 * cases, device=velocity.device) < cases,
        end_velocity=velocity.repeat(2, 1),
        force=windows(block.force).repeat(2, 1),
        friction=physics.friction,
        reference_length=physics.reference_length,
    )
    end_driven = dynamics.Rollout(
        both.strain[:, :cases],
        both.internal[:, :cases],
        both.stress[:, :cases],
        # F = σ_N + η λ̇ with the recorded rate, as in the data.
        both.stress[:, :cases, -1, 0] + physics.friction * windows(block.control_rate).T,
    )
    force_driven = dynamics.Rollout(*(series[:, cases:] for series in both))
    return {"end": end_driven, "force": force_driven}
