"""Figures for a person: PNG files, drawn without a display."""

from .card import write_card as write_card
from .certificate import certificate_page as certificate_page
from .microscopic import densities as densities
from .microscopic import internal_variable as internal_variable
from .potentials import potentials as potentials
from .report import report as report
from .report import trap_report as trap_report
from .response import response as response
from .training import training_history as training_history
from .trajectories import trajectories as trajectories
