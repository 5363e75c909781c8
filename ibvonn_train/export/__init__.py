"""Write a law as a directory that finite-element codes read (format 1 of CONVENTIONS.md)."""

from .constitutive_law import Law as Law
from .from_training import export_trained as export_trained
from .manifest import Description as Description
from .parameters import LawParameters as LawParameters
from .write_model import Decoder as Decoder
from .write_model import export_law as export_law
