"""Trajectories of other simulators, read by a short description of what they hold."""

from .description import StudyDescription as StudyDescription
from .trajectory_import import import_trajectories as import_trajectories
