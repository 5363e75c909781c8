"""Maps between displacement gradients and the strains of a law."""

from .base import Kinematics as Kinematics
from .uniaxial import Uniaxial as Uniaxial
