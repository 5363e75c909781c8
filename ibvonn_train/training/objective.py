"""The loss of a stage: which terms, on which states, with which parts frozen."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure
from ..law.free_energy import flow_free_energy
from ..law.learned_law import LearnedLaw
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..rollouts import material_point as dynamics
from ..statistical_mechanics.microscopic_energy import Physics
from ..statistical_mechanics.relaxed_states import EquilibriumStates, equilibrium_states
from . import losses
from .block_rollouts import rollouts
from .dataset import Block, TrainingSet
from .training_config import ConfigError, StageConfig

PIECE = 8192
"""States evaluated at once: arrays of this length and twenty columns fit into a cache."""


@dataclass(frozen=True)
class Batch:
    """The data on which each group of terms is evaluated; None where it is not.

    Attributes:
        local: Trajectories for stress and weak form.
        decoder: States for the likelihood, the consistency of f and fluctuations.
        windows: Trajectories, with all their sites, for roll-outs. Translation invariance is asked
            on the local trajectories, or else on these.
    """

    local: Block | None
    decoder: Block | None
    windows: Block | None


class Objective:
    """Sum of the weighted terms of one stage.

    Args:
        law: The law in training.
        data: Training data.
        physics: What is known of the system.
        stage: Weights of the terms, and how windows are integrated.
    """

    def __init__(
        self,
        law: LearnedLaw,
        data: TrainingSet,
        physics: Physics,
        stage: StageConfig,
    ) -> None:
        self.law = law
        self.data = data
        self.physics = physics
        self.weights = weights = stage.loss
        self.substeps = stage.substeps
        self.internal_weight = stage.internal_weight
        self.encoder_frozen = not any(p.requires_grad for p in law.encoder.parameters())
        self.decoder_frozen = not any(p.requires_grad for p in law.decoder.parameters())
        self.time_scale = self._times()
        # What frozen parts give for a block is computed once, and forgotten with the block.
        self._internal: WeakKeyDictionary[Block, Tensor] = WeakKeyDictionary()
        self._flow: WeakKeyDictionary[Block, tuple[Tensor, Tensor]] = WeakKeyDictionary()
        self._noise: WeakKeyDictionary[Block, Tensor] = WeakKeyDictionary()
        self._equilibrium = self._relaxed() if weights.equilibrium else None
        self._rest: Tensor | None = None
        if weights.fluctuation and not (self.encoder_frozen and law.strain_kind == "controlled"):
            raise ConfigError(
                "loss.fluctuation: needs a frozen encoder and controlled strain; found "
                f"{law.strain_kind} strain. Leave it to a stage that trains energy and dissipation."
            )

    def normalisation(self) -> Normalisation[Tensor]:
        """Return that of α: the stored one of a frozen encoder, else that over the training set."""
        encoder = self.law.encoder
        if self.encoder_frozen or not self.law.internal_size:
            return encoder.normalisation
        return Normalisation.of(
            torch.cat([encoder.raw_mean(anchor) for anchor in self.data.anchors])
        )

    def _relaxed(self) -> EquilibriumStates:
        """Return the relaxed states over the mean strains of the training data's systems."""
        blocks = self.data.training
        strain = torch.cat([block.strain.mean(2).flatten(0, 1) for block in blocks])
        nodes = torch.cat([block.measures.absolute.nodes for block in blocks])
        if not strain.shape[-1] == nodes.shape[-1] == 1 or nodes.ndim != 2:
            raise ConfigError(
                "loss.equilibrium: needs one strain and microstates of one dimension; found "
                f"{strain.shape[-1]} and {nodes.shape[-1]}. Set the weight to 0."
            )
        kind = self.law.strain_kind
        ranges = [(float(each.min()), float(each.max())) for each in (strain, nodes)]
        return equilibrium_states(self.physics, kind, *ranges).to(strain.device)

    @torch.no_grad()
    def add_entropic_barriers(self) -> None:
        """Place the entropic barrier units of f at the ends of α over the relaxed states."""
        if self._equilibrium is None:
            raise ValueError(
                "entropic barrier units are placed by a stage with loss.equilibrium only."
            )
        internal = self._relaxed_internal(self.normalisation())
        strain = self._equilibrium.strain
        self.law.energy.add_entropic_barriers(strain, internal, self.physics.thermal_energy)

    def _relaxed_internal(self, normalise: Normalisation[Tensor]) -> Tensor:
        """Return α of the relaxed states; a frozen encoder gives it once."""
        assert self._equilibrium is not None  # noqa: S101 (the callers have asked)
        if self._rest is not None:
            return self._rest
        internal = normalise(self.law.encoder.raw_mean(self._equilibrium.measures))
        if self.encoder_frozen:
            self._rest = internal.detach()
        return internal

    @torch.no_grad()
    def _times(self) -> Tensor:
        """Return the times in which each α changes by one standard deviation, as it is now."""
        if not (self.weights.weak_form and self.law.internal_size):
            return self.data.scales.strain_scale.new_ones(self.law.internal_size)
        normalise, squares = self.normalisation(), []
        for block in self.data.training:
            internal = block.series(normalise(self.law.encoder.raw_mean(block.measures)))
            rest = torch.zeros_like(internal)
            pairs = losses.weak_form(internal, rest, block.time)
            squares += [(block.duration_ratio * seen).square().mean((0, 1, 2)) for seen, _ in pairs]
        return torch.stack(squares).mean(0).rsqrt()

    def backward(self, batch: Batch, factor: float = 1.0) -> dict[str, float]:
        """Add the gradient of ``factor`` times the loss; return the loss and its unweighted terms.

        The terms see α through detached copies, so that each can be differentiated on its own, in
        pieces that stay in the processor's cache; what arrives at the copies then goes through the
        encoder in one pass.
        """
        w, normalise = self.weights, self.normalisation()
        record: dict[str, float] = {}
        roots: list[Tensor] = []
        copies: list[Tensor] = []
        slope: Tensor | None = None

        def collect(terms: dict[str, Tensor], share: float = 1.0) -> None:
            total = torch.zeros((), dtype=torch.float64, device=normalise.shift.device)
            for name, term in terms.items():
                total = total + share * getattr(w, name) * term
                record[name] = record.get(name, 0.0) + share * float(term.detach())
            if total.requires_grad:
                torch.autograd.backward(factor * total)

        def copy(internal: Tensor) -> Tensor:
            if not internal.requires_grad:
                return internal
            roots.append(internal)
            copies.append(internal.detach().requires_grad_())
            return copies[-1]

        if batch.local is not None:
            block = batch.local
            internal, slope = self._encode(
                block, normalise, with_slope=bool(w.translation_invariance)
            )
            alpha = copy(internal)
            count, states_of_each = len(block.strain), block.states // len(block.strain)
            for first in range(0, count, step := max(1, PIECE // states_of_each)):
                piece = slice(first, first + step)
                share = min(step, count - first) / count
                collect(self._law_terms(block, block.series(alpha)[piece], piece), share)
        if batch.decoder is not None:
            alpha = copy(self._encode(batch.decoder, normalise)[0])
            collect(self._decoder_terms(batch.decoder, alpha))
        if batch.windows is not None:
            with_slope = bool(w.translation_invariance) and slope is None
            internal, own_slope = self._encode(batch.windows, normalise, with_slope=with_slope)
            slope = own_slope if slope is None else slope
            alpha = copy(internal)
            terms = {"rollout": self._rollout_term, "tracking": self._tracking_term}
            collect({n: f(batch.windows, alpha) for n, f in terms.items() if getattr(w, n)})
        if self._equilibrium is not None:
            alpha = copy(self._relaxed_internal(normalise))
            collect({"equilibrium": self._equilibrium_term(self._equilibrium, alpha)})
        if slope is not None:
            term = self._translation_term(normalise, slope)
            record["translation_invariance"] = float(term.detach())
            roots.append(factor * w.translation_invariance * term)
        record["loss"] = sum(getattr(w, name) * value for name, value in record.items())
        self._to_encoder(roots, copies)
        return record

    @staticmethod
    def _to_encoder(roots: list[Tensor], copies: list[Tensor]) -> None:
        """Differentiate the encodings with what their copies have gathered, scalars with one."""
        gathered = iter(copies)
        pairs = [(r, None if r.ndim == 0 else next(gathered).grad) for r in roots]
        pairs = [(r, g) for r, g in pairs if r.ndim == 0 or g is not None]
        if pairs:
            torch.autograd.backward([r for r, _ in pairs], [g for _, g in pairs])

    def _encode(
        self, block: Block, normalise: Normalisation[Tensor], *, with_slope: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return α of every state of a block and, where wanted and trained, ⟨∂ψ/∂x⟩."""
        encoder = self.law.encoder
        if not self.encoder_frozen and self.law.internal_size:
            if with_slope:
                raw, slope = encoder.raw_mean_and_slope(block.measures)
                return normalise(raw), slope
            return normalise(encoder.raw_mean(block.measures)), None
        if block not in self._internal:
            with torch.no_grad():
                self._internal[block] = normalise(encoder.raw_mean(block.measures))
        return self._internal[block], None

    def _law_terms(self, block: Block, internal: Tensor, piece: slice) -> dict[str, Tensor]:
        """Return stress and weak form on some protocols, whose α are given."""
        values: Rates[Tensor] = self.law(block.strain[piece], internal)
        scale = self.data.scales.stress_scale
        terms = {"stress": losses.normalised_square(values.stress, block.stress[piece], scale)}
        if self.law.internal_size:
            pairs = losses.weak_form(internal, values.rate, block.time, strides=block.strides)
            terms["weak_form"] = losses.weak_form_loss(
                pairs, block.duration_ratio * self.time_scale
            )
        return terms

    def _decoder_terms(self, block: Block, internal: Tensor) -> dict[str, Tensor]:
        """Return the terms of the decoder, its free energy and fluctuations, on some states."""
        w = self.weights
        strain = block.flat(block.strain)
        terms: dict[str, Tensor] = {}
        frozen = self.encoder_frozen and self.decoder_frozen
        consistent = w.free_energy_consistency or w.driving_force_consistency
        measure = self._decoder_measure(block)
        if w.driving_force_consistency and not frozen:
            internal = internal.detach().requires_grad_()  # of a frozen encoder
        if w.negative_log_likelihood or (consistent and not frozen):
            log_density = self.law.decoder.log_density(measure.positions(), internal)
            if w.negative_log_likelihood:
                nats = losses.negative_log_likelihood(measure, log_density)
                terms["negative_log_likelihood"] = nats.mean()
        values: Rates[Tensor] = self.law(strain, internal)
        if w.fluctuation:
            terms["fluctuation"] = self._fluctuation_term(block, values, internal)
        if not consistent:
            return terms
        if frozen:
            reference, force = self._frozen_flow(block, internal)
        else:
            reference = self._flow_energy(measure, log_density, strain)
        terms["free_energy_consistency"] = losses.relative_variance(values.energy, reference)
        if w.driving_force_consistency:
            if not frozen:
                (slope,) = torch.autograd.grad(reference.sum(), internal, create_graph=True)
                force = -slope
            scale = force.detach().std(0)
            terms["driving_force_consistency"] = losses.normalised_square(
                values.driving_force, force, scale
            )
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
                "training: the consistency of f with the decoder needs a known microscopic energy "
                "and microstates of one dimension; set loss.free_energy_consistency and "
                "loss.driving_force_consistency to 0."
            )
        microscopic = energy(measure.nodes + self.law.origin(strain), strain)
        spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
        return flow_free_energy(log_density, microscopic, spacing, self.physics.thermal_energy)

    def _frozen_flow(self, block: Block, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return F_flow and −∂F_flow/∂α of frozen parts."""
        if block not in self._flow:
            measure, strain = self._decoder_measure(block), block.flat(block.strain)
            alpha = internal.detach().requires_grad_()
            values, forces = [], []
            for some, eps in zip(torch.split(alpha, 256), torch.split(strain, 256), strict=True):
                points = measure.nodes.expand(len(eps), *measure.nodes.shape)
                log_density = self.law.decoder.log_density(points, some)
                value = self._flow_energy(measure, log_density, eps)
                slope = torch.zeros_like(some)
                if self.law.internal_size:
                    (slope,) = torch.autograd.grad(value.sum(), some)
                values.append(value.detach())
                forces.append(-slope)
            self._flow[block] = torch.cat(values), torch.cat(forces)
        return self._flow[block]

    def _fluctuation_term(self, block: Block, values: Rates[Tensor], internal: Tensor) -> Tensor:
        """Return the relative square error of φ'' against the noise of α (theory: Einstein)."""
        if block not in self._noise:
            with torch.no_grad():
                noise = self.law.encoder.noise(block.measures.absolute)
            self._noise[block] = noise / (self.physics.friction * self.physics.reference_length)
        target = self._noise[block]
        state = self.law.energy.state(block.flat(block.strain), internal)
        mobility = self.law.dissipation.hessian(values.driving_force, state)
        size = torch.linalg.matrix_norm(target)
        error: Tensor = torch.linalg.matrix_norm(mobility - target) / size
        return error.square().mean()

    def _equilibrium_term(self, states: EquilibriumStates, internal: Tensor) -> Tensor:
        """Return the mean squares of (∂²f/∂α²)⁻¹g and of the error of σ.

        To first order the former is how far α is from where the law would come to rest. The force
        itself says less: near the ends of α of a two-state system it is as large as one likes.
        """
        n, energy = self.law.strain_size, self.law.energy
        values, scale = energy(states.strain, internal), self.data.scales.stress_scale
        error = losses.normalised_square(values.stress, states.stress, scale)
        if not self.law.internal_size:
            return error
        stiffness = energy.hessian(states.strain, internal)[:, n:, n:]
        away: Tensor = torch.linalg.solve(stiffness, values.driving_force)
        return error + away.square().mean()

    def _translation_term(self, normalise: Normalisation[Tensor], slope: Tensor) -> Tensor:
        """Return the mean square of ⟨∂α/∂x⟩ in units of the standard deviations of α and ε."""
        relative: Tensor = (normalise.matrix @ slope) * self.data.scales.strain_scale
        return relative.square().mean()

    def _rollout_term(self, block: Block, internal: Tensor) -> Tensor:
        """Return the mean square error of roll-outs, over all drive modes."""
        scales = self.data.scales
        alpha = block.series(internal)
        error = alpha.new_zeros(())
        # Where every step of the scheme is stored the scheme itself is affordable, and exact.
        steps = self.substeps if max(block.strides, default=1) > 1 else 0
        results = rollouts(self.law, block, alpha, self.physics, implicit_steps=steps)
        for result in results.values():
            error = error + self.internal_weight * (result.internal - alpha).square().mean()
            error = error + losses.normalised_square(
                result.stress, block.stress, scales.stress_scale
            )
            error = error + losses.normalised_square(
                result.strain, block.strain, scales.strain_scale
            )
        return error / len(results)

    def _tracking_term(self, block: Block, internal: Tensor) -> Tensor:
        """Return the mean square error of α and σ over windows under the measured strain."""
        alpha = block.series(internal)
        rates, relaxation = self.law.rates_function(), self.law.relaxation
        result = dynamics.tracking(
            rates, relaxation, block.time, block.strain, alpha[:, 0], substeps=self.substeps
        )
        scale = self.data.scales.stress_scale
        error = (result.internal - alpha).square().mean()
        return error + losses.normalised_square(result.stress, block.stress, scale)
