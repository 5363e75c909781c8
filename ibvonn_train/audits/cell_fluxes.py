r"""Audit of cells: the driving force from the two fluxes of jumping elements.

Of N independent elements the fraction J₊ dt opens and J₋ dt folds in a time dt, so that

.. math::
    \langle dp\rangle = (J_+ - J_-)\,dt, \qquad N\,\mathrm{Var}(dp) = (J_+ + J_-)\,dt, \qquad
    \frac{J_+}{J_-} = e^{g/\theta}, \qquad
    \frac{g}{\theta} = 2\,\mathrm{artanh}\frac{\langle dp\rangle}{N\,\mathrm{Var}(dp)} .

J₊ and J₋ are counted, element by element, which is the same with less noise: of the variance a
handful of replicas says little. The audit of fluctuation and dissipation looks at the variance.

Nor must the interval be short. An element with the rates k₊ and k₋ that was folded is open at its
end with the probability k₊ (1 − e^{−(k₊+k₋)Δt})/(k₊+k₋), one that was open is folded with the same
where k₋ stands for k₊: the ratio is k₊/k₋ at any Δt. So the counts are to be compared with g whose
smooth part is that of the middle of the interval, and whose part ln p/(1 − p) that of its start.
"""

from __future__ import annotations

import numpy as np

from ..evaluation.interface import Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence, lacks_noise, lacks_samples
from .cell_states import fractions, log_odds, of_cell, open_elements

LARGEST = 3.0
"""Of |g|, in k_BT: beyond it one of the fluxes is a twentieth of the other."""
GROUPS = 8
"""Of states with like g of the law, whose jumps are counted together."""
LARGEST_NOISE = 5.0
"""Of the counts, in per cent of g: beyond it even exact laws leave the range now and then."""
FEWEST = 100
"""Jumps of a group: fewer say less than 10 % of tanh(g/2)."""


def driving_force(law: Law, evidence: Evidence) -> Audit | None:
    """Compare g of the law with the fluxes of elements between their states, for |g| < 3 k_BT."""
    if not of_cell(law, evidence) or law.physics is None:
        return None
    name, acceptable = "g against fluxes", acceptance_ranges.CELL_FLUXES
    lacking = lacks_noise(evidence) or lacks_samples(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    data, measured = evidence.data, evidence.measured
    strain, internal = measured.strain[:, :, 0], measured.internal[:, :, 0]
    middle = [(part[:, 1:] + part[:, :-1]) / 2 for part in (strain, internal)]
    rows = [part.reshape(-1, part.shape[-1]) for part in middle]
    force = law.rates(*rows).driving_force / law.physics.thermal_energy
    # Those who jump are of the state at the start.
    shift = log_odds(fractions(law, middle[1])) - log_odds(fractions(law, internal[:, :-1]))
    g = force.reshape(middle[1].shape) + shift
    opening, folding = np.empty_like(g), np.empty_like(g)
    for case in range(data.protocols):
        state = open_elements(law, data, case)
        opening[case] = (~state[:-1] & state[1:]).sum(-1)
        folding[case] = (state[:-1] & ~state[1:]).sum(-1)
    edges = np.linspace(-LARGEST, LARGEST, GROUPS + 1)
    inside = np.abs(g) < LARGEST
    group = np.digitize(g[inside], edges) - 1
    jumps, net, expected = (
        np.bincount(group, part[inside], minlength=GROUPS)
        for part in (
            opening + folding,
            opening - folding,
            (opening + folding) * np.tanh(np.clip(g, -LARGEST, LARGEST) / 2),
        )
    )
    # One flux that nobody saw would make g infinite: it has half a jump then.
    enough = jumps >= FEWEST
    if enough.sum() < GROUPS // 2:
        most = int(jumps.max(initial=0))
        return Audit.not_available(
            name,
            acceptable,
            f"needs {FEWEST} jumps in half of the {GROUPS} groups of states with |g| < "
            f"{LARGEST:g} k_BT; found at most {most}: take more replicas, or slower paths",
        )
    up, down = (np.maximum((jumps + sign * net)[enough] / 2, 0.5) for sign in (1, -1))
    of_fluxes, of_law = np.log(up / down), 2 * np.arctanh((expected / jumps.clip(1))[enough])
    weight = 1.0 / np.sqrt(1 / up + 1 / down)  # of a logarithm of counts
    size = float(np.linalg.norm(weight * of_law))
    value = 100 * float(np.linalg.norm(weight * (of_fluxes - of_law))) / size
    noise = 100 * float(np.sqrt(len(of_law))) / size
    detail = (
        f"relative L2 error in % of g in {len(of_law)} groups of states with |g| < {LARGEST:g} "
        f"k_BT, against ln(J₊/J₋) of {int(jumps[enough].sum())} jumps of single elements, weighted "
        f"by their number, which leaves {noise:.2g} %"
    )
    if noise > LARGEST_NOISE:
        more = f"{detail}: at most {LARGEST_NOISE:g} %; take more replicas"
        return Audit.not_identifiable(name, value, acceptable, more)
    return Audit.compare(name, value, acceptable, detail)
