"""Figures as PNG files, drawn without a display."""

from .card_figure import write_card as write_card
from .certificate_figure import certificate_page as certificate_page
from .densities_figure import densities as densities
from .evaluation_figures import report as report
from .history import training_history as training_history
from .internal_variables_figure import internal_variable as internal_variable
from .potentials_figure import potentials as potentials
from .response_figure import response as response
from .training_figures import training_figures as training_figures
from .trajectories import trajectories as trajectories
