"""How much of a chain's law depends on the number of its springs.

    python benchmarks/system_size.py [--springs 10 20 40] [--replicas 1000] [--json FILE]
        [--learn-on 20 --out build/system_size]

For chains of several lengths, under the paper's pulls at the same mean strains: the one friction of
the closed-form reference model, fitted to the training lengths; its errors on the test lengths,
with that friction and with the one of the shortest chain; the errors of a learned law, trained on
ten springs, and of laws trained here on other numbers of them by the recipe of configs/chain.toml
(--learn-on; twenty springs take a quarter of an hour), beside the sampling error; and how far the
force of the held chain at equilibrium, by exact convolution, is from that of a single spring under
constant force (N → ∞).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ibvonn_train.evaluation import open_law
from ibvonn_train.evaluation.closed_form_reference import ClosedFormReference, fitted_reference
from ibvonn_train.evaluation.errors import relative_error
from ibvonn_train.evaluation.law_rollouts import encoded, roll_out
from ibvonn_train.simulation import (
    Preparation,
    SpringChain,
    chain_of_paper,
    repeat_from_first,
    simulate,
)
from ibvonn_train.statistical_mechanics.boltzmann import Boltzmann
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainingConfig, train

ROOT = Path(__file__).parents[1]
SHORT = (Preparation(2000, 0.01),)
"""After exact draws; the paper's preparation of 50 000 steps would add its own end effects."""


def learn(springs, out):
    """Train on chains of so many springs as `ibvonn reproduce chain` does on ten."""
    system = SpringChain(springs=springs, initial="equilibrium", preparation=SHORT)
    data = simulate(
        system,
        chain_of_paper(springs).train,
        duration=3.0, time_step=0.01, replicas=2000, seed=300 + springs,
    )  # fmt: skip
    config = TrainingConfig.from_toml(ROOT / "configs/chain.toml")
    train(config, data, out / f"run_{springs}", resume=True, tensorboard=False)
    return open_law(out / f"run_{springs}")


def ensembles(springs, replicas):
    """Simulate every second training and test length of the paper, scaled with the chain."""
    system = SpringChain(springs=springs, initial="equilibrium", preparation=SHORT)
    split = chain_of_paper(springs)
    common = {"duration": 3.0, "time_step": 0.01, "replicas": replicas, "progress": True}
    return (
        simulate(system, split.train[::2], seed=100 + springs, **common),
        simulate(system, split.test[::2], seed=200 + springs, **common),
    )


def floor(data):
    """Return what a perfect law shows of ε and F_ex, in %: √2 less than two ensembles differ by."""
    again = repeat_from_first(data, factor=1, seed=data.seed + 1000, progress=False)
    pairs = ((data.strain, again.strain), (data.force, again.force))
    return [relative_error(*pair) / np.sqrt(2.0) for pair in pairs]


def errors(law, data):
    """Return the errors of ε and F_ex of an end-driven law, in %."""
    start = encoded(law, data)
    run = roll_out(law, data, start, drives=("end",))["end"]
    zero = law.strain_reference  # errors are relative to the strain of the data
    strain = relative_error(run.strain + zero, start.strain + zero)
    return strain, relative_error(run.force, start.force)


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
    parser.add_argument("--law", type=Path, default=ROOT / "exported_models/chain_paper")
    parser.add_argument("--learn-on", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "build/system_size")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    laws = {"learned": open_law(arguments.law)}
    laws |= {f"learned on {n}": learn(n, arguments.out) for n in arguments.learn_on}
    rows, first = [], None
    for springs in arguments.springs:
        training, test = ensembles(springs, arguments.replicas)
        friction = float(fitted_reference(training).name.split()[-2])
        first = friction if first is None else first
        references = [
            number
            for each in (friction, first, 0.5)
            for number in errors(ClosedFormReference(test, each), test)
        ]
        learned = [number for law in laws.values() for number in errors(law, test)] + floor(test)
        rows.append([springs, friction, *references, *learned, equilibrium_difference(test)])
    header = ["springs", "friction / η", "ε", "F_ex", f"ε at {first:.3g}", f"F_ex at {first:.3g}"]
    header += ["ε, no fit", "F_ex, no fit"]
    header += [f"{quantity}, {name}" for name in laws for quantity in ("ε", "F_ex")]
    header += ["sampling error of ε", "of F_ex", "equilibrium"]
    print(text_table(header, rows))
    print(
        "Errors of the closed form and of the learned laws on the test lengths are in per cent, "
        "the last column in per cent of k u_c. nan: the explicit integration of the closed form "
        "diverges."
    )
    if arguments.json:
        numbers = [[None if np.isnan(number) else number for number in row] for row in rows]
        record = {"header": header, "rows": numbers, "replicas": arguments.replicas}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
