"""Acceptance ranges of the audits: 1.5 times what exact laws score.

The rule, which was written down before its scores were made. A range ends at :data:`FACTOR` times
the largest score of an exact law, rounded up to one digit. It is never below the largest sampling
error of the ensembles, rounded up alike, nor below a small range of the audit, the same for every
system, within which a law counts as exact. Scores are those on calibration ensembles: every system
of ``configs/`` whose law is known and four springs that are torn, all their unseen sets, three
fresh seeds each (:mod:`ibvonn_train.studies.exact_ensembles`); what counts as a score stands in
:mod:`ibvonn_train.studies.calibration`. Scores of learned laws enter nowhere. The second law,
convexity in α and φ(0) = 0 are no matter of scores: any violation fails.

An audit whose range admits a law that is a fifth wrong in the audited quantity is none: its value
is reported. ``make audits`` prints scores, ranges and spoiled laws, and then the scores on other
seeds.
"""

import math

from .audit import OPEN, AcceptanceRange

FACTOR = 1.5


def derived(largest: float, sampling: float = 0.0, smallest: float = 0.0) -> float:
    """Return the end of a range.

    Args:
        largest: Score of exact laws.
        sampling: Sampling error of the ensembles, where the score does not hold it.
        smallest: What counts as exact.
    """
    return max(_rounded_up(FACTOR * largest), _rounded_up(sampling), smallest)


def _rounded_up(value: float) -> float:
    """Return the next number of one digit."""
    if not value > 0.0:
        return 0.0
    exponent = math.floor(math.log10(value))
    digits = math.ceil(value / 10.0**exponent - 1e-9)
    return float(f"{digits}e{exponent}")


DISSIPATION_SIGN: AcceptanceRange = (0.0, None)
CONVEXITY: AcceptanceRange = (0.0, None)
AT_REST: AcceptanceRange = (0.0, 1e-12)

STRESS: AcceptanceRange = (0.0, 0.5)
DECODER_ENERGY: AcceptanceRange = (0.0, 0.05)
"""In k_BT: half of what a width that is 10 % wrong does; the exact decoder: 0.013."""
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
"""Exact laws: 0.04 % at most."""
ENTROPY_PRODUCTION: AcceptanceRange = (-3.0, 3.0)
FLUCTUATION_DISSIPATION: AcceptanceRange = (0.95, 1.05)
EQUILIBRIUM: AcceptanceRange = (0.0, 2.0)
JARZYNSKI: AcceptanceRange = (-1.0, 1.0)
"""In k_BT."""

MARKOV: AcceptanceRange = (0.0, 10.0)

# Averaged strain: chains, whose states fill a thin set and whose kinetics are activated.
CHAIN_STRESS: AcceptanceRange = (0.0, 1.0)
"""Half of a stress that is 2 % wrong; the closed form: 1e-4 %, the rounding of the record."""
CHAIN_DECODER_ENERGY: AcceptanceRange = (0.0, 0.5)
"""In k_BT. Springs that are torn are not at rest within their wells: the closed form leaves 0.05 to
0.34, the best decoder of the open fraction 0.04 to 0.27."""
CHAIN_FLOW_ENERGY: AcceptanceRange = (0.0, 3.0)
"""The best decoder of the open fraction alone: 0.9 % at most."""
CHAIN_FLOW_FORCE: AcceptanceRange = (0.0, 30.0)
"""A decoder sees α alone, and the shape of the wells depends on the rate too. So F_flow of the best
decoder of the open fraction has another slope than the exact f: 3 to 20.2 %."""
CHAIN_EXACT_ENERGY: AcceptanceRange = (0.0, 5.0)
"""The closed form holds for springs at rest within their wells. The free energy of the measured
microstates themselves is 0.2 to 3.1 % from it; sharp wells in place of the exact ones: 0.02 %."""
CHAIN_EXACT_FORCE: AcceptanceRange = (0.0, 10.0)
"""Sharp wells: 1.4 % at most; the rest is that of a smooth encoder at states that the data resolve
to 10 replicas in a well, where ln p has a standard error of 30 %."""
CHAIN_EQUILIBRIUM: AcceptanceRange = (0.0, 10.0)
"""The closed form: 0.004 % at most."""
MOMENTUM: AcceptanceRange = (0.95, 1.5)
"""The closed form: 0.99 to 1.0."""
STRESS_DEFECT: AcceptanceRange = (0.0, 15.0)
"""The open fraction changes under translation too, by the springs that are just at the crossing:
0.2 to 5.7 % on the chains of configs/, 9.7 % where four springs are torn apart."""
CHAIN_MARKOV: AcceptanceRange = (0.0, 20.0)
"""The open fraction: 0 to 7 % on unfolding_chain and the paper's chain, 22 to 58 % on
double_well_chain, where springs are torn so fast that they are on their way between the wells for
as long as the window. That is a fact of the variable, no fault of the audit."""
