"""Ensembles that belong together: of one system, with one set of parameters and units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..files.toml_tables import shown
from .ensemble import TrajectoryEnsemble

DESCRIPTIVE = ("initial", "preparation")
"""Parameters that say how the first microstates were made, which the law does not depend on."""


def require_alike(ensembles: Sequence[TrajectoryEnsemble], names: Sequence[object] = ()) -> None:
    """Raise :class:`ValueError` unless all ensembles are of one system in one set of units.

    Protocols, durations, strides, replicas, seeds, numbers of protocols and how the first
    microstates were made may differ; notes in words among the parameters too.

    Args:
        ensembles: Of one training, or of a training and what judges its law.
        names: What to call them in the message, by default their numbers.
    """
    if not ensembles:
        raise ValueError("training data: must be at least one ensemble; found none.")
    names = names or [f"ensemble {number}" for number in range(len(ensembles))]
    reference = _identity(ensembles[0])
    for name, ensemble in zip(names[1:], ensembles[1:], strict=True):
        identity = _identity(ensemble)
        for key in sorted(reference.keys() | identity.keys()):
            here, there = identity.get(key), reference.get(key)
            if not same(here, there):
                raise ValueError(
                    f"{name}: must be of the same system, parameters and units as {names[0]} to "
                    f"be used with it; {key} is {shown(here)} here and {shown(there)} there. Use "
                    "what belongs together, or correct the entry that is wrong."
                )


def _identity(data: TrajectoryEnsemble) -> dict[str, Any]:
    """Return what ensembles of one law have in common."""
    shared: dict[str, Any] = {
        key: getattr(data, key)
        for key in (
            "system", "strain_kind", "time_step", "strain_names", "stress_names", "strain_measure",
            "classes", "reference_volume",
        )
    }  # fmt: skip
    if "time_step" in data.not_recorded:  # what stands in for it depends on the stored interval
        shared["time_step"] = "not recorded"
    shared["drive"] = data.drive.kind
    shared["components of a microstate"] = data.microstate_size
    shared["strain_basis"] = data.strain_basis.tolist()
    shared["symmetry"] = [(list(s.classes), s.strain.tolist()) for s in data.symmetry]
    shared |= {f"unit of {key}": unit for key, unit in data.units.items()}
    for key, value in data.parameters.items():
        if key not in DESCRIPTIVE and not isinstance(value, str):
            shared[f"parameter {key}"] = value
    return shared


def same(one: Any, other: Any) -> bool:
    """Return whether two recorded values agree, numbers to nine digits."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=0.0)
    return bool(one == other)
