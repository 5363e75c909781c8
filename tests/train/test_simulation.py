"""Langevin ensembles against exact moments of the discrete scheme, and chains against theory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble

from ibvonn_train.files.c_compiler import CompilerError
from ibvonn_train.simulation import (
    MicroscopicSystem,
    Preparation,
    SpringChain,
    TetheredParticle,
    TwoWellSpring,
    chain_of_paper,
    simulate,
)
from ibvonn_train.simulation.compiler import library
from ibvonn_train.simulation.protocols import from_function, hold, ramp, sinusoid, smooth_pull


def compiler_available():
    try:
        library()
    except CompilerError:
        return False
    return True


ENGINES = [
    "torch",
    pytest.param(
        "compiled", marks=pytest.mark.skipif(not compiler_available(), reason="no C compiler")
    ),
]
TRAP = TetheredParticle()
REPLICAS, DT = 4000, 0.01


def run_trap(engine, system=TRAP, protocol=None, seed=5):
    protocol = protocol or smooth_pull(0.8, sine=2.0, frequency=1.0)
    return small_ensemble(
        system, [protocol], duration=2.0, time_step=DT, replicas=REPLICAS, seed=seed, engine=engine
    )


def z_scores(data, shift=0):
    """Deviations of mean, variance and lag-one covariance from those of the discrete chain."""
    x = data.microstate[0, :, 0, :, 0].astype(float)
    λ = np.roll(data.strain[0, :, 0, 0], -shift)
    mean, variance = [0.0], [TRAP.thermal_energy / 2]
    for n in range(len(data.time) - 1):
        mean.append(mean[-1] + DT * (λ[n] - 2 * mean[-1]))
        variance.append(variance[-1] * (1 - 2 * DT) ** 2 + 2 * TRAP.thermal_energy * DT)
    mean, variance = np.array(mean), np.array(variance)
    increments = np.diff(x - mean[:, None], axis=0) + 2 * DT * (x - mean[:, None])[:-1]
    noise = increments.var() / (2 * TRAP.thermal_energy * DT) - 1
    every = slice(None, None, 50)  # instants about one relaxation time apart
    z_mean = ((x.mean(1) - mean) / np.sqrt(variance / REPLICAS))[every]
    z_variance = ((x.var(1) / variance - 1) / np.sqrt(2 / REPLICAS))[every]
    z_noise = noise / np.sqrt(2 / increments.size)
    return np.array([*z_mean, *z_variance, z_noise])


@pytest.mark.parametrize("engine", ENGINES)
def test_trap_moments_agree_with_the_discrete_chain_within_sampling_error(engine):
    assert np.abs(z_scores(run_trap(engine))).max() < 4.5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "perturbed",
    [
        replace(TRAP, friction=1.05),
        replace(TRAP, thermal_energy=TRAP.thermal_energy / 2),
        replace(TRAP, stiffness=1.05),
    ],
    ids=["friction 5 % off", "noise over sqrt 2", "stiffness 5 % off"],
)
def test_a_wrong_parameter_is_detected(engine, perturbed):
    assert np.abs(z_scores(run_trap(engine, perturbed))).max() > 6


@pytest.mark.parametrize("engine", ENGINES)
def test_the_control_of_the_wrong_instant_is_detected(engine):
    assert np.abs(z_scores(run_trap(engine), shift=1)).max() > 6


@pytest.mark.skipif(not compiler_available(), reason="no C compiler")
def test_without_noise_the_engines_agree_to_single_precision():
    chain = SpringChain(thermal_energy=0.0, preparation=(Preparation(50, 0.02),))
    pull = chain_of_paper().train[5]
    runs = [
        small_ensemble(
            chain,
            [pull],
            duration=3.0,
            time_step=DT,
            replicas=2,
            seed=0,
            dtype=torch.float32,
            engine=engine,
        ).microstate
        for engine in ("torch", "compiled")
    ]
    # Positions of 0.3 in single precision carry 2e-8, i.e. 2e-6 of L0, and relax it away.
    np.testing.assert_allclose(runs[0], runs[1], atol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("drive", ["end", "force"])
def test_the_momentum_balance_of_a_chain_holds_to_sampling_noise(engine, drive):
    """η d⟨x_i⟩/dt = ⟨F_{i+1}⟩ − ⟨F_i⟩ exactly per step; the rest is noise of known size."""
    chain = SpringChain(drive=drive, preparation=(Preparation(500, DT),))
    pull = smooth_pull(0.05, 0.2) if drive == "end" else ramp(0.003, 0.002)
    data = small_ensemble(
        chain,
        [pull],
        duration=1.0,
        time_step=DT,
        replicas=2000,
        seed=3,
        dtype=torch.float64,
        engine=engine,
    )
    position = np.cumsum(data.strain[0, :, :, 0] + 1, axis=1) * chain.reference_length
    force = data.stress[0, ..., 0]
    if drive == "force":
        force = np.concatenate([force, data.drive.control[0][:, None]], axis=1)
    else:
        position = position[:, :-1]
    residual = chain.friction * np.diff(position, axis=0) / DT - np.diff(force, axis=1)[:-1]
    expected = np.sqrt(2 * chain.thermal_energy * chain.friction / (DT * 2000))
    assert residual.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * residual.size))
    wrong = chain.friction * np.diff(position, axis=0) / DT - np.diff(force, axis=1)[1:]
    assert wrong.std() != pytest.approx(expected, rel=4 / np.sqrt(2 * residual.size))


@pytest.mark.parametrize("engine", [pytest.param("torch", marks=pytest.mark.slow), ENGINES[1]])
def test_one_well_fluctuates_at_the_effective_thermal_energy(engine):
    """With Δt μ/η up to 0.39 the scheme is 11 % hot; the file's effective k_BT says so."""
    chain = SpringChain(
        spring=TwoWellSpring(well_distance=10.0),  # the second well is out of reach
        preparation=(Preparation(2000, DT),),
    )
    data = small_ensemble(
        chain, [hold(0.1)], duration=2.0, time_step=DT, replicas=4000, engine=engine
    )
    u = data.microstate[0, ::20, :, :, 0].astype(float) * chain.reference_length
    # Equipartition of the chain with fixed ends: mean spring variance (1 − 1/N) k_BT/k.
    measured = u.var(axis=-1).mean() * chain.spring.stiffness / (1 - 1 / chain.springs)
    effective = data.parameters["effective_thermal_energy"]
    assert effective / chain.thermal_energy == pytest.approx(1.117, abs=0.002)
    assert measured == pytest.approx(effective, rel=0.012)
    assert measured != pytest.approx(chain.thermal_energy, rel=0.05)


