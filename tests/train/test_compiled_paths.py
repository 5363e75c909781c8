"""Roll-outs by compiled code: the steps and the gradients of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.law.population_potentials import PopulationPotentials
from ibvonn_train.rollouts import compiled_paths, material_point
from ibvonn_train.rollouts.compiled_paths import compiled_path, serves
from ibvonn_train.rollouts.material_point import exponential
from tests.helpers.random_potentials import random_potentials

pytestmark = pytest.mark.skipif(
    not compiled_paths.available(), reason="needs a C compiler to compare with torch"
)

SHIFT = (1, 2, 0)
VARIABLES = {
    "one fraction": (InternalVariables((2,)), 1, ()),
    "three classes of two states": (InternalVariables((2,), classes=3), 3, (SHIFT,)),
    "a population of four states": (InternalVariables((4,)), 2, ()),
    "two populations of a class": (InternalVariables((2, 3), classes=2), 1, ()),
    "two fractions": (InternalVariables((3,)), 1, ()),
    "six classes": (InternalVariables((2,), classes=6), 6, ()),
}

OF_THE_STRESS = ("smooth.strain_root",)
"""Weights that decide the stress alone."""


def law_of(
    variables: InternalVariables, strain_size: int = 1, permutations: Sequence[Sequence[int]] = ()
) -> PopulationPotentials:
    """Return random potentials of two layers, whose sizes are no multiples of the vectors'."""
    return random_potentials(
        variables, strain_size=strain_size, permutations=permutations, rate_widths=(9, 5)
    ).requires_grad_(True)


def variables_of(name: str) -> int:
    """Return n_α of a case."""
    return VARIABLES[name][0].size


@dataclass(frozen=True)
class Course:
    """Paths, and numbers by which a loss weighs their states."""

    time: Tensor
    strain: Tensor
    start: Tensor
    weight: Tensor
    substeps: int

    @classmethod
    def random(
        cls, law: PopulationPotentials, *, paths: int, substeps: int, own_times: bool = False
    ) -> Course:
        """Return paths of two sites; some fractions are beyond their bounds, some steps long."""
        random = torch.Generator().manual_seed(7)
        n, instants = law.internal_size, 6
        steps = 10.0 ** (4.0 * torch.rand(paths, instants, generator=random).double() - 2.0)
        time = torch.cumsum(steps, 1)
        sizes = (paths, instants, 2)
        strain = 0.5 * torch.randn(*sizes, law.strain_size, generator=random).double()
        start = 1.6 * torch.rand(paths, 2, n, generator=random).double() / n - 0.1
        weight = torch.randn(*sizes, n, generator=random).double()
        return cls(time if own_times else time[0], strain, start, weight, substeps)

    def states(self, law: PopulationPotentials, start: Tensor) -> Tensor:
        """Return the states of all instants."""
        return exponential(law, self.time, self.strain, start, substeps=self.substeps)

    def gradients(self, law: PopulationPotentials) -> dict[str, Tensor]:
        """Return the derivatives of a loss by the first states and by all weights."""
        start = self.start.clone().requires_grad_()
        loss = (self.weight * self.states(law, start)).sum()
        names, parameters = zip(*law.named_parameters(), strict=True)
        values = torch.autograd.grad(loss, [start, *parameters])
        return dict(zip(("first states", *names), values, strict=True))


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("paths", [1, 11])
def test_states_and_gradients_are_those_of_torch(
    name: str, paths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = law_of(*VARIABLES[name])
    course = Course.random(law, paths=paths, substeps=3, own_times=paths > 1)
    assert serves(law, course.start)
    states, gradients = course.states(law, course.start).detach(), course.gradients(law)
    monkeypatch.setattr(material_point, "serves", lambda *_: False)
    expected, by_torch = course.states(law, course.start).detach(), course.gradients(law)
    # Two variables relax exactly by torch, and by a rational function here: see relaxation.py.
    exact = variables_of(name) == 2
    torch.testing.assert_close(states, expected, rtol=0.0, atol=3e-6 if exact else 1e-12)
    assert (states[:, -1] - states[:, 0]).abs().max() > 1e-2  # they go somewhere
    for weights, other in by_torch.items():
        size = float(other.abs().max())
        assert size > 0.0 or weights in OF_THE_STRESS, weights
        error = (1e-4 if exact else 1e-10) * size + 1e-13
        torch.testing.assert_close(gradients[weights], other, rtol=0.0, atol=error, msg=weights)


@pytest.mark.parametrize("name", ["one fraction", "three classes of two states"])
def test_gradients_agree_with_differences(name: str) -> None:
    law = law_of(*VARIABLES[name])
    course = Course.random(law, paths=3, substeps=1)
    law.requires_grad_(False)
    inside = course.start.clamp(0.05, 0.3)[:, 0]
    step = torch.tensor([[0.3, 2.0, 0.01]] * 2).double()
    strain = course.strain.transpose(0, 1)[:2, :, 0]

    def states(start: Tensor) -> Tensor:
        return compiled_path(law, step, strain, start)

    assert torch.autograd.gradcheck(states, inside.requires_grad_(), atol=1e-7)


def test_a_wrong_weight_changes_the_states() -> None:
    """The comparison above would see an array that the compiled code leaves out."""
    law = law_of(InternalVariables((2,), classes=3), 3)
    course = Course.random(law, paths=4, substeps=1)
    law.requires_grad_(False)
    states = course.states(law, course.start)
    for name, parameter in law.named_parameters():
        before = parameter.clone()
        parameter.mul_(1.01).add_(1e-3)
        changed = course.states(law, course.start)
        parameter.copy_(before)
        assert ((changed - states).abs().max() > 1e-10) != (name in OF_THE_STRESS), name


@pytest.mark.parametrize(
    ("variables", "reason"),
    [(InternalVariables((2,), means=1), "a mean beside a population")],
)
def test_other_laws_are_rolled_out_by_torch(variables: InternalVariables, reason: str) -> None:
    law = law_of(variables)
    start = torch.zeros(1, variables.size, dtype=torch.float64)
    assert not serves(law, start), reason
    assert not serves(law_of(InternalVariables((2,))), start.float()[:, :1])


def test_a_state_that_is_not_a_number_stays_one() -> None:
    law = law_of(InternalVariables((2,)))
    start = torch.tensor([[0.2], [float("nan")]], dtype=torch.float64)
    step, strain = torch.ones(3, 2).double(), torch.zeros(3, 2, 1).double()
    states = compiled_path(law, step, strain, start)
    assert states[:, 0].isfinite().all()
    assert states[:, 1].isnan().all()
