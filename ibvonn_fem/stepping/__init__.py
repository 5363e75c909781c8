"""Stepping in time: step control, histories, checkpoints."""

from .histories import Histories as Histories
from .point_choice import EveryPoint as EveryPoint
from .point_choice import LargestPoints as LargestPoints
from .point_choice import RandomPoints as RandomPoints
from .quadrature_cloud import PointCloudWriter as PointCloudWriter
from .quadrature_cloud import point_cloud as point_cloud
