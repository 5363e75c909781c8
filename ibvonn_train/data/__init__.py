"""Ensembles of trajectories: in memory, on disk, and as binned microstates."""

from .drive_records import ChainDriven as ChainDriven
from .drive_records import StrainDriven as StrainDriven
from .element_classes import ClassSymmetry as ClassSymmetry
from .ensemble import TrajectoryEnsemble as TrajectoryEnsemble
from .ensemble import open_ensemble as open_ensemble
from .histogram import Histogram as Histogram
