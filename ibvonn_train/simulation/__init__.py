"""Overdamped Langevin microsimulations: systems, protocols and ensembles."""

from .chain import PAPER_PREPARATION as PAPER_PREPARATION
from .chain import SpringChain as SpringChain
from .chain import unfolding_chain as unfolding_chain
from .ensemble import simulate as simulate
from .families import Split as Split
from .families import chain_of_paper as chain_of_paper
from .families import rich_family as rich_family
from .families import trap_of_paper as trap_of_paper
from .families import unseen_family as unseen_family
from .protocols import Protocol as Protocol
from .protocols import from_function as from_function
from .protocols import hold as hold
from .protocols import piecewise_linear as piecewise_linear
from .protocols import ramp as ramp
from .protocols import ramp_and_hold as ramp_and_hold
from .protocols import random_walk as random_walk
from .protocols import sinusoid as sinusoid
from .protocols import smooth_pull as smooth_pull
from .protocols import step_and_hold as step_and_hold
from .protocols import triangle as triangle
from .restart import repeat_from_first as repeat_from_first
from .restart import system_of as system_of
from .spring import TwoWellSpring as TwoWellSpring
from .system import MicroscopicSystem as MicroscopicSystem
from .system import Preparation as Preparation
from .trap import TetheredParticle as TetheredParticle
