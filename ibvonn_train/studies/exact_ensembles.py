"""Ensembles of systems whose law is known exactly, on which audits are calibrated and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..audits import Evidence
from ..closed_form.independent_bonds import IndependentBonds, simulate_bonds
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.closed_form_reference import ClosedFormReference
from ..evaluation.interface import Law
from ..evaluation.law_rollouts import encoded
from ..simulation import Preparation, SpringChain, simulate
from ..simulation.protocols import smooth_pull
from ..simulation.simulation_config import SimulationConfig
from ..simulation.strain_paths import load_hold_unload, strain_loops
from ..simulation.study import build_system, run_set
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from .decoder_of_data import DecoderOfData
from .wells_decoder_of_data import WellsDecoderOfData
from .wells_law import WellsLaw

CALIBRATION = (1000, 2000, 3000)
"""Added to the seed of a set: the ensembles that acceptance ranges are derived from."""
JUDGED = (4000,)
"""The same for those that the derived ranges are judged with."""


@dataclass(frozen=True)
class ExactSystem:
    """A system of ``configs/`` whose law is known.

    Attributes:
        config: File of the configuration; empty for those that are made here.
        sets: Of unseen data, the quicker first.
        friction: Of the closed form of two-well springs; None for others. Fitted to the
            strains of the quicker set; it enters no audit that judges.
        slow: Set of slow protocols for Jarzynski's equality.
        wells: Bottoms of the wells of a particle under an imposed strain; it rests in the middle
            one.
    """

    config: str
    sets: tuple[str, ...]
    friction: float | None = None
    slow: str | None = None
    wells: tuple[float, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether the strain is the mean of the microstates; else it is controlled."""
        return self.friction is not None


SYSTEMS = {
    "trap": ExactSystem("trap_rich.toml", ("unseen_fast", "unseen_slow"), slow="slow"),
    "trap_paper": ExactSystem("trap.toml", ("linear", "test"), slow="slow"),
    "chain_paper": ExactSystem("chain.toml", ("sinusoidal", "test"), 0.245),
    "double_well_chain": ExactSystem(
        "double_well_chain.toml", ("unseen_fast", "unseen_slow"), 0.157
    ),
    "unfolding_chain": ExactSystem("unfolding_chain.toml", ("unseen_fast", "unseen_slow"), 0.294),
    "unfolding_cell": ExactSystem("unfolding_cell.toml", ("unseen_fast", "unseen_slow"), 0.5),
    "four springs": ExactSystem("", ("torn",), 0.25),
    "independent bonds": ExactSystem("", ("fast", "slow")),
    "three_wells": ExactSystem("three_wells.toml", ("unseen",), wells=(-1.0, 0.0, 1.0)),
}
BONDS = "independent bonds"
BOND_DURATIONS = {"fast": 1000.0, "slow": 5000.0}
"""A bond relaxes in 500. Instants, replicas and bonds of a cell are as in the lattice's record."""


@dataclass(frozen=True)
class ExactCase:
    """The exact laws of a system on one ensemble.

    Attributes:
        system: Name.
        chosen: Name of the set.
        seed: Of the ensemble.
        exact: The exact law on it.
        best_decoder: The closed form with the best decoder of the open fraction alone, or of strain
            and fractions where a strain is imposed, which has been counted in an ensemble of
            another seed; None for the trap, whose decoder is exact.
        evidence: The ensemble.
        kinetics: Whether φ is exact, too; that of wells is one of high barriers.
    """

    system: str
    chosen: str
    seed: int
    exact: Law
    best_decoder: Law | None
    evidence: Evidence
    kinetics: bool = True


def cases(
    name: str, chosen: str, seeds: tuple[int, ...], configs: Path, trap: Law
) -> Iterator[ExactCase]:
    """Yield the exact laws of a system on ensembles of one set.

    Args:
        name: One of :data:`SYSTEMS`.
        chosen: One of its sets.
        seeds: What is added to the seed of the set, one ensemble each.
        configs: Folder of the configurations.
        trap: The trap in closed form.
    """
    system = SYSTEMS[name]
    for number, seed in enumerate(seeds):
        if name == BONDS:
            bonds = IndependentBonds()
            data = _bonds(bonds, BOND_DURATIONS[chosen], seed)
            yield ExactCase(name, chosen, seed, bonds, None, Evidence(data, encoded(bonds, data)))
            continue
        data = ensemble(system, chosen, seed, configs)
        other = seeds[number - 1] if len(seeds) > 1 else seed + 500
        if system.wells:
            wells = WellsLaw(data, *_wells(system, data, configs))
            counted = ensemble(system, chosen, other, configs)
            best_of_wells = WellsDecoderOfData(counted, *_wells(system, counted, configs))
            evidence = Evidence(data, encoded(wells, data))
            yield ExactCase(name, chosen, seed, wells, best_of_wells, evidence, kinetics=False)
            continue
        if system.friction is None:
            slow = None if system.slow is None else ensemble(system, system.slow, seed, configs)
            evidence = Evidence(data, encoded(trap, data), slow)
            yield ExactCase(name, chosen, seed, trap, None, evidence)
            continue
        best = DecoderOfData(ensemble(system, chosen, other, configs), system.friction)
        exact = ClosedFormReference(data, system.friction)
        yield ExactCase(name, chosen, seed, exact, best, Evidence(data, encoded(exact, data)))


def ensemble(system: ExactSystem, chosen: str, seed: int, configs: Path) -> TrajectoryEnsemble:
    """Simulate a set of a system with another seed than its own."""
    if not system.config:
        return _four_springs(seed)
    study = SimulationConfig.from_toml(configs / system.config)
    of_study = study.pick(chosen)
    return run_set(
        study, replace(of_study, seed=of_study.seed + seed), folder=configs, progress=False
    )


def _wells(
    system: ExactSystem, data: TrajectoryEnsemble, configs: Path
) -> tuple[Physics, tuple[float, ...], int]:
    """Return the arguments of the laws of wells."""
    microscopic = build_system(SimulationConfig.from_toml(configs / system.config), configs)
    physics = physics_of(data.system, dict(data.parameters), microscopic.microscopic_energy)
    return physics, system.wells, len(system.wells) // 2


def _bonds(law: IndependentBonds, duration: float, seed: int) -> TrajectoryEnsemble:
    """Bonds that jump independently, along paths and loops like those of the lattice's record."""
    targets = [[0.17, 0.0, 0.0], [0.088, 0.062, 0.1044], [0.12, 0.12, 0.0], [-0.05, 0.12, 0.0]]
    corners = [
        [[0.14, 0.0, 0.0], [0.14, 0.0, 0.1], [0.0, 0.1, 0.1], [0.0, 0.1, -0.1]],
        [[0.0, 0.0, 0.1], [0.1, 0.1, 0.0], [0.0, 0.14, -0.08], [0.08, -0.05, 0.0]],
    ]
    paths = [*load_hold_unload(duration, targets), *strain_loops(duration, corners)]
    return simulate_bonds(
        law, paths, duration=duration, instants=100, replicas=32, bonds=144, seed=seed
    )


def _four_springs(seed: int) -> TrajectoryEnsemble:
    """Four springs that are torn: those of the tests."""
    chain = SpringChain(springs=4, preparation=(Preparation(500, 0.005),), initial="equilibrium")
    protocols = [smooth_pull(0.025, 0.04), smooth_pull(0.03, 0.046), smooth_pull(-0.02, 0.088)]
    return simulate(
        chain, protocols, duration=3.0, time_step=0.005, stride=10, replicas=2000, seed=seed + 3,
        progress=False,
    )  # fmt: skip
