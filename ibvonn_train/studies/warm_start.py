"""Whether the training of a law goes on from an earlier one, or begins anew.

Networks see strains, microstates and internal variables over the scales of the data that they were
first trained on, and far beyond them hardly change any more. A law whose data held no open bond
does not even know what one is: what it calls fractions are halves of one well. So a law begins anew
where strains or internal variables of the data, as the earlier law encodes them, have more than
:data:`MOST_GROWTH` times the range that they had for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.encoded_records import encode_record
from ..evaluation.exported_law import ExportedLaw

MOST_GROWTH = 2.0
"""Largest range of a variable over that of the earlier law, with which a training goes on."""


def reason_to_begin_anew(law: ExportedLaw, group: Sequence[TrajectoryEnsemble]) -> str:
    """Return why the next law begins anew, or nothing where it goes on from this one.

    Args:
        law: The earlier law.
        group: Data of the next one.
    """
    strain = [data.strain - law.strain_reference for data in group]
    internal = [encode_record(law, data) for data in group]
    envelope = law.manifest["envelope"]
    for name, series, ranges in (
        ("strain", strain, envelope["strain"]),
        ("internal variables", internal, envelope["statev"]),
    ):
        times = growth(series, np.asarray(ranges, np.float64))
        if times > MOST_GROWTH:
            return f"the {name} of the data have {times:.3g} times the range of the last law's"
    return ""


def growth(series: Sequence[npt.NDArray[np.floating]], ranges: npt.NDArray[np.float64]) -> float:
    """Return the largest width of a component in the data over that of its range.

    Args:
        series: Of each record, ``(…, n)``.
        ranges: Lower and upper end of each component, ``(n, 2)``.
    """
    width = ranges[:, 1] - ranges[:, 0]
    rows = [each.reshape(-1, len(width)) for each in series]
    spread = np.max([each.max(0) for each in rows], 0) - np.min([each.min(0) for each in rows], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0.0, spread / width, 0.0)
    return float(ratio.max(initial=0.0))
