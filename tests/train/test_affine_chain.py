"""A chain whose medium deforms with its ends."""

import numpy as np
import pytest
import torch
from affine_chain import AffineChain
from small_ensembles import small_ensemble

from ibvonn_train.simulation import SpringChain, repeat_from_first, unfolding_chain
from ibvonn_train.simulation.protocols import hold, ramp

CHAIN = SpringChain(thermal_energy=5e-6).from_equilibrium(0.01, steps=200)


def test_a_step_is_that_of_the_beads_in_the_medium():
    """x⁺ = x + (F_{i+1} − F_i) Δt/η + the medium's own motion; here without noise."""
    cold = SpringChain(thermal_energy=0.0, preparation=())
    chain = AffineChain.around(cold)
    dt, rate = 0.01, 0.05
    record = small_ensemble(
        chain,
        [ramp(rate, 0.21)],
        duration=dt,
        time_step=dt,
        replicas=2,
        seed=0,
        dtype=torch.float64,
        first_microstate=_uneven(),
    )
    strain = record.microstate[0, :, :, 0, 0]
    x = 0.01 * (1.0 + strain).cumsum(axis=1)
    force = chain.spring.force(torch.from_numpy(0.01 * strain[0])).numpy()
    medium = rate * dt * np.arange(1, 10) / 10
    expected = x[0, :-1] + np.diff(force) * dt / chain.friction + medium
    np.testing.assert_allclose(x[1, :-1], expected, rtol=1e-12)
    np.testing.assert_allclose(x[1, -1], 0.21 + rate * dt, rtol=1e-12)
    np.testing.assert_allclose(record.drive.force[0, 0], force.mean(), rtol=1e-12)


def _uneven():
    strain = np.random.default_rng(1).uniform(-0.2, 2.2, size=10)
    strain += 0.21 / 0.1 - 1.0 - strain.mean()
    return np.tile(strain[None, :, None, None], (1, 1, 2, 1))


def test_all_springs_have_the_mean_strain_of_the_ends_and_those_of_a_chain_at_rest_do_not():
    spread = []
    for chain in (CHAIN, AffineChain.around(CHAIN)):
        record = small_ensemble(chain, [ramp(0.05, 0.2)], duration=1.0, replicas=2000)
        spread.append(record.strain[0, -1, :, 0].std())
    noise = np.sqrt(record.microstate[0, -1].var() / 2000)
    assert spread[1] < 3 * noise
    assert spread[0] > 10 * noise


def test_at_rest_it_is_the_chain():
    records = [
        small_ensemble(chain, [hold(0.19)], duration=0.5, replicas=4000, seed=seed)
        for seed, chain in enumerate((CHAIN, AffineChain.around(CHAIN)))
    ]
    wells = [(record.microstate[0, -1] > 1.0).sum(axis=0) for record in records]
    counts = [np.bincount(each[:, 0], minlength=11) for each in wells]
    difference = (counts[0] - counts[1]) ** 2 / np.maximum(counts[0] + counts[1], 1)
    assert difference.sum() < 30.0  # χ² with 10 degrees of freedom: 1e-3


def test_it_can_be_restarted_and_a_pulled_end_is_refused():
    record = small_ensemble(AffineChain.around(CHAIN), [ramp(0.05, 0.2)], duration=0.02, replicas=4)
    again = repeat_from_first(
        record, factor=1, seed=2, system=AffineChain.around(CHAIN), progress=False
    )
    np.testing.assert_allclose(again.microstate[:, 0], record.microstate[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match="drive must be 'end'"):
        AffineChain.around(unfolding_chain("force"))
