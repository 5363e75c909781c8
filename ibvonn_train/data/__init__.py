"""Ensembles of trajectories: in memory, on disk, and as binned microstates."""

from .ensemble import TrajectoryEnsemble as TrajectoryEnsemble
from .ensemble import open_ensemble as open_ensemble
