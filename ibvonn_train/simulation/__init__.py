"""Overdamped Langevin microsimulations: systems, protocols and ensembles."""

from .families import chain_of_paper as chain_of_paper
from .families import protocols_for_testing as protocols_for_testing
from .families import protocols_for_training as protocols_for_training
from .families import trap_of_paper as trap_of_paper
from .protocols import Protocol as Protocol
from .restart import repeat_from_first as repeat_from_first
from .simulate_ensemble import simulate as simulate
from .strain_paths import strain_path as strain_path
from .systems.bistable_spring import TwoWellSpring as TwoWellSpring
from .systems.chain_cell import ChainCell as ChainCell
from .systems.hookean_dumbbell import HookeanDumbbell as HookeanDumbbell
from .systems.periodic_lattice import PeriodicLattice as PeriodicLattice
from .systems.registry import recorded_system as recorded_system
from .systems.registry import system_of as system_of
from .systems.spring_chain import SpringChain as SpringChain
from .systems.spring_chain import unfolding_chain as unfolding_chain
from .systems.system import MicroscopicSystem as MicroscopicSystem
from .systems.system import OrderParameter as OrderParameter
from .systems.system import Preparation as Preparation
from .systems.tethered_particle import TetheredParticle as TetheredParticle
