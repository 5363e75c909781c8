"""How much of a chain's law depends on the number of its springs.

    python benchmarks/system_size.py [--springs 10 20 40] [--replicas 1000] [--json FILE]

For chains of several lengths, under the paper's pulls at the same mean strains: the one friction of
the closed-form twin, fitted to the training lengths; the twin's errors on the test lengths, with
that friction and with the one of the shortest chain; and how far the force of the held chain at
equilibrium, by exact convolution, is from that of a single spring under constant force (N → ∞).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ibvonn_train.audits.boltzmann import Boltzmann
from ibvonn_train.evaluation.errors import relative_error
from ibvonn_train.evaluation.rollouts import encoded, roll_out
from ibvonn_train.evaluation.twin import Twin, fitted_twin
from ibvonn_train.physics import physics_of
from ibvonn_train.report import text_table
from ibvonn_train.simulation import Preparation, SpringChain, chain_of_paper, simulate

SHORT = (Preparation(2000, 0.01),)
"""After exact draws; the paper's preparation of 50 000 steps would add its own end effects."""


def ensembles(springs, replicas):
    """Simulate every second training and test length of the paper, scaled with the chain."""
    system = SpringChain(springs=springs, initial="equilibrium", preparation=SHORT)
    split = chain_of_paper(springs)
    common = {"duration": 3.0, "time_step": 0.01, "replicas": replicas, "progress": True}
    return (
        simulate(system, split.train[::2], seed=100 + springs, **common),
        simulate(system, split.test[::2], seed=200 + springs, **common),
    )


def errors(friction, data):
    """Return the errors of ε and F_ex of the end-driven twin, in %."""
    twin = Twin(data, friction)
    start = encoded(twin, data)
    run = roll_out(twin, data, start, drives=("end",))["end"]
    return relative_error(run.strain, start.strain), relative_error(run.force, start.force)


def equilibrium_difference(data):
    """Return the largest difference of the held chain's force from N → ∞, over k u_c, in %."""
    physics = physics_of(data.system, data.parameters)
    boltzmann = Boltzmann(physics, physics.energy, -3.0, 5.0)
    strain = np.linspace(0.1, 1.9, 19)
    springs = int(data.microstate.shape[2])
    held, single = (boltzmann.chain_force(strain, n) for n in (springs, None))
    scale = data.parameters["stiffness"] * data.parameters["crossing"]
    return float(100 * np.abs(held - single).max() / scale)


def main():
    """Print one line for each length."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--springs", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--replicas", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, first = [], None
    for springs in arguments.springs:
        training, test = ensembles(springs, arguments.replicas)
        friction = float(fitted_twin(training).name.split()[-2])
        first = friction if first is None else first
        found = [*errors(friction, test), *errors(first, test), *errors(0.5, test)]
        rows.append([springs, friction, *found, equilibrium_difference(test)])
    header = ["springs", "friction / η", "ε", "F_ex", f"ε at {first:.3g}", f"F_ex at {first:.3g}"]
    header += ["ε, no fit", "F_ex, no fit", "equilibrium"]
    print(text_table(header, rows))
    print("errors of the twin on the test lengths in %; the last column in % of k u_c")
    if arguments.json:
        record = {"header": header, "rows": rows, "replicas": arguments.replicas}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
