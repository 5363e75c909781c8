"""Chains of two-well springs: equilibrium, both engines, repetitions, the unfolding chain."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble

from ibvonn_train.simulation import (
    Preparation,
    SpringChain,
    TetheredParticle,
    TwoWellSpring,
    repeat_from_first,
    system_of,
    unfolding_chain,
)
from ibvonn_train.simulation.protocols import hold, ramp, smooth_pull
from ibvonn_train.simulation.systems.bistable_spring import sample_at_force, sample_at_length

KT = 5e-6
SPRING = TwoWellSpring()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def exact_probability(weight, limit):
    """Share of ∫ weight that lies beyond ``limit``, by midpoints."""
    u = -0.08 + 0.2 * (np.arange(200_000) + 0.5) / 200_000
    w = weight(torch.from_numpy(u)).numpy()
    return w[u > limit].sum() / w.sum()


@pytest.mark.parametrize("thermal_energy", [1e-4, 1.2e-4])
@pytest.mark.parametrize("kind", ["length", "force"])
def test_equilibrium_draws_follow_the_boltzmann_integral(kind, thermal_energy):
    """Two springs of fixed length, or one of fixed force, are one-dimensional integrals.

    Barriers of half a k_BT: the edges of the wells matter.
    """
    spring = replace(SPRING, offset=1e-5)
    n, true = 40_000, 1e-4
    if kind == "length":
        total = torch.full((n,), 0.022)
        u = sample_at_length(spring, total, 2, thermal_energy, seeded())[:, 0].numpy()

        def weight(u):
            return torch.exp(-(spring.energy(u) + spring.energy(0.022 - u)) / true)
    else:
        held = torch.full((n,), 1e-3)
        u = sample_at_force(spring, held, 2, thermal_energy, seeded())[:, 0].numpy()

        def weight(u):
            return torch.exp(-(spring.energy(u) - 1e-3 * u) / true)

    worst = 0.0
    for limit in (-0.01, 0.0, 0.009, spring.crossing, 0.012, 0.02, 0.03):
        p = exact_probability(weight, limit)
        worst = max(worst, abs((u > limit).mean() - p) / np.sqrt(p * (1 - p) / n))
    # The control: the temperature a fifth too high.
    assert worst < 4.5 if thermal_energy == true else worst > 6


@pytest.mark.parametrize("drive", ["end", "force"])
def test_an_equilibrium_start_stays_and_a_uniform_one_arrives_there(drive):
    """Independent of formulas: long dynamics over low barriers lead to the exact draws."""
    chain = SpringChain(springs=4, thermal_energy=2e-5, friction=0.1, drive=drive, preparation=())
    load = 0.085 if drive == "end" else 1e-3
    arguments = {"duration": 0.02, "time_step": 0.002, "replicas": 4000}
    drawn = small_ensemble(
        replace(chain, initial="equilibrium"), [hold(load)], seed=1, **arguments
    ).microstate[0, 0, :, :, 0]
    stages = (Preparation(15_000, 0.002),)
    moved = [
        small_ensemble(
            replace(c, preparation=stages), [hold(load)], seed=2, **arguments
        ).microstate[0, 0, :, :, 0]
        for c in (chain, replace(chain, initial="equilibrium"), replace(chain, thermal_energy=1e-5))
    ]

    def z(a, b):
        statistics = [
            (a.mean(1) - b.mean(1)) / np.sqrt((a.var(1) + b.var(1)) / 4000),
        ]
        for count in range(5):
            p, q = (((x > 1).sum(0) == count).mean() for x in (a, b))
            spread = (p * (1 - p) + q * (1 - q)) / 4000
            statistics.append([(p - q) / np.sqrt(max(spread, 1e-9))])
        return np.abs(np.concatenate(statistics)).max()

    assert z(drawn, moved[0]) < 4.5
    assert z(drawn, moved[1]) < 4.5
    assert z(drawn, moved[2]) > 8


def test_the_paper_preparation_reaches_the_exact_occupations_of_the_wells():
    """Mean open fraction of the 10-chain 0.3637 at L = 0.17, by the formula without edges."""
    data = small_ensemble(SpringChain(), [hold(0.17)], duration=0.01, replicas=2000, seed=4)
    opened = (data.microstate[0, 0, :, :, 0] > 1).sum(0)
    p = SPRING.open_distribution(torch.tensor([0.07]), 10, KT)[0].numpy()
    mean, spread = p @ np.arange(11), np.sqrt(p @ np.arange(11) ** 2 - (p @ np.arange(11)) ** 2)
    assert mean / 10 == pytest.approx(0.3637, abs=1e-4)
    assert abs(opened.mean() - mean) < 4.5 * spread / np.sqrt(2000)
    # Without the hot stage the uniform chain has not got there.
    cold = small_ensemble(
        SpringChain(preparation=(Preparation(2000, 0.01),)),
        [hold(0.17)],
        duration=0.01,
        replicas=2000,
        seed=4,
    )
    opened = (cold.microstate[0, 0, :, :, 0] > 1).sum(0)
    assert abs(opened.mean() - mean) > 10 * spread / np.sqrt(2000)


def trajectories(engine, chain, seed, replicas=3000):
    protocol = smooth_pull(0.02, 0.05) if chain.drive == "end" else ramp(4e-3, 0.0)
    return small_ensemble(
        chain, [protocol], duration=1.0, stride=25, replicas=replicas, seed=seed, engine=engine
    )


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("drive", ["end", "force"])
def test_engines_give_the_same_statistics(drive):
    chain = SpringChain(
        springs=4, thermal_energy=2e-5, drive=drive, preparation=(Preparation(100, 0.01, 1.5),)
    )

    def z(a, b):
        x, y = (d.microstate[0, :, :, :, 0].astype(float) for d in (a, b))
        worst = 0.0
        for f in (lambda v: v, lambda v: v * v, lambda v: 1.0 * (v > 1), lambda v: v**3):
            p, q = f(x), f(y)
            spread = np.sqrt((p.var(-1) + q.var(-1)) / p.shape[-1])
            worst = max(worst, (np.abs(p.mean(-1) - q.mean(-1)) / spread).max())
        return worst

    torch_run = trajectories("torch", chain, 1)
    assert z(torch_run, trajectories("compiled", chain, 1)) < 4.5
    hot = replace(chain, thermal_energy=1.6 * chain.thermal_energy)
    assert z(torch_run, trajectories("compiled", hot, 1)) > 6


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize(
    "chain",
    [
        SpringChain(thermal_energy=0.0, preparation=(Preparation(50, 0.02),)),
        SpringChain(thermal_energy=0.0, preparation=(), drive="force"),
        SpringChain(
            thermal_energy=0.0, preparation=(), springs=3, spring=TwoWellSpring(1.3, 0.017, 4e-5)
        ),
        TetheredParticle(thermal_energy=0.0),
    ],
    ids=["end", "force", "offset", "trap"],
)
def test_without_noise_the_engines_agree_to_round_off(chain):
    # A pull that takes springs over the crossing, not one that stays on it.
    pull = ramp(0.011, 0.0003) if chain.drive == "force" else smooth_pull(0.05, 0.041)
    runs = [
        small_ensemble(
            chain, [pull], duration=3.0, replicas=2, seed=0, dtype=torch.float64, engine=engine
        )
        for engine in ("torch", "compiled")
    ]
    np.testing.assert_allclose(runs[0].microstate, runs[1].microstate, rtol=0, atol=1e-12)
    np.testing.assert_allclose(runs[0].stress, runs[1].stress, rtol=0, atol=1e-13)


def test_the_trap_repeated_from_its_first_microstates_follows_the_conditional_mean():
    trap = TetheredParticle()
    data = small_ensemble(
        trap,
        [smooth_pull(0.8, sine=2.0, frequency=1.0), smooth_pull(-0.5, 0.3)],
        duration=2.0,
        stride=1,
        replicas=50,
        dtype=torch.float64,
    )
    again = repeat_from_first(data, factor=40, seed=2, progress=False)
    assert again.microstate.shape == (2, 201, 1, 2000, 1)
    np.testing.assert_allclose(again.strain, data.strain, rtol=0, atol=1e-12)
    np.testing.assert_allclose(again.drive.strain_rate, data.drive.strain_rate, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        again.microstate[:, 0].reshape(2, 40, 50),
        data.microstate[:, 0, :, :, 0].repeat(40, 1),
        rtol=0,
        atol=1e-7,
    )
    for case in range(2):
        mean, variance = data.microstate[case, 0, 0].mean(), 0.0
        unconditional, worst, wrong = 0.5 * data.strain[case, 0, 0, 0], 0.0, 0.0
        for n in range(200):
            λ = data.strain[case, n, 0, 0]
            mean += 0.01 * (λ - 2 * mean)
            unconditional += 0.01 * (λ - 2 * unconditional)
            variance = variance * 0.98**2 + 2e-4
            error = again.microstate[case, n + 1, 0].mean(dtype=float) - mean
            worst = max(worst, abs(error) / np.sqrt(variance / 2000))
            error = again.microstate[case, n + 1, 0].mean(dtype=float) - unconditional
            wrong = max(wrong, abs(error) / np.sqrt(variance / 2000))
        assert worst < 4.5
        # The first microstates matter: 50 replicas have a mean of their own.
        assert wrong > 6


@pytest.mark.parametrize("drive", ["end", "force"])
def test_a_chain_starts_again_where_it_was(drive):
    chain = SpringChain(springs=3, drive=drive, preparation=(Preparation(100, 0.01),))
    protocol = smooth_pull(0.02, 0.04) if drive == "end" else ramp(1e-3)
    data = small_ensemble(
        chain, [protocol], duration=0.2, stride=5, replicas=20, dtype=torch.float64
    )
    again = repeat_from_first(data, factor=2, seed=2, progress=False)
    np.testing.assert_allclose(
        again.microstate[0, 0, :, :20], data.microstate[0, 0], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(again.drive.force[0, 0], data.drive.force[0, 0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(again.time, data.time)
    np.testing.assert_allclose(again.drive.control, data.drive.control, rtol=0, atol=1e-12)
    assert system_of(again).drive == drive
    with pytest.raises(ValueError, match="seed must differ"):
        repeat_from_first(data, seed=1)
    uneven = replace(data, time=np.array([0.0, 0.05, 0.1, 0.16, 0.2]))
    with pytest.raises(ValueError, match="evenly spaced"):
        repeat_from_first(uneven, seed=2)
    with pytest.raises(ValueError, match=r"divisor of 30 replicas; found \(1, 3, 20, 1\)"):
        small_ensemble(
            chain,
            [protocol],
            duration=0.2,
            replicas=30,
            seed=3,
            first_microstate=data.microstate[:, 0],
        )


@pytest.mark.parametrize("drive", ["end", "force"])
def test_the_effective_thermal_energy_is_the_mean_over_the_modes(drive):
    """Stiffnesses of the modes: 4k sin²(jπ/2N) with both ends held, 4k sin²((j−½)π/(2N+1))."""
    chain, dt = SpringChain(springs=7, drive=drive), 0.01
    if drive == "end":
        modes = 4 * np.sin(np.pi * np.arange(1, 7) / 14) ** 2
    else:
        modes = 4 * np.sin(np.pi * (np.arange(1, 8) - 0.5) / 15) ** 2
    expected = 5e-6 * np.mean(1 / (1 - 0.5 * dt * modes / chain.friction))
    assert chain.effective_thermal_energy(dt) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"time_step must be below 0.05"):
        SpringChain(springs=100).effective_thermal_energy(0.0501)


def test_the_force_on_the_end_is_that_of_the_last_spring_and_the_known_drag():
    pull = smooth_pull(0.05, 0.04)
    arguments = {"duration": 0.3, "replicas": 20}
    ended = small_ensemble(SpringChain(springs=4, preparation=()), [pull], **arguments)
    drag = 0.1 * ended.drive.control_rate
    assert drag[0, -1] > 1e-3
    last = ended.stress[..., -1, 0]
    np.testing.assert_allclose(ended.drive.force, last + drag, rtol=0, atol=1e-15)
    forced = small_ensemble(
        SpringChain(springs=4, preparation=(), drive="force"), [ramp(1e-3)], **arguments
    )
    assert np.array_equal(forced.drive.force, forced.drive.control)
    trap = small_ensemble(TetheredParticle(), [pull], **arguments)
    mean = trap.microstate[..., 0].mean((2, 3), dtype=float)
    np.testing.assert_allclose(
        trap.stress[..., 0, 0], trap.strain[..., 0, 0] - mean, rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("drive", ["end", "force"])
def test_the_unfolding_chain_rests_folded_and_without_stress(drive):
    chain = unfolding_chain(drive)
    rest = chain.springs * chain.reference_length if drive == "end" else 0.0
    data = small_ensemble(
        chain, [hold(rest)], duration=2.0, time_step=0.02, stride=10, replicas=400
    )
    opened = (data.microstate[0, ..., 0] > chain.spring.crossing).mean()
    share = np.exp(-chain.spring.offset / chain.thermal_energy)
    assert opened < 3 * share < 0.005
    spread = np.sqrt(chain.thermal_energy * chain.spring.stiffness)
    # Its few unfolded springs hang the others by u_h · share at fixed length.
    assert abs(data.stress.mean()) < 4.5 * spread / np.sqrt(400 * 20) + 0.3 * 3 * share
    barriers = [
        0.5 * (chain.spring.crossing - centre) ** 2 / chain.thermal_energy for centre in (0, 0.3)
    ]
    assert barriers == pytest.approx([10.0, 2.9], abs=0.05)


def test_a_chain_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="equilibrium start needs a positive thermal_energy"):
        SpringChain(thermal_energy=0.0, initial="equilibrium")
    with pytest.raises(ValueError, match="initial must be 'uniform' or 'equilibrium'"):
        SpringChain(initial="hot")
    with pytest.raises(ValueError, match="drive must be 'end' or 'force'"):
        SpringChain(drive="both")
    with pytest.raises(ValueError, match="at least 2 springs; found 1"):
        SpringChain(springs=1)
    with pytest.raises(ValueError, match="up to 128 beads; found 199"):
        small_ensemble(
            SpringChain(springs=200, preparation=()),
            [hold(2.0)],
            duration=0.01,
            replicas=2,
            seed=0,
            engine="compiled",
        )
    with pytest.raises(ValueError, match="k_BT is above the barriers"):
        sample_at_length(SPRING, torch.full((5,), 0.2 * 60), 60, 3e-2, seeded())
    with pytest.raises(ValueError, match="Pass the system itself"):
        system_of(
            replace(
                small_ensemble(TetheredParticle(), [hold(0.0)], duration=0.1, replicas=2, seed=0),
                system="somebody's",
            )
        )
