"""What the exact law of two means shows on the unseen data of ``configs/two_degrees.toml``.

    python benchmarks/exact_means.py [--sets SET ...]

f is the free energy of the equilibrium in which ⟨x⟩ and ⟨y⟩ are held, by quadrature, and the
mobilities are 1/η (`ibvonn_train/studies/means_law.py`). Printed are the errors of its roll-outs,
relative L2 norms in per cent, and the value of the fluctuation-dissipation audit: whether two means
are enough, and the audit right.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from ibvonn_train.audits import Evidence
from ibvonn_train.audits.entropy_production import fluctuation_dissipation
from ibvonn_train.evaluation.errors import relative_error
from ibvonn_train.evaluation.law_rollouts import encoded, roll_out
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import build_system, run_set
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.means_law import MeansLaw
from ibvonn_train.studies.tables import text_table

TOML = Path(__file__).parents[1] / "configs" / "two_degrees.toml"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["unseen"])
    config = SimulationConfig.from_toml(TOML)
    system = build_system(config, TOML.parent)
    rows = []
    for name in parser.parse_args().sets:
        data = run_set(config, config.pick(name), folder=TOML.parent, progress=False)
        physics = physics_of(data.system, dict(data.parameters), system.microscopic_energy)
        law = MeansLaw(data, physics, system.degree_friction or [system.friction])
        measured = encoded(law, data)
        run = roll_out(law, data, measured)["controlled"]
        audit = fluctuation_dissipation(law, Evidence(data, measured))
        rows.append(
            [
                name,
                relative_error(run.stress, measured.stress),
                relative_error(run.internal, measured.internal),
                audit.value,
            ]
        )
    print(text_table(["set", "stress", "means", "fluctuation-dissipation"], rows))


if __name__ == "__main__":
    main()
