"""Errors that the paper's reference implementation prints, in per cent: columns for comparison.

Source: Qiu, Huang, Reina, *Journal of the Mechanics and Physics of Solids* (2025),
arXiv 2501.17993, and the notebooks published with it. They are printed for comparison only.
"""

TRAP = {
    "force/test": 0.184,
    "force/linear": 1.203,
    "internal/test": 2.79,
    "internal/linear": 1.91,
    "free_energy/test": 8.60,
    "dual_dissipation/test": 4.94,
}
"""Example 1, tethered particle."""

CHAIN = {
    "force/strain/test": 1.08,
    "end/strain/test": 1.03,
    "end/force/test": 1.71,
    "end/internal/test": 6.0,
    "end/strain/sinusoidal": 3.35,
    "end/force/sinusoidal": 6.00,
}
"""Example 2, bistable chain, with the flow; α converted to zero mean and unit variance."""

CHAIN_MIXTURE = {
    "force/strain/test": 1.43,
    "end/strain/test": 1.60,
    "end/force/test": 2.22,
    "end/strain/sinusoidal": 6.66,
    "end/force/sinusoidal": 15.99,
}
"""Example 2 with a Gaussian mixture in place of the flow."""