class WashboardParticle(MicroscopicSystem):
    """A user's own system: only an energy, a start and a microstate."""

    name = "washboard"
    friction = 1.0
    thermal_energy = 0.1

    def energy(self, x, control):
        return torch.cos(x[:, 0]) + 0.5 * (control - x[:, 0]) ** 2

    def start(self, control, n_replica, generator):
        return control[:, None].expand(-1, 1, n_replica).clone()

    def microstate(self, x, control):
        return x[..., None]


def test_the_force_of_a_system_of_ones_own_follows_from_its_energy():
    x, λ = torch.linspace(-2, 2, 7).double().reshape(1, 1, 7), torch.tensor([[0.5]]).double()
    np.testing.assert_allclose(
        WashboardParticle().force(x, λ), torch.sin(x) + (λ - x), rtol=0, atol=1e-14
    )
    data = small_ensemble(
        WashboardParticle(), [sinusoid(1.0, 2.0)], duration=0.5, time_step=DT, replicas=50, seed=0
    )
    x_mean = data.microstate[0, :, 0, :, 0].mean(-1)
    np.testing.assert_allclose(data.stress[0, :, 0, 0], data.strain[0, :, 0, 0] - x_mean, atol=1e-6)


@pytest.mark.parametrize("system", [TRAP, SpringChain(), SpringChain(drive="force")])
def test_written_forces_are_the_slopes_of_the_energies(system):
    λ = torch.tensor([[0.15]]).double()
    x = system.start(λ, 4, torch.Generator().manual_seed(0)).double()
    x += 0.003 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    np.testing.assert_allclose(
        system.force(x, λ), MicroscopicSystem.force(system, x, λ), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_fixes_every_bit_and_another_seed_changes_the_data(engine):
    first, again, other = (run_trap(engine, seed=s).microstate for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first[0, -1, 0, :, 0], other[0, -1, 0, :, 0])[0, 1]) < 0.07


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"friction": -1.0}, "friction must be positive"),
        ({"stiffness": float("nan")}, "stiffness must be positive and finite"),
        ({"thermal_energy": -1.0}, "thermal_energy must not be negative"),
    ],
)
def test_a_system_refuses_parameters_without_meaning(wrong, words):
    with pytest.raises(ValueError, match=words):
        TetheredParticle(**wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"time_step": 0.0}, "must be positive"),
        ({"duration": 0.997}, "whole number of stored intervals"),
        ({"replicas": 1}, "at least 2 replicas"),
        ({"engine": "fortran"}, "engine must be"),
        ({"engine": "compiled", "device": "cuda"}, "on the CPU; found TetheredParticle on cuda"),
        ({"seed": -1}, "seed must lie between 0 and"),
        ({"seed": 2**63}, "seed must lie between 0 and"),
        ({"replicas": 10**12}, "microstates of shape .* needs .* of memory"),
        ({"duration": 1e12 * DT}, "every step of the protocols: needs .* of memory"),
        ({"dtype": torch.float16}, "dtype must be float32 or float64"),
        ({"first_microstate": np.zeros((1, 1, 3, 1))}, "n a divisor of 10 replicas"),
    ],
)
def test_simulate_refuses_arguments_without_meaning(wrong, words):
    arguments = {"duration": 1.0, "time_step": DT, "replicas": 10, "seed": 0, "progress": False}
    with pytest.raises(ValueError, match=words):
        simulate(TRAP, [hold(1.0)], **{**arguments, **wrong})


def test_an_unstable_time_step_is_refused_before_the_run():
    with pytest.raises(ValueError, match="time_step must be below 1 "):
        small_ensemble(TRAP, [hold(1.0)], duration=8.0, time_step=4.0, replicas=10, seed=0)


def test_a_diverging_integration_is_reported():
    """The stable steps of a system of one's own are not known beforehand."""
    with pytest.raises(FloatingPointError, match="time_step well below"):
        small_ensemble(
            WashboardParticle(), [hold(1.0)], duration=1200.0, time_step=4.0, replicas=10, seed=0
        )


def test_a_protocol_without_finite_values_is_named():
    with pytest.raises(ValueError, match=r"λ\(t\) of protocol 'root' must be one finite number"):
        small_ensemble(
            TRAP,
            [ramp(1.0), from_function("root", lambda t: np.where(t < 0.5, t, np.nan))],
            duration=1.0,
            time_step=DT,
            replicas=10,
            seed=0,
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gpu_samples_the_same_discrete_chain(dtype):
    data = small_ensemble(
        TRAP,
        [smooth_pull(0.8, sine=2.0, frequency=1.0)],
        duration=2.0,
        time_step=DT,
        replicas=REPLICAS,
        seed=5,
        dtype=dtype,
        device="cuda",
    )
    assert np.abs(z_scores(data)).max() < 4.5
