"""What a system is stands in one object, which a file names and the registry gives back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.closed_form.exact_models import export_kramers_unfolding
from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.evaluation.noise_free import exact_trap_of
from ibvonn_train.evaluation.order_parameters import order_parameter
from ibvonn_train.export.model_card import markdown
from ibvonn_train.simulation import (
    MicroscopicSystem,
    SpringChain,
    TetheredParticle,
    TwoWellSpring,
    repeat_from_first,
    system_of,
    unfolding_chain,
)
from ibvonn_train.simulation.protocols import hold, ramp
from ibvonn_train.simulation.systems.registry import SYSTEMS, recorded_system
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of

NEEDED = ("stiffness", "reference_length", "thermal_energy")
EACH = [
    TetheredParticle(stiffness=2.0, friction=3.0, thermal_energy=0.05),
    SpringChain(TwoWellSpring(2.0, 0.03, 1e-5), 4, 0.02, 0.3, 1e-5, drive="force"),
    unfolding_chain(springs=7),
]


def small(system: MicroscopicSystem, rate: float = 0.1) -> TrajectoryEnsemble:
    """A few replicas over a few steps."""
    return small_ensemble(
        system,
        [ramp(rate)] if system.strain_kind == "controlled" else [hold(8.0)],
        duration=0.1,
        replicas=6,
    )


def points(strain: float = 0.3) -> tuple[Tensor, Tensor]:
    """Microstates of one component and a strain."""
    x = torch.linspace(-1.0, 2.0, 31, dtype=torch.float64)[None, :, None]
    return x, torch.tensor([[strain]], dtype=torch.float64)


@pytest.mark.parametrize("system", EACH, ids=lambda each: each.name)
def test_a_record_gives_the_system_back(system: MicroscopicSystem) -> None:
    """By way of JSON, as in files; the wells and constants, not how the first states were made."""
    record = json.loads(json.dumps(system.parameters()))
    again = recorded_system(system.name, record, system.drive)
    assert type(again) is type(system) is SYSTEMS[system.name].kind
    for made in ("initial", "preparation"):
        record.pop(made, None)
    assert record.items() <= again.parameters().items()
    assert (again.name, again.drive, again.sentence) == (
        system.name,
        system.drive,
        system.sentence,
    )
    energy = physics_of(system.name, record).energy
    assert energy is not None
    assert torch.equal(energy(*points()), system.microscopic_energy(*points()))


def test_the_energy_of_the_particle_and_that_of_its_microstate_are_one() -> None:
    trap, (x, strain) = EACH[0], points()
    of_system = trap.energy(x.movedim(-1, 1), strain)
    assert torch.equal(trap.microscopic_energy(x, strain), of_system)
    torch.testing.assert_close(of_system[0], (0.3 - x[0, :, 0]) ** 2 + x[0, :, 0] ** 2)


def test_the_energy_of_a_chain_is_that_of_its_springs() -> None:
    """L0 Σ e(x_i): each spring in its own well; a mean strain is not in the energy."""
    chain = EACH[2]
    λ = torch.tensor([[7.9]], dtype=torch.float64)
    x = torch.tensor([1.0, 2.3, 3.2, 4.5, 5.6, 6.6], dtype=torch.float64)[None, :, None]
    springs = chain.microstate(x, λ)[0]
    of_site = chain.microscopic_energy(springs, torch.zeros(7, 1))
    torch.testing.assert_close(chain.reference_length * of_site.sum(0), chain.energy(x, λ)[0])


class TwoEnergies(TetheredParticle):
    """A particle whose second energy is another function where ``factor`` is not 1."""

    factor, constant = 1.0, 0.0

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """Return e(x, ε)."""
        return self.factor * super().microscopic_energy(microstate, strain) + self.constant


@pytest.mark.parametrize(("factor", "constant"), [(1.0, 0.0), (1.0, 7.0), (0.5, 0.0), (1.001, 0.0)])
def test_two_energies_that_differ_are_refused_before_the_simulation(
    factor: float, constant: float
) -> None:
    """A constant is free: no force and no entropy depends on it."""
    own = type("Own", (TwoEnergies,), {"factor": factor, "constant": constant})()
    if factor == 1.0:
        small(own)
        return
    with pytest.raises(ValueError, match="microscopic_energy must be energy over the reference"):
        small(own)


def test_a_second_energy_that_forgets_the_strain_is_refused() -> None:
    """Its force on the particle would be right, and the stress would be nought."""

    class Forgetful(TetheredParticle):
        def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
            x = microstate[..., 0]
            return self.stiffness * (x * x - strain * x)

    with pytest.raises(ValueError, match="must be energy over the reference"):
        small(Forgetful())


def test_a_record_that_contradicts_its_own_name_is_refused() -> None:
    record = unfolding_chain().parameters()
    for change, words in (
        ({"crossing": 0.2}, "its crossing is 0.195, and 0.2 in the data"),
        ({"stiffness": None}, "unfolding_chain: "),
        ({"springs": 1}, "at least 2 springs"),
    ):
        with pytest.raises(ValueError, match=words):
            recorded_system("unfolding_chain", {**record, **change})
    with pytest.raises(ValueError, match=r"must record \['well_distance'\]"):
        recorded_system(
            "unfolding_chain", {k: v for k, v in record.items() if k != "well_distance"}
        )
    with pytest.raises(
        ValueError, match=r"takes \['stiffness'\], whose values the data do not record"
    ):
        physics_of("tethered_particle", {"friction": 1.0, "thermal_energy": 1.0})


def test_what_is_known_of_a_system_hangs_on_its_name() -> None:
    trap, chain = small(EACH[0]), small(EACH[2])
    assert [order_parameter(each).name for each in (trap, chain)] == [
        "mean position",
        "open fraction",
    ]
    assert exact_trap_of(trap).stiffness == 2.0
    assert exact_trap_of(chain) is None
    others = replace(trap, system="somebody's"), replace(chain, system="somebody's")
    assert [order_parameter(each) for each in others] == [None, None]
    with pytest.raises(ValueError, match="must have averaged strain; found controlled"):
        system_of(replace(trap, system="double_well_chain", parameters=chain.parameters))


def test_a_repetition_needs_a_system_of_as_many_sites() -> None:
    chain = small(unfolding_chain(springs=7))
    fewer = {**chain.parameters, "springs": 6}
    with pytest.raises(ValueError, match="must have the 6 sites of unfolding_chain; found 7"):
        repeat_from_first(replace(chain, parameters=fewer), seed=2, progress=False)


def test_a_closed_form_reference_model_has_the_energy_of_its_own_springs(tmp_path) -> None:
    """The second well lies 7 k_BT higher; its record once forgot by how much."""
    law = ExportedLaw(export_kramers_unfolding(tmp_path / "reference"))
    x, strain = points()
    assert law.system == "unfolding_chain"
    expected = unfolding_chain().microscopic_energy(x, strain)
    assert torch.equal(law.physics.energy(x, strain), expected)
    old = {k: v for k, v in law.manifest["microscopic"]["parameters"].items() if k != "offset"}
    energy = physics_of("unfolding_chain", {**old, "thermal_energy": 0.0019}).energy
    torch.testing.assert_close(energy(x, strain), expected, rtol=0, atol=1e-15)
    assert "closed form for a chain of springs with two wells each" in markdown(law.manifest)
