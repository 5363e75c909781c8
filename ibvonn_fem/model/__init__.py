"""Exported models: reading, checking, scaling, driving one material point."""

from .exported_model import ExportedModel as ExportedModel
from .exported_model import load_model as load_model
from .mandel import mandel_matrix as mandel_matrix
