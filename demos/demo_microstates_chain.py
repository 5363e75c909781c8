r"""Molecules inside a phase-transforming solid: the flow at a quadrature point against chains.

This demo repeats that of the optical trap with another molecule: a spring of a chain of ten
bistable springs, whose distribution has two maxima. In a solid the surroundings of a molecule move
with it: the chain's drag is relative to the affine motion of the medium and its ends follow the
strain of the point,

$$ x_i = y_i + \frac{i}{N}\lambda(t), \qquad
   \eta\,\mathrm dy_i = (F_{i+1} - F_i)\,\mathrm dt + \sqrt{2 k_BT\eta}\,\mathrm dW_i, \qquad
   \lambda(t) = N L_0\,(1 + \varepsilon(X, t)). $$

The bar bears a growing body force and is pulled at its end. The encoder gives its initial state
from an equilibrium ensemble of chains. At every snapshot the flow $q(x\,|\,\varepsilon, \alpha)$
of one point is compared with a spring in the middle of new chains that were driven by the recorded
strain; the Kolmogorov–Smirnov distance of two such ensembles is the scale.
"""

from __future__ import annotations

from mpi4py import MPI

import demo_microstates as trap
import numpy as np
import torch
from affine_chain import AffineChain
from demo_phase_bar import SPRINGS, chain_of
from dolfinx import fem, mesh

import ibvonn_fem
from ibvonn_fem.model.microstates import encode, strain_reference
from ibvonn_fem.stepping.time_stepping import Step
from ibvonn_train import simulation
from ibvonn_train.simulation.protocols import piecewise_linear

START = 0.7  # initial strain of the springs
DURATION, SNAPSHOTS = trap.DURATION, trap.SNAPSHOTS
GROUPS = 2 * trap.PAIRS


def springs(
    model: ibvonn_fem.ExportedModel, strain: tuple[np.ndarray, np.ndarray], replicas: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Microstates of a spring in the middle of chains whose ends follow a strain.

    Returns the initial ones, shape (n, 1), and those at the snapshots, shape
    (2 * PAIRS, snapshots, replicas).
    """
    chain, time_step = chain_of(model)
    medium = AffineChain.around(chain)
    length = SPRINGS * chain.reference_length * (1.0 + strain[1])
    record = simulation.simulate(
        medium,
        [piecewise_linear(list(strain[0]), list(length))],
        duration=DURATION,
        time_step=time_step,
        replicas=GROUPS * replicas,
        seed=seed,
        stride=round(SNAPSHOTS[0] / time_step),
        progress=False,
    )
    middle = record.microstate[0, :, SPRINGS // 2, :, 0]
    groups = middle[1:].reshape(len(SNAPSHOTS), GROUPS, replicas)
    return middle[0][:, None], groups.transpose(1, 0, 2)


def run_bar(model: ibvonn_fem.ExportedModel, steps: int, replicas: int) -> trap.Recording:
    """Pull the bar, record the strain of a point and the samples of its flow."""
    zero = float(strain_reference(model)[0])
    force = model.manifest.raw["microscopic"]["parameters"]
    force = force["stiffness"] * force["crossing"]
    bar = mesh.create_unit_interval(MPI.COMM_SELF, 4)
    V = fem.functionspace(bar, ("Lagrange", 1))
    u = fem.Function(V, name="displacement")
    u.interpolate(lambda x: (START - zero) * x[0])
    pulled = fem.Constant(bar, START - zero)
    clamp, grip = (
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)), V
        )
        for value, at in ((fem.Constant(bar, 0.0), 0.0), (pulled, 1.0))
    )
    law = ibvonn_fem.InternalVariableLaw(model, ibvonn_fem.Uniaxial(), u, 0)
    still = np.array([0.0, DURATION]), np.array([START, START])
    first, _ = springs(model, still, replicas, seed=5)
    law.start_from(encode(model, first[None]).statev[0])
    weight = fem.Constant(bar, 0.0)
    problem = ibvonn_fem.InternalVariableProblem(law, u, [clamp, grip], body_force=weight)

    def set_load(t: float) -> None:
        pulled.value = START - zero + 0.4 * t * (1.0 - np.exp(-t))
        weight.value = 0.15 * force * t

    time, strain, samples, density = [], [], [], []
    random = np.random.default_rng(2)
    grid = np.linspace(-2.0, 4.0, 400)

    def record(step: Step) -> None:
        time.append(step.time)
        strain.append(law.measure[trap.POINT, 0] + zero)
        if np.isclose(step.time, SNAPSHOTS, rtol=0, atol=1e-9).any():
            draws = law.microstates(trap.POINT, trap.PAIRS * replicas, random=random)
            samples.append(draws.reshape(trap.PAIRS, replicas))
            density.append(law.density(trap.POINT, grid))

    ibvonn_fem.TimeStepping(problem, set_load).run(np.linspace(0.0, DURATION, steps + 1), record)
    return trap.Recording(
        np.array(time), np.array(strain), np.array(samples).swapaxes(0, 1), grid, np.array(density)
    )


def main() -> None:
    """Run the bar and the chains, print the distances, draw them, check the claims."""
    arguments = trap.command_line(
        __doc__, "chain_paper", replicas=1000, steps=600, short=(300, 300), allowance=0.03
    )
    torch.set_num_threads(1)

    model = ibvonn_fem.load_model(arguments.model)
    recording = run_bar(model, arguments.steps, arguments.replicas)
    history = recording.time, recording.strain
    _, ensembles = springs(model, history, arguments.replicas, arguments.seed)
    constant = recording.time, np.full_like(recording.strain, START - 0.4)
    _, wrong = springs(model, constant, arguments.replicas, arguments.seed + 1)
    comparison = trap.compare(recording, ensembles, wrong)
    trap.print_distances(comparison)
    if arguments.figure is not None:
        trap.draw(recording, ensembles, comparison, arguments.figure)
    trap.check(comparison, arguments.allowance)


if __name__ == "__main__":
    main()
