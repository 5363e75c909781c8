"""Write a law as a directory that finite-element codes read (format 2 of CONVENTIONS.md)."""

from .constitutive_law import ConstitutiveLaw as ConstitutiveLaw
from .from_training import export_trained as export_trained
from .manifest import Description as Description
from .parameters import LawParameters as LawParameters
from .population_parameters import PopulationParameters as PopulationParameters
from .write_model import DecoderGraphs as DecoderGraphs
from .write_model import export_law as export_law
