"""Errors of exported laws on ensembles that their training has not seen."""

from ..law.normalisation import Normalisation as Normalisation
from ..law.rates import Rates as Rates
from .evaluate import Evaluation as Evaluation
from .evaluate import evaluate as evaluate
from .exported_law import ExportedLaw as ExportedLaw
from .exported_law import open_law as open_law
from .interface import Law as Law
