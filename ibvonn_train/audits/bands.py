"""Bands of the audits, fixed before any model is judged.

Errors are in per cent. Each band is about what the noise of the data and the step of the
integrator leave to a good law; twice the band is seen by the audit (tests/train/test_audits.py).
"""

from .audit import Band

DISSIPATION_SIGN: Band = (0.0, None)
CONVEXITY: Band = (0.0, None)
CURVATURE: Band = (0.0, None)
AT_REST: Band = (0.0, 1e-12)

STRESS: Band = (0.0, 0.5)
FLOW_ENERGY: Band = (0.0, 0.5)
FLOW_FORCE: Band = (0.0, 3.0)
GRADIENT_STANDARD_ERROR = 0.15
"""Of the data's own −∂F/∂α over the root mean square of g: beyond it nothing can be judged within
the band of chains, the wider one."""
NOT_IDENTIFIABLE = 20.0
"""Largest share of states that may be left out for that."""
EXACT_ENERGY: Band = (0.0, 0.5)
EXACT_FORCE: Band = (0.0, 3.0)
EXACT_MOBILITY: Band = (0.0, 5.0)
ENTROPY_PRODUCTION: Band = (-3.0, 3.0)
FLUCTUATION_DISSIPATION: Band = (0.95, 1.05)
EQUILIBRIUM: Band = (0.0, 2.0)
JARZYNSKI: Band = (-1.0, 1.0)
"""In k_BT."""

MARKOV: Band = (0.0, 10.0)

# Averaged strain: chains, whose states fill a thin set and whose kinetics are activated.
CHAIN_STRESS: Band = (0.0, 2.0)
CHAIN_FLOW_ENERGY: Band = (0.0, 3.0)
CHAIN_FLOW_FORCE: Band = (0.0, 15.0)
CHAIN_EQUILIBRIUM: Band = (0.0, 10.0)
MOMENTUM: Band = (0.95, 1.5)
STRESS_DEFECT: Band = (0.0, 1.0)
CHAIN_MARKOV: Band = (0.0, 20.0)
