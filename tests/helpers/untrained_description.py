"""Words for the manifest of a law that means nothing."""

from dataclasses import replace
from typing import Any

from ibvonn_train.export import Description


def untrained_description(n_strain: int, n_internal: int, **changes: Any) -> Description:
    """Describe a law with random weights; ``changes`` replace single entries."""
    about = Description(
        name="untrained",
        text="A law with random weights.",
        strain_kind="averaged",
        strain=[f"strain_{i}" for i in range(n_strain)],
        strain_measure="some strain",
        stress=[f"stress_{i}" for i in range(n_strain)],
        stress_measure="some stress",
        internal=[f"alpha_{i}" for i in range(n_internal)],
        internal_meaning="nothing in particular",
        units=dict.fromkeys(("length", "force", "time", "energy", "stress"), "1"),
        strain_rate=[[-1.0, 1.0]] * n_strain,
        time_step=[1e-2, 1.0],
    )
    return replace(about, **changes)
