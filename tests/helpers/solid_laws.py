"""Laws with one strain for tests of solids: linear, smooth, with two wells; points of a solid.

Every law is an ordinary model without a directory, so that solids are tested without files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from law_reference import random_parameters, zener_parameters

from ibvonn_fem import ExportedModel
from ibvonn_fem.kernels import LocalUpdate, Rates
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kinematics.evaluation import Evaluation
from ibvonn_fem.model.manifest import Envelope, InitialState, Manifest


def manifest_of(kernel: Any, name: str, *, stress: float = 0.0, strain: float = 0.0) -> Manifest:
    """Description of a law with a wide envelope."""
    strains, internals = kernel.strain_size, kernel.internal_size
    box = np.array([[-10.0, 10.0]])
    return Manifest(
        directory=Path(name),
        name=name,
        description="for tests",
        family="graph",
        strain_components=tuple(f"strain_{i}" for i in range(strains)),
        stress_components=tuple(f"stress_{i}" for i in range(strains)),
        internal_components=tuple(f"alpha_{i}" for i in range(internals)),
        internal_scale=np.ones(internals),
        units=dict.fromkeys(("length", "force", "time", "energy", "stress"), "1"),
        initial_state=InitialState(
            np.full(strains, strain), np.zeros(internals), np.full(strains, stress), 0.0
        ),
        envelope=Envelope(
            strain=np.tile(box, (strains, 1)),
            statev=np.tile(box, (internals, 1)),
            strain_rate=np.tile([[-1e6, 1e6]], (strains, 1)),
            time_step=np.array([0.0, 1e6]),
        ),
        residual_tolerance=1e-10,
        reference_tolerance=1e-10,
        sha256={},
        raw={},
    )


def linear_law() -> ExportedModel:
    """The trap: moduli 1 at once and 1/2 in the end, relaxation time 1/2."""
    p = zener_parameters()
    p["envelope"] = np.array([[-10.0, 10.0], [-10.0, 10.0]])
    kernel = CLibraryKernel(p)
    return ExportedModel(manifest_of(kernel, "linear"), kernel)


def smooth_law(internal_size: int = 1, *, scale: float = 10.0, seed: int = 3) -> ExportedModel:
    """An untrained convex law with a curved stress; its initial stress is that of its start.

    Args:
        internal_size: n_α.
        scale: Strain 1/scale of the solid is strain 1 of the networks, so that they bend.
        seed: Of the weights.
    """
    p = random_parameters(1, internal_size, seed=seed, width=8, ridge_count=3)
    p["envelope"] = np.tile([-10.0, 10.0], (1 + internal_size, 1))
    for name in [key for key in p if key.startswith("energy_skip")]:
        p[name] = p[name].copy()
        p[name][:, 0] *= scale
    p["energy_output"] = p["energy_output"] / scale**2
    p["energy_linear"] = p["energy_linear"] / scale
    p["context_weight_1"] = p["context_weight_1"].copy()
    p["context_weight_1"][:, 0] *= scale
    kernel = CLibraryKernel(p)
    start = kernel.rates(np.zeros((1, 1)), np.zeros((1, internal_size)))
    p["energy_constant"] = p["energy_constant"] - start.energy[0]
    # The driving force vanishes at the start: α = 0 is in equilibrium.
    p["energy_linear"] = p["energy_linear"] + np.concatenate([[0.0], start.driving_force[0]])
    return ExportedModel(
        manifest_of(kernel, "smooth", stress=float(start.stress[0, 0])), CLibraryKernel(p)
    )


class TwoWells:
    """Springs that unfold, in closed form: p is the open fraction less that of the start.

    f = ½ (ε − h p)² + D p + θ [p ln p + (1 − p) ln(1 − p)] − ½ J (p − ½)² up to a constant, with
    the stress exact for any p, and φ = 4 θ κ [cosh(g/2θ) − 1], κ = rate √(p (1 − p)) at the start
    of the step.

    Args:
        theta: θ, thermal energy.
        jump: h, elongation of an open spring.
        offset: D, energy of an open spring.
        rate: Attempts per time.
        cooperation: J, gain of open springs in company; above 4 θ the relaxed modulus is negative
            around p = ½.
    """

    codename = "closed form"
    strain_size = 1
    internal_size = 1

    def __init__(
        self,
        theta: float = 0.0019,
        jump: float = 0.3,
        offset: float = 0.0135,
        rate: float = 1.0,
        cooperation: float = 0.0,
    ) -> None:
        self.theta, self.jump, self.offset, self.rate = theta, jump, offset, rate
        self.cooperation = cooperation
        # Equilibrium at ε = 0: h (ε − h p) = D + θ ln(p/(1 − p)) − J (p − ½).
        y = -offset / theta
        for _ in range(50):
            p = _sigmoid(y)
            residual = jump**2 * p + offset + theta * y - cooperation * (p - 0.5)
            y -= residual / ((jump**2 - cooperation) * p * (1.0 - p) + theta)
        self.start = float(_sigmoid(y))
        self.start_stress = -jump * self.start
        self.constant = self._energy(np.zeros(1), np.array([y]))[0]

    def model(self) -> ExportedModel:
        """This kernel with its description."""
        return ExportedModel(manifest_of(self, "two wells", stress=self.start_stress), self)

    def _energy(self, ε: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Free energy at the logit y of p."""
        p = _sigmoid(y)
        entropy = -p * np.logaddexp(0.0, -y) - (1.0 - p) * np.logaddexp(0.0, y)
        company = -0.5 * self.cooperation * (p - 0.5) ** 2
        return 0.5 * (ε - self.jump * p) ** 2 + self.offset * p + self.theta * entropy + company

    def update(self, strain, strain_old, statev, dt, *, guess=None, out=None):
        """Backward Euler by safeguarded Newton in the logit of p, where the residual falls."""
        n = len(strain)
        out = LocalUpdate.empty(n, 1, 1) if out is None else out
        θ, h, J, ε = self.theta, self.jump, self.cooperation, strain[:, 0]
        old = np.clip(statev[:, 0] + self.start, 1e-14, 1.0 - 1e-14)
        κ = np.asarray(dt) * self.rate * np.sqrt(old * (1.0 - old)) + np.zeros(n)
        y = np.log(old / (1.0 - old))
        low, high = np.full(n, -60.0), np.full(n, 60.0)

        def force(y):
            p = _sigmoid(y)
            return h * (ε - h * p) - self.offset - θ * y + J * (p - 0.5)

        def asinh_residual(y):
            """(g − 2θ asinh((p − p_n)/2κ)): the same root, and nearly linear."""
            with np.errstate(divide="ignore", invalid="ignore"):
                return force(y) - 2.0 * θ * np.arcsinh((_sigmoid(y) - old) / (2.0 * κ))

        moving = κ > 0.0
        for _ in range(200):
            r = asinh_residual(y)
            low, high = np.where(r > 0.0, y, low), np.where(r < 0.0, y, high)
            p = _sigmoid(y)
            with np.errstate(divide="ignore", invalid="ignore"):
                v = (p - old) / (2.0 * κ)
                slope = (h**2 - J) * p * (1 - p) + θ + θ * p * (1 - p) / (κ * np.sqrt(1.0 + v**2))
                new = y + r / slope
            new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
            new = np.where(moving, new, y)
            done = np.abs(new - y).max(initial=0.0) <= 1e-14 * 60.0
            y = new
            if done:
                break
        p, g = _sigmoid(y), force(y)
        p = np.where(moving, p, old)
        stiff = κ * np.cosh(g / (2.0 * θ)) / θ  # Δt φ''
        spread = np.where(moving, _sigmoid(y) * _sigmoid(-y), old * (1.0 - old))  # p (1 − p)
        curvature = h**2 - J + θ / spread  # f_pp
        out.stress[:, 0] = ε - h * p
        out.statev_new[:, 0] = p - self.start
        out.tangent[:, 0, 0] = 1.0 - h**2 * stiff / (1.0 + stiff * curvature)
        out.energy[...] = self._energy(ε, y) - self.constant
        out.dissipation[...] = g * (p - old)
        out.residual[...] = np.where(np.isfinite(ε), 0.0, np.nan)
        out.validity[...] = 0.0
        return out

    def rates(self, strain, statev):
        """The law in continuous time: α̇ = 2 κ sinh(g/2θ)."""
        θ, ε = self.theta, strain[:, 0]
        p = np.clip(statev[:, 0] + self.start, 1e-14, 1.0 - 1e-14)
        y = np.log(p / (1.0 - p))
        g = self.jump * (ε - self.jump * p) - self.offset - θ * y + self.cooperation * (p - 0.5)
        rate = 2.0 * self.rate * np.sqrt(p * (1.0 - p)) * np.sinh(g / (2.0 * θ))
        stress = ε - self.jump * p
        energy = self._energy(ε, y) - self.constant
        return Rates(energy, stress[:, None], g[:, None], rate[:, None])


