"""Acceptance ranges of the audits, fixed before any model is evaluated.

Errors are in per cent. Each range is about what the noise of the data and the step of the
integrator leave to a good law; twice the range is seen by the audit (tests/train/test_audits.py).
"""

from .audit import AcceptanceRange

DISSIPATION_SIGN: AcceptanceRange = (0.0, None)
CONVEXITY: AcceptanceRange = (0.0, None)
AT_REST: AcceptanceRange = (0.0, 1e-12)

STRESS: AcceptanceRange = (0.0, 0.5)
FLOW_ENERGY: AcceptanceRange = (0.0, 0.5)
FLOW_FORCE: AcceptanceRange = (0.0, 3.0)
GRADIENT_STANDARD_ERROR = 0.15
"""Of the data's own −∂F/∂α over the root mean square of g: beyond it nothing can be said within the
range of chains, the wider one."""
NOT_IDENTIFIABLE = 20.0
"""Largest share of states that may be left out for that."""
EXACT_ENERGY: AcceptanceRange = (0.0, 0.5)
EXACT_FORCE: AcceptanceRange = (0.0, 3.0)
EXACT_MOBILITY: AcceptanceRange = (0.0, 5.0)
DISSIPATED_WORK: AcceptanceRange = (-3.0, 3.0)
ENTROPY_PRODUCTION: AcceptanceRange = (-3.0, 3.0)
FLUCTUATION_DISSIPATION: AcceptanceRange = (0.95, 1.05)
EQUILIBRIUM: AcceptanceRange = (0.0, 2.0)
JARZYNSKI: AcceptanceRange = (-1.0, 1.0)
"""In k_BT."""

MARKOV: AcceptanceRange = (0.0, 10.0)

# Averaged strain: chains, whose states fill a thin set and whose kinetics are activated.
CHAIN_STRESS: AcceptanceRange = (0.0, 1.0)
CHAIN_FLOW_ENERGY: AcceptanceRange = (0.0, 6.0)
CHAIN_FLOW_FORCE: AcceptanceRange = (0.0, 20.0)
CHAIN_EXACT_ENERGY: AcceptanceRange = (0.0, 6.0)
CHAIN_EXACT_FORCE: AcceptanceRange = (0.0, 10.0)
CHAIN_EQUILIBRIUM: AcceptanceRange = (0.0, 10.0)
MOMENTUM: AcceptanceRange = (0.95, 1.5)
STRESS_DEFECT: AcceptanceRange = (0.0, 8.0)
CHAIN_MARKOV: AcceptanceRange = (0.0, 20.0)
