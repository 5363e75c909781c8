"""Maps between displacement gradients and the strains of a law."""

from ..directions import Directions as Directions
from ..directions import around_axis as around_axis
from ..directions import equispaced as equispaced
from ..directions import lebedev as lebedev
from .direction_stretch import DirectionStretch as DirectionStretch
from .full_strain import FullStrain as FullStrain
from .interface import Kinematics as Kinematics
from .networks import Microcircle as Microcircle
from .networks import Microsphere as Microsphere
from .networks import reference_modulus as reference_modulus
from .solid import Solid as Solid
from .uniaxial import Uniaxial as Uniaxial
from .volumetric import LogarithmicVolumetric as LogarithmicVolumetric
from .volumetric import QuadraticVolumetric as QuadraticVolumetric
from .volumetric import Volumetric as Volumetric
from .wrapped import Axisymmetric as Axisymmetric
from .wrapped import PlaneStrain as PlaneStrain
from .wrapped import PlaneStress as PlaneStress
from .wrapped import UniaxialStress as UniaxialStress
