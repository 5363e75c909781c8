"""Write the mean-field law of a lattice as an exported model, its friction fitted to records.

python -m ibvonn_train.evaluation.mean_field_model DIRECTORY RECORD.h5 … [--affine]
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from ..closed_form.lattice_mean_field import AFFINE, mean_field_law, mean_field_share
from ..data.ensemble import TrajectoryEnsemble
from ..data.same_system import require_alike
from ..export.manifest import Description
from ..export.write_model import export_law
from ..simulation import PeriodicLattice, system_of
from .encoded_records import encode_record
from .errors import relative_error
from .exported_law import ExportedLaw
from .implicit_rollout import implicit
from .interface import FloatArray

logger = logging.getLogger(__name__)

FRICTIONS = (0.1, 20.0)
"""Between which the friction is sought, in units of that of the inner coordinate."""
PRECISION = 0.02
"""Of ln friction."""


FITTED = "bond_friction"
"""Name of the fitted number among the parameters of the exported model."""
UNITS = ("length", "force", "time", "energy", "stress")


class OpenBondEncoder(nn.Module):
    """α_a = Prob(z > z_c) − p₀ of the bonds of every direction, their microstate being (u − e, z).

    Args:
        crossing: z_c.
        open_fraction: p₀.
    """

    def __init__(self, crossing: float, open_fraction: float) -> None:
        super().__init__()
        self.crossing, self.open_fraction = crossing, open_fraction

    def forward(self, microstate: Tensor) -> Tensor:
        """Average over the bonds, ``(n_state, n_class, n_replica, 2)`` → ``(n_state, n_class)``."""
        inner = microstate[:, :, :, 1:]
        is_open = torch.where(inner > self.crossing, torch.ones_like(inner), 0.0)
        return torch.mean(is_open, (2, 3)) - self.open_fraction


def export_mean_field(
    directory: str | Path,
    records: Sequence[TrajectoryEnsemble],
    *,
    friction: float,
    affine: bool = False,
) -> Path:
    """Export the mean-field law of the lattice of some records.

    Args:
        directory: Where.
        records: Of one lattice; the law is made of its parameters, and its ranges of strain, rate
            and time step are those of the records.
        friction: Drag of a bond's coordinate between its wells, in units of its own.
        affine: Whether nodes move affinely, so that no bond knows of another.

    Raises:
        ValueError: If the records are not of one lattice of bonds in series with a spring.
    """
    require_alike(records)
    data, system = records[0], system_of(records[0])
    if not isinstance(system, PeriodicLattice):
        raise ValueError(
            f"export_mean_field: needs records of a periodic lattice; found {data.system!r}."
        )
    share = AFFINE if affine else mean_field_share(system)
    classes = len(system.classes)
    strain = np.concatenate(
        [record.strain.reshape(-1, len(data.strain_names)) for record in records]
    )
    strains = np.stack([strain.min(0), strain.max(0)], 1)
    law = mean_field_law(
        system,
        friction=friction,
        envelope=np.concatenate([strains, np.tile([0.0, 1.0], (classes, 1))]),
        share=share,
    )
    open_fraction = -float(law.envelope[-1, 0])
    slopes = [
        np.diff(record.strain, axis=1) / np.diff(record.time)[:, None, None] for record in records
    ]
    slope = np.concatenate([each.reshape(-1, strain.shape[1]) for each in slopes])
    steps = np.concatenate([np.diff(record.time) for record in records])
    kind = "Affine" if affine else "Mean-field"
    about = Description(
        name="lattice_affine" if affine else "lattice_mean_field",
        text=f"{kind} law of a lattice of bistable bonds in closed form: every bond feels "
        + ("nothing of the others" if affine else "the mean of the others")
        + f", Kramers kinetics. Fitted is one number, the drag between the wells of a bond: "
        f"{friction:.3g} times that of its coordinate alone.",
        strain_kind=data.strain_kind,
        strain=list(data.strain_names),
        strain_measure=data.strain_measure,
        stress=list(data.stress_names),
        stress_measure="conjugate to the strain",
        classes=list(data.classes),
        strain_basis=data.strain_basis,
        symmetry=[{"classes": s.classes, "strain": s.strain} for s in data.symmetry],
        internal=[f"open_fraction_{number}" for number in range(1, classes + 1)],
        internal_meaning=f"fraction of open bonds of each direction, minus {open_fraction:.6g}",
        units={key: str(data.units.get(key, "1")) for key in UNITS},
        strain_rate=np.stack([slope.min(0), slope.max(0)], 1).tolist(),
        time_step=[float(steps.min()), float(steps.max())],
        microscopic={
            "system": data.system,
            "thermal_energy": system.thermal_energy,
            "effective_thermal_energy": system.thermal_energy,
            "time_step": data.time_step,
            "parameters": {**data.parameters, FITTED: friction},
        },
        data_sha256={f"record {i}": record.sha256() for i, record in enumerate(records, start=1)},
    )
    encoder = OpenBondEncoder(system.crossing, open_fraction)
    return export_law(directory, law, about, encoder=encoder, microstate_size=data.microstate_size)


def fitted_friction(records: Sequence[TrajectoryEnsemble], *, affine: bool = False) -> float:
    """Return the friction whose stresses along the strains of the records are nearest to theirs.

    All rates are inversely proportional to it: the law with friction 1 is rolled out in the time
    t/friction. The sum over the records of the relative L2 errors is least.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = export_mean_field(Path(folder) / "law", records, friction=1.0, affine=affine)
        law = ExportedLaw(place)
        starts = [encode_record(law, record)[:, 0] for record in records]

        def error(log_friction: float) -> float:
            friction = float(np.exp(log_friction))
            errors = [
                _stress_error(law, record, start, friction)
                for record, start in zip(records, starts, strict=True)
            ]
            logger.info("friction %.4g: errors of the stress %s %%", friction, np.round(errors, 2))
            return sum(errors)

        minimum = minimize_scalar(
            error, bounds=np.log(FRICTIONS), method="bounded", options={"xatol": PRECISION}
        )
    return float(np.exp(minimum.x))


def _stress_error(
    law: ExportedLaw, record: TrajectoryEnsemble, start: FloatArray, friction: float
) -> float:
    strain = record.strain - law.strain_reference
    internal = implicit(law, record.time / friction, strain, start)
    rates = law.rates(strain.reshape(-1, law.strain_size), internal.reshape(-1, law.internal_size))
    return relative_error(rates.stress.reshape(record.stress.shape), record.stress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.evaluation.mean_field_model``."""
    parser = argparse.ArgumentParser(
        description="Write the mean-field law of a lattice as an exported model."
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("records", type=Path, nargs="+", help="to which the friction is fitted")
    parser.add_argument("--affine", action="store_true", help="nodes that move affinely")
    chosen = parser.parse_args(arguments)
    records = [TrajectoryEnsemble.load(path) for path in chosen.records]
    friction = fitted_friction(records, affine=chosen.affine)
    path = export_mean_field(chosen.directory, records, friction=friction, affine=chosen.affine)
    sys.stdout.write(f"friction {friction:.3f}; wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