def _sigmoid(y):
    return np.exp(-np.logaddexp(0.0, -y))


class Point:
    """One or more points of a solid that are stepped through time.

    Attributes:
        measure: Committed measure, shape (n, size).
        statev: Committed internal variables, shape (n * direction_count, n_α).
    """

    def __init__(self, model: ExportedModel, kinematics: Any, n: int = 1) -> None:
        self.model, self.kinematics = model, kinematics
        size = kinematics.shape[0]
        self.evaluation = Evaluation(model, kinematics, size, n)
        self.measure = np.zeros((n, size))
        self.statev = np.zeros((n * kinematics.direction_count, model.internal_size))

    def respond(self, measure, dt):
        """Stress, tangent (n, size, size), energy, dissipation and state after a step; copies."""
        e = np.array(measure, dtype=float).reshape(self.measure.shape)
        e[:, list(self.kinematics.condensed)] += self.measure[:, list(self.kinematics.condensed)]
        response = self.evaluation(e, self.measure, self.statev, dt)
        assert (response.law.residual <= 1e-10).all()
        size = e.shape[1]
        return Answer(
            e,
            response.stress.copy(),
            response.tangent.reshape(-1, size, size).copy(),
            response.energy.copy(),
            response.dissipation.copy(),
            response.law.statev_new.copy(),
        )

    def step(self, measure, dt):
        """Take a step and commit it."""
        answer = self.respond(measure, dt)
        self.measure, self.statev = answer.measure, answer.statev
        return answer


class Answer:
    """What a point says; see :meth:`Point.respond`."""

    def __init__(self, measure, stress, tangent, energy, dissipation, statev):
        self.measure, self.stress, self.tangent = measure, stress, tangent
        self.energy, self.dissipation, self.statev = energy, dissipation, statev
