"""The systems that this project knows, by the names that files carry.

A file says which system it is of by name and parameters, and whoever asks what that system is
(its energy, its order parameter, its drive, its sentence) gets the system itself from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...data.ensemble import TrajectoryEnsemble
from ..families import Split, chain_of_paper, trap_of_paper
from .chain_cell import ChainCell
from .hookean_dumbbell import HookeanDumbbell
from .periodic_lattice import PeriodicLattice
from .spring_chain import SpringChain, spring_chain, unfolding_chain
from .system import MicroscopicSystem
from .tethered_particle import TetheredParticle


class Registered(NamedTuple):
    """A system by its name.

    Attributes:
        kind: Its class, which reads what a file records.
        make: Makes it of the keys of ``[simulation.parameters]``.
        paper: The paper's protocols for it, where there are any.
        microstate_sizes: n_x that it may have.
    """

    kind: type[MicroscopicSystem]
    make: Callable[..., MicroscopicSystem]
    paper: Callable[[], Split] | None = None
    microstate_sizes: tuple[int, ...] = (1,)


SYSTEMS: dict[str, Registered] = {
    "tethered_particle": Registered(TetheredParticle, TetheredParticle, trap_of_paper),
    "double_well_chain": Registered(SpringChain, spring_chain, chain_of_paper),
    "unfolding_chain": Registered(SpringChain, unfolding_chain),
    "chain_cell": Registered(ChainCell, ChainCell),
    "periodic_lattice": Registered(PeriodicLattice, PeriodicLattice, microstate_sizes=(1, 2)),
    "hookean_dumbbell": Registered(HookeanDumbbell, HookeanDumbbell, microstate_sizes=(2,)),
}


def recorded_system(
    name: str, parameters: Mapping[str, Any], drive: str = "end"
) -> MicroscopicSystem | None:
    """Return the system of a record, or None where the name is not one of :data:`SYSTEMS`.

    Args:
        name: Of the system.
        parameters: As recorded.
        drive: As recorded; nothing but a simulation depends on it.

    Raises:
        ValueError: If the parameters are not those of a system of this name.
    """
    if name not in SYSTEMS:
        return None
    try:
        system = SYSTEMS[name].kind.of_record(name, parameters, drive)
        system.require_recorded(name, parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
    return system


def known_system(data: TrajectoryEnsemble) -> MicroscopicSystem | None:
    """Return the system of an ensemble, or None where its name is not registered.

    Raises:
        ValueError: If the record is not that of a system of this name.
    """
    if data.system in SYSTEMS and data.microstate_size not in SYSTEMS[data.system].microstate_sizes:
        return None  # somebody's own system of that name
    system = recorded_system(data.system, data.parameters, data.drive.kind)
    if system is not None and system.strain_kind != data.strain_kind:
        raise ValueError(
            f"{data.system}: must have {system.strain_kind} strain; found {data.strain_kind} in "
            "the data. Give a system of one's own a name of its own."
        )
    return system


def system_of(data: TrajectoryEnsemble) -> MicroscopicSystem:
    """Return the system that an ensemble was simulated with.

    Raises:
        ValueError: If the name of the system is not registered.
    """
    system = known_system(data)
    if system is None:
        raise ValueError(
            f"{data.system}: must be one of {sorted(SYSTEMS)} to be simulated again. Pass the "
            "system itself."
        )
    return system
