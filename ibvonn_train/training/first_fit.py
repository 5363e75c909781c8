"""Where f and φ begin: least squares on the data, without any roll-out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..law.convex_potentials import ConvexPotentials
from ..law.learned_law import LearnedLaw
from ..law.population_potentials import PopulationPotentials
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block, TrainingSet, Windows
from .follow_windows import is_explicit
from .quasi_newton import LOSS_SCALE
from .reference_energy import measured_free_energy
from .residuals import without_constant
from .stage import sampling_error

ENERGY_ITERATIONS = 1500
CHUNK = 100
"""Iterations between two looks at the validation protocols; a fit has a whole number of them."""
GAIN = 0.02
"""Part by which the validation error has to fall in a chunk that counts as progress."""
PATIENCE = 2
"""Chunks without progress after which the fit ends."""
STATES, FEWEST = 4000, 2000
"""States of all training blocks together, and of each at least, about."""
LONGEST = 64
"""Stored steps of a window at most."""
SIGNAL = 20.0
"""Increments of α over a window exceed their sampling error by this factor: the noise of a state
is in its increment and in its rate, and short windows would take it for relaxation."""
RIDGE = 1e-6
"""Weight of the squares of all parameters: rates of states that no data visit stay moderate."""


@dataclass(frozen=True, eq=False)
class Increments:
    """Windows of one block.

    Attributes:
        windows: Pieces of its trajectories.
        steps: Time between their instants, ``(n_window, length − 1)``.
        internal: Their α, ``(n_window, length, n_α)``.
        scale: Root mean square of the increments of α, ``(n_α,)``.
        energy: Free energy of the measured distributions, ``(n_window, length)``, where known.
    """

    windows: Windows
    steps: Tensor
    internal: Tensor
    scale: Tensor
    energy: Tensor | None

    @classmethod
    def of(cls, law: LearnedLaw, block: Block, physics: Physics, states: int) -> Increments:
        """Return evenly spaced windows of some states, as short as the noise of α lets them be."""
        internal = block.series(law.encode(block.measures))
        noise = sampling_error(law, block.measures, block.samples).reshape(internal.shape)
        length = 1 + _steps(internal, _size(noise), min(LONGEST, block.instants - 1))
        cases, instants, points = block.strain.shape[:3]
        starts = torch.arange(instants - length + 1)
        every = torch.cartesian_prod(torch.arange(cases), starts, torch.arange(points))
        chosen = every[:: max(1, len(every) * length // states)].to(block.strain.device)
        case, start, point = (column[:, None] for column in chosen.T)
        instant = start + torch.arange(length, device=start.device)
        windows, own = Windows.at(block, case, instant, point), internal[case, instant, point]
        energy = measured_free_energy(block, physics)
        return cls(
            windows=windows,
            steps=torch.diff(windows.time, dim=1).unsqueeze(-1),
            internal=own,
            scale=_size(own[:, -1] - own[:, 0]),
            energy=None if energy is None else energy[windows.states],
        )

    def errors(self, law: LearnedLaw, stress_scale: Tensor, energy_scale: Tensor) -> list[Tensor]:
        """Return the mean square errors of the increments, of σ and, where known, of f."""
        values = law.potentials(self.windows.strain, self.internal)
        change = (0.5 * (values.rate[:, 1:] + values.rate[:, :-1]) * self.steps).sum(1)
        measured = self.internal[:, -1] - self.internal[:, 0]
        errors = [
            ((change - measured) / self.scale).square().mean(),
            ((values.stress - self.windows.stress) / stress_scale).square().mean(),
        ]
        if self.energy is not None:
            difference = without_constant(values.energy - self.energy) / energy_scale
            errors.append(difference.square().mean())
        return errors


def states_of_block(data: TrainingSet) -> int:
    """Return how many states of each block are fitted."""
    return max(FEWEST, STATES // len(data.training))


def fit_first(law: LearnedLaw, data: TrainingSet, physics: Physics, iterations: int) -> None:
    """Fit f and φ to the data, or f alone.

    The robust loss of the windows that follow hardly sees errors that are much larger than its
    tolerance: it has to begin near the data. Under an averaged strain φ begins at random, since the
    strain of single springs is as noisy as their α; where f did so too, laws of some seeds stayed
    wrong. φ begins at random as well with one mean whose record holds every step, which windows of
    a few steps decide.

    Args:
        law: With its scales and its encoder; its potentials are changed in place.
        data: Training data.
        physics: What is known of the system.
        iterations: Of the fit of f and φ at most.
    """
    energies = [measured_free_energy(block, physics) for block in data.training]
    known = [energy for energy in energies if energy is not None]
    # More means than components lie on a curved surface, off which f alone would be anything.
    flat = law.encoder.size <= data.microstate_size
    if isinstance(law.potentials, ConvexPotentials) and flat and len(known) == len(energies):
        fit_energy(law, data, known, law.potentials.energy, law.potentials.energy)
        if data.training[0].drive.strain_given and not all(map(is_explicit, data.training)):
            fit_potentials(law, data, physics, iterations, law.potentials.dissipation)
    elif data.training[0].drive.strain_given:
        fit_potentials(law, data, physics, iterations, law.potentials)
    elif isinstance(law.potentials, PopulationPotentials) and len(known) == len(energies):
        fit_energy(law, data, known, law.potentials, law.potentials.smooth)


def fit_energy(
    law: LearnedLaw,
    data: TrainingSet,
    energies: Sequence[Tensor],
    function: Callable[[Tensor, Tensor], Any],
    trained: nn.Module,
) -> None:
    """Fit f to the stress and the free energy of states; the stress alone leaves open f of α.

    Args:
        law: With its scales and its encoder; f is changed in place.
        data: Training data.
        energies: Free energy of the measured distributions of each block, ``(n_state,)``.
        function: (ε, α) ↦ f and σ, among others.
        trained: What is learned of f.
    """
    spread = torch.cat(list(energies)).std()
    count = states_of_block(data) // 2
    states = []
    for block, energy in zip(data.training, energies, strict=True):
        rows = torch.arange(0, block.states, max(1, block.states // count))
        with torch.no_grad():
            internal = block.flat(block.series(law.encode(block.measures)))[rows]
        strain, stress = (block.flat(series)[rows] for series in (block.strain, block.stress))
        states.append((strain, internal, stress, energy[rows]))
    parameters = list(trained.parameters())
    # torch's tolerances are absolute. With one component the fit ends where the loss is small, as
    # identify goes on from there; the features of several are held, and f has to be right.
    weight = LOSS_SCALE if data.microstate_size > 1 else 1.0
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=ENERGY_ITERATIONS, history_size=40, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        terms = []
        for strain, internal, stress, energy in states:
            values = function(strain, internal)
            terms.append(((values.stress - stress) / data.scales.stress_scale).square().mean())
            difference = without_constant(values.energy - energy) / spread
            terms.append(difference.square().mean())
        error = weight * torch.stack(terms).sum()
        error.backward()  # type: ignore[no-untyped-call]
        return error

    optimiser.step(closure)  # type: ignore[no-untyped-call]


def fit_potentials(
    law: LearnedLaw, data: TrainingSet, physics: Physics, iterations: int, trained: nn.Module
) -> None:
    r"""Fit f and φ to the increments of α, to σ and, where it is known, to the free energy.

    Over each window the increment of α is compared with :math:`\int \partial_g\phi\,dt` along the
    *measured* states: nothing is rolled out, so nothing diverges, and an iteration costs little.
    The fit ends when it no longer gets better on the validation protocols.

    Args:
        law: With scales and encoder; its potentials are changed in place.
        data: Training data.
        physics: What is known of the system.
        iterations: At most.
        trained: The potentials, or φ alone.

    References:
        Messenger & Bortz (2021), *Weak SINDy*, Multiscale Model. Simul. 19, 1474 (rates compared
        in integrated form).
    """
    with torch.no_grad():
        count = states_of_block(data)
        training = [Increments.of(law, block, physics, count) for block in data.training]
        held_out = [Increments.of(law, b, physics, count) for b in data.validation] or training
    known = [part.energy.flatten() for part in training if part.energy is not None]
    energy_scale = torch.cat(known).std() if known else data.scales.stress_scale.new_ones(())
    parameters = list(trained.parameters())
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=CHUNK,
        history_size=60,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def error(parts: Sequence[Increments]) -> Tensor:
        terms = [part.errors(law, data.scales.stress_scale, energy_scale) for part in parts]
        return torch.stack([term for own in terms for term in own]).sum()

    def closure() -> Tensor:
        optimiser.zero_grad()
        size = torch.stack([parameter.square().sum() for parameter in parameters]).sum()
        loss = LOSS_SCALE * (error(training) + RIDGE * size)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    best, idle_steps = float("inf"), 0
    best_values = [parameter.detach().clone() for parameter in parameters]
    for _ in range(iterations // CHUNK):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            validated = float(error(held_out))
        idle_steps = 0 if validated < (1.0 - GAIN) * best else idle_steps + 1
        if validated < best:
            best = validated
            best_values = [parameter.detach().clone() for parameter in parameters]
        if idle_steps >= PATIENCE:
            break
    with torch.no_grad():
        for parameter, value in zip(parameters, best_values, strict=True):
            parameter.copy_(value)


def _steps(internal: Tensor, noise: Tensor, most: int) -> int:
    """Return after how many stored steps α, ``(n_protocol, n_time, …)``, has changed enough."""
    steps = 1
    while steps < most:
        change = _size(internal[:, steps:] - internal[:, :-steps])
        if bool((change > SIGNAL * noise).all()):
            break
        steps *= 2
    return min(steps, most)


def _size(series: Tensor) -> Tensor:
    """Return the root mean square of each component."""
    return series.flatten(0, -2).square().mean(0).sqrt()
