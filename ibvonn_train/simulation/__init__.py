"""Overdamped Langevin microsimulations: systems, protocols and ensembles."""

from .ensemble import simulate as simulate
from .potentials import MicroscopicSystem as MicroscopicSystem
from .potentials import Preparation as Preparation
from .potentials import SpringChain as SpringChain
from .potentials import TetheredParticle as TetheredParticle
from .potentials import TwoWellSpring as TwoWellSpring
from .potentials import unfolding_chain as unfolding_chain
from .protocols import Protocol as Protocol
from .protocols import chain_of_paper as chain_of_paper
from .protocols import trap_of_paper as trap_of_paper
