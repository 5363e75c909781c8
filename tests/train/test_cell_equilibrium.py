"""The relaxed stress of the exported lattice law against sampled spins; a wrong energy fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_train.audits import cell_equilibrium
from ibvonn_train.audits.audit_data import Evidence
from ibvonn_train.evaluation import open_law
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import PeriodicLattice, TetheredParticle, simulate
from ibvonn_train.simulation.protocols import ramp
from ibvonn_train.simulation.strain_paths import load_hold_unload

pytestmark = pytest.mark.export

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"
TARGETS = [[0.14, 0.0, 0.0], [0.08, 0.1, 0.05], [0.0, 0.12, -0.08]]


class Tilted:
    """A law whose open bonds have another energy."""

    def __init__(self, law: Any, energy: float) -> None:
        self._law, self._energy = law, energy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._law, name)

    def rates(self, strain: Any, internal: Any) -> Any:
        rates = self._law.rates(strain, internal)
        return rates._replace(
            energy=rates.energy + self._energy * np.asarray(internal).sum(-1),
            driving_force=rates.driving_force - self._energy,
        )


def evidence(law: Any) -> Evidence:
    data = simulate(
        PeriodicLattice(cells=6), load_hold_unload(20.0, TARGETS), duration=20.0, time_step=0.1,
        stride=10, replicas=2, record="samples", seed=1, progress=False,
    )  # fmt: skip
    return Evidence(data, encoded(law, data))


def test_the_exported_law_has_the_sampled_equilibrium_and_one_with_a_wrong_energy_has_not() -> None:
    law = open_law(MODEL)
    known = evidence(law)
    audit = cell_equilibrium.response(law, known)
    assert audit is not None
    assert audit.verdict == "pass", audit.detail
    assert law.physics is not None
    for share in (-0.5, 0.5):  # of k_BT for each bond
        wrong: Any = Tilted(law, share * law.physics.thermal_energy)
        audit = cell_equilibrium.response(wrong, known)
        assert audit is not None
        assert audit.verdict == "fail"


def test_other_systems_have_no_such_audit() -> None:
    data = simulate(
        TetheredParticle(), [ramp(1.0)], duration=0.1, time_step=0.01, replicas=4, seed=1,
        progress=False,
    )  # fmt: skip
    law = open_law(MODEL.parent / "exact_trap")
    assert cell_equilibrium.response(law, Evidence(data, encoded(law, data))) is None
