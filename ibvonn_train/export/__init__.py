"""Write a law as a directory that finite-element codes read (format 1 of CONVENTIONS.md)."""

from .law import Law as Law
from .manifest import Description as Description
from .model import Decoder as Decoder
from .model import export_law as export_law
from .parameters import LawParameters as LawParameters
