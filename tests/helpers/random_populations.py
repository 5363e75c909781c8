"""Laws with populations of any weights, and random steps of them."""

import numpy as np
import torch

from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.interfaces import INPUTS, OUTPUTS

LAWS = [
    (1, (2,), 0),
    (1, (2,), 1),
    (3, (2, 2, 2), 0),
    (2, (3,), 0),
    (3, (4, 3, 2), 2),
]
"""n_ε, states of every population, number of means."""


TWO_STATES = [law for law in LAWS if set(law[1]) == {2}]


TOLERANCE = 1e-10


def inputs_of(law, n_points, *, reach=1.0, decades=(-4.0, 2.0), seed=0):
    """Random steps: fractions that are often nearly 0 or 1, every eighth step of zero length."""
    rng = np.random.default_rng(seed)
    m, parameters = law.strain_size, law.parameters
    fractions = [
        rng.dirichlet(np.full(states, 0.3), n_points)[:, 1:] for _, states in parameters.groups
    ]
    means = reach * rng.uniform(-1.0, 1.0, (n_points, parameters.mean_size))
    dt = 10.0 ** rng.uniform(*decades, (n_points, 1))
    dt[::8] = 0.0
    strain, old = reach * rng.uniform(-1.0, 1.0, (2, n_points, m))
    statev = np.concatenate([*fractions, means], 1) - parameters.rest
    return {"strain": strain, "strain_old": old, "statev": statev, "dt": dt}


def run(law, inputs):
    with torch.no_grad():
        values = law.update()(*(torch.tensor(inputs[name]) for name in INPUTS))
    return dict(zip(OUTPUTS, (value.numpy() for value in values), strict=True))


def law_of(case, **settings):
    return ConstitutiveLaw.of(untrained_populations(*case, **settings))
