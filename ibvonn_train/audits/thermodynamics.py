"""Audits of dissipation, fluctuations and equilibrium (theory D2, D3, D4, D6)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from ..data import TrajectoryEnsemble
from ..evaluation.errors import relative_error
from ..evaluation.law import FloatArray, Law
from ..evaluation.rollouts import Trajectories, reference_strain
from . import bands
from .audit import Audit
from .free_energy import flow_energy, knows_energy

NEEDS_ENERGY = "needs a decoder and a known microscopic energy"


def entropy_production(law: Law, data: TrajectoryEnsemble, measured: Trajectories) -> Audit:
    """∫ g·α̇ dt against measured work minus the change of the decoder's free energy.

    Work and decoder know neither f nor φ; the sum runs over protocols and sites.
    """
    name, band = "entropy production", bands.ENTROPY_PRODUCTION
    if not (knows_energy(law) and law.has_decoder):
        return Audit.not_available(name, band, NEEDS_ENERGY)
    dt = np.diff(data.time)
    rates = law.rates(
        measured.strain.reshape(-1, law.strain_size),
        measured.internal.reshape(-1, law.internal_size),
    )
    power = (rates.driving_force * rates.rate).sum(-1).reshape(measured.strain.shape[:3])
    dissipated = float((power[:, :-1] * dt[:, None]).sum())
    stress = (measured.stress[:, 1:] + measured.stress[:, :-1]) / 2
    work = float((stress * np.diff(measured.strain, axis=1)).sum())
    ends = [
        flow_energy(
            law,
            measured.strain[:, at].reshape(-1, law.strain_size),
            measured.internal[:, at].reshape(-1, law.internal_size),
        ).sum()
        for at in (0, -1)
    ]
    produced = work - float(ends[1] - ends[0])
    return Audit.judge(
        name,
        100 * (dissipated / produced - 1),
        band,
        f"∫g·α̇ dt = {dissipated:.5g} against work − ΔF_flow = {produced:.5g}, difference in %",
    )


def fluctuation_dissipation(
    law: Law, data: TrajectoryEnsemble, measured: Trajectories, states: int = 200
) -> Audit:
    r"""N Var(dα)/(2 k_BT dt) = ∂²φ/∂g²: the noise of α against its mobility.

    α is a mean over N replicas, so N Var(dα) is the variance over replicas of the increments of
    one replica's feature. The noise has the nominal k_BT whatever the step.
    """
    name, band = "fluctuation-dissipation", bands.FLUCTUATION_DISSIPATION
    if not law.has_potentials or law.physics is None or law.averaged:
        return Audit.not_available(name, band, "needs φ and a controlled system")
    thermal = data.parameters["thermal_energy"] / law.physics.reference_length
    rng = np.random.default_rng(4)
    ratios = []
    for case, step in zip(
        rng.integers(len(data.control), size=states),
        rng.integers(len(data.time) - 1, size=states),
        strict=True,
    ):
        pair = data.microstate[case, step : step + 2, 0].astype(np.float64)
        _, features = law.encode(pair[:, :, None, :])
        increment = features[1] - features[0]
        # The drift differs from replica to replica; its part linear in α is no noise.
        centred = features[0] - features[0].mean(0)
        slope = np.linalg.lstsq(centred, increment - increment.mean(0), rcond=None)[0]
        noise = np.atleast_2d(np.cov((increment - centred @ slope).T))
        strain, internal = measured.strain[case, step], measured.internal[case, step]
        force = law.rates(strain, internal).driving_force
        _, mobility = law.dual_dissipation(force, strain, internal)
        expected = 2 * thermal * (data.time[step + 1] - data.time[step]) * mobility[0]
        ratios.append(np.trace(noise) / np.trace(expected))
    low, high = np.quantile(ratios, [0.05, 0.95])
    return Audit.judge(
        name,
        float(np.median(ratios)),
        band,
        f"median of N Var(dα)/(2 k_BT dt φ'') over {states} states of unseen data; 5 to 95 %: "
        f"{low:.3f} to {high:.3f}",
    )


def relaxed_energy(law: Law, strain: float) -> tuple[float, float]:
    """Return min_α f(ε, α) and the stress there, for a law of one strain component."""
    eps = np.full((1, 1), strain)
    low, high = law.envelope[law.strain_size :].T

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        rates = law.rates(eps, alpha[None])
        return float(rates.energy[0]), -rates.driving_force[0]

    found = minimize(objective, (low + high) / 2, jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.fun), float(law.rates(eps, found.x[None]).stress[0, 0])


def jarzynski(law: Law, slow: TrajectoryEnsemble) -> Audit:
    """−k_BT ln⟨exp(−W/k_BT)⟩ of slow protocols against the change of min_α f, in k_BT.

    Args:
        law: A law of a controlled system.
        slow: Protocols that start in equilibrium and dissipate no more than 2 to 3 k_BT.
    """
    name, band = "Jarzynski equality", bands.JARZYNSKI
    if not knows_energy(law) or law.averaged:
        return Audit.not_available(name, band, "needs a controlled system of known energy")
    assert law.physics is not None and law.physics.energy is not None  # noqa: S101, PT018
    thermal = law.physics.thermal_energy
    x = torch.from_numpy(slow.microstate[:, :-1, 0].astype(np.float64))
    control = torch.from_numpy(slow.control)
    before, after = control[:, :-1, None], control[:, 1:, None]
    work = (law.physics.energy(x, after) - law.physics.energy(x, before)).sum(1).numpy()
    differences, dissipated = [], []
    for case, each in enumerate(work):
        exponent = -each / thermal
        shift = exponent.max()
        estimate = -thermal * (shift + np.log(np.mean(np.exp(exponent - shift))))
        ends = [relaxed_energy(law, slow.control[case, at])[0] for at in (0, -1)]
        differences.append((ends[1] - ends[0] - estimate) / thermal)
        dissipated.append((each.mean() - estimate) / thermal)
    worst = int(np.argmax(np.abs(differences)))
    return Audit.judge(
        name,
        differences[worst],
        band,
        f"largest Δ min_α f − ΔF in k_BT over {len(work)} slow protocols that dissipate "
        f"{min(dissipated):.2g} to {max(dissipated):.2g} k_BT",
    )


def equilibrium_response(law: Law, measured: Trajectories, points: int = 25) -> Audit:
    """The relaxed stress, at which g = 0, against the Boltzmann average of one microstate.

    Only the data that come close to equilibrium say what the law is there: the strains are those
    at which some state of the data has |g| below 5 % of its root mean square.
    """
    name, band = "equilibrium response", bands.EQUILIBRIUM
    if not knows_energy(law):
        return Audit.not_available(name, band, "needs a known microscopic energy")
    assert law.physics is not None and law.physics.energy is not None  # noqa: S101, PT018
    if law.averaged:
        return Audit.not_available(name, band, "made for controlled strain")
    states = measured.strain.reshape(-1, law.strain_size)
    force = law.rates(states, measured.internal.reshape(-1, law.internal_size)).driving_force
    size = np.linalg.norm(force, axis=-1)
    near = states[size < 0.05 * np.sqrt(np.mean(size**2)), 0]
    if len(near) < points:
        return Audit.not_available(name, band, "the data do not come close to equilibrium")
    low, high = near.min(), near.max()
    strains = np.linspace(low, high, points)
    x = torch.linspace(*_span(law), 20001, dtype=torch.float64)[:, None]
    exact = []
    for value in strains:
        eps = torch.full((1, 1), float(value), dtype=torch.float64, requires_grad=True)
        energy = law.physics.energy(x, eps)
        weight = torch.softmax(-energy.detach() / law.physics.thermal_energy, -1)
        (stress,) = torch.autograd.grad((weight * energy).sum(), eps)
        exact.append(float(stress))
    relaxed = [relaxed_energy(law, float(value))[1] for value in strains]
    return Audit.judge(
        name,
        relative_error(np.array(relaxed), np.array(exact)),
        band,
        f"relative L2 error in % of the relaxed stress at {points} strains in "
        f"[{low:.3g}, {high:.3g}]",
    )


def _span(law: Law) -> tuple[float, float]:
    """Return a range of microstates that surely holds those of the envelope."""
    corners = np.stack(np.meshgrid(*law.envelope), -1).reshape(-1, len(law.envelope))
    strain, internal = corners[:, : law.strain_size], corners[:, law.strain_size :]
    noise = np.tile([[[-8.0], [8.0]]], (len(corners), 1, 1))
    x = law.sample(noise, strain, internal) + reference_strain(law)
    reach = float(x.max() - x.min())
    return float(x.min()) - reach, float(x.max()) + reach
