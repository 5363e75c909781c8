"""Measure how the law of a chain depends on the number of its springs.

    python benchmarks/system_size.py [--springs 10 20 40] [--replicas 1000] [--json FILE]
        [--learn-on 20 --out build/system_size]

Chains of several lengths are pulled by the protocols of the paper at the same mean strains. The
table lists

- the one friction of the closed-form reference model, fitted to the training ensemble;
- the errors of this model on the test ensemble, with that friction, with the one of the shortest
  chain, and without a fit;
- the errors of a law learned on ten springs, and of laws trained here on other numbers of springs
  as configs/chain.toml does (--learn-on; twenty springs take a quarter of an hour);
- the sampling error;
- the difference of the equilibrium force of a chain with held ends, by exact convolution, from that
  of a single spring under constant force (N → ∞).
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
"""Follows exact sampling; the 50 000 steps of the paper would add end effects of their own."""


def learn(springs, out):
    """Train on chains of a number of springs as `ibvonn reproduce chain` does on ten."""
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
    """Simulate every second training and test protocol of the paper, scaled with the chain."""
    system = SpringChain(springs=springs, initial="equilibrium", preparation=SHORT)
    split = chain_of_paper(springs)
    common = {"duration": 3.0, "time_step": 0.01, "replicas": replicas, "progress": True}
    return (
        simulate(system, split.train[::2], seed=100 + springs, **common),
        simulate(system, split.test[::2], seed=200 + springs, **common),
    )


def sampling_error(data):
    """Return that of ε and F_ex in %: the difference of two such ensembles over √2."""
    again = repeat_from_first(data, factor=1, seed=data.seed + 1000, progress=False)
    pairs = ((data.strain, again.strain), (data.drive.force, again.drive.force))
    return [relative_error(*pair) / np.sqrt(2.0) for pair in pairs]


def errors(law, data):
    """Return the errors of ε and F_ex of an end-driven law, in %."""
    start = encoded(law, data)
    run = roll_out(law, data, start, modes=("end",))["end"]
    zero = law.strain_reference  # errors are relative to the strain of the data
    strain = relative_error(run.strain + zero, start.strain + zero)
    return strain, relative_error(run.force, start.force)


def equilibrium_difference(data):
    """Return the largest difference of the chain's equilibrium force from N → ∞, in % of k u_c."""
    physics = physics_of(data.system, data.parameters)
    boltzmann = Boltzmann(physics, physics.energy, -3.0, 5.0)
    strain = np.linspace(0.1, 1.9, 19)
    springs = int(data.microstate.shape[2])
    exact_force, single = (boltzmann.chain_force(strain, n) for n in (springs, None))
    scale = data.parameters["stiffness"] * data.parameters["crossing"]
    return float(100 * np.abs(exact_force - single).max() / scale)


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
        row = [springs, friction]
        for value in (friction, first, 0.5):
            row += errors(ClosedFormReference(test, value), test)
        for law in laws.values():
            row += errors(law, test)
        rows.append([*row, *sampling_error(test), equilibrium_difference(test)])
    header = ["springs", "friction / η", "ε", "F_ex", f"ε at {first:.3g}", f"F_ex at {first:.3g}"]
    header += ["ε, no fit", "F_ex, no fit"]
    header += [f"{quantity}, {name}" for name in laws for quantity in ("ε", "F_ex")]
    header += ["sampling error of ε", "sampling error of F_ex", "equilibrium"]
    print(text_table(header, rows))
    print(
        "Errors on the test ensemble in %: first those of the closed-form reference model (nan: "
        "its explicit integration diverges), then those of the learned laws. Last column: "
        "difference of the equilibrium force from N → ∞, in % of k u_c."
    )
    if arguments.json:
        numbers = [[None if np.isnan(number) else number for number in row] for row in rows]
        record = {"header": header, "rows": numbers, "replicas": arguments.replicas}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
