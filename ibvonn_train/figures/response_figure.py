"""Response of a law to one cycle of strain at three rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..export import manifest as manifests
from ..export.runtimes.onnx_session import session
from ..files.model_directory import read_listed
from .canvas import canvas, shades

RATES = (1.0, 0.1, 0.01)
"""Strain rates over the largest of the envelope."""

MOST_STEPS = 100_000
"""Bound on the time steps of a cycle for any envelope."""

STEPS = 400
"""Time steps of a cycle; more where the longest step of the envelope requires them."""


def response(path: Path, directory: Path) -> None:
    """Draw stress and first internal variable over the first strain component of an exported model.

    The strain goes from zero to the upper end of the envelope, to the lower, and back; its other
    components stay zero. Curves are dotted where the state is outside the envelope.

    Args:
        path: PNG file.
        directory: Exported model.

    Raises:
        ValueError: If the directory is not a model, or its envelope has no rates or time steps.
    """
    manifest = manifests.read(directory)
    ranges = manifest["envelope"]
    fastest = float(np.max(np.abs(ranges["strain_rate"][0])))
    if not (fastest > 0.0 and ranges["time_step"][1] > 0.0):
        raise ValueError(
            f"{directory}: the envelope must have strain rates and time steps above zero, to draw "
            f"a cycle; found {ranges['strain_rate'][0]} and {ranges['time_step']}."
        )
    names = [manifest[key]["components"][0] for key in ("strain", "stress", "internal")]
    units = manifest["units"]
    labels = [_with_unit(names[0]), _with_unit(names[1], units["stress"]), _with_unit(names[2])]
    with canvas(path, 1, 2, size=(9.0, 3.2)) as (figure, axes):
        for ratio, colour in zip(RATES, shades(len(RATES)), strict=True):
            rate = ratio * fastest
            strain, stress, internal, inside = _cycle(directory, manifest, rate)
            for axis, values in zip(axes[0], (stress, internal), strict=True):
                axis.plot(strain, values, ":", color=colour, lw=0.8)
                supported = np.where(inside, values, np.nan)
                axis.plot(strain, supported, color=colour, lw=1.5, label=f"{rate:.3g}")
        for axis, label in zip(axes[0], labels[1:], strict=True):
            axis.set(xlabel=labels[0], ylabel=label)
        per_time = "[1/time]" if units["time"] == "1" else f"[1/{units['time']}]"
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            title=f"strain rate\n{per_time}",
            loc="outside right center",
            fontsize=8,
            title_fontsize=8,
        )
        figure.suptitle(f"{manifest['name']}: a cycle of strain at three rates", fontsize=10)


def _with_unit(quantity: str, unit: str = "1") -> str:
    """Return the label of an axis; "1" is the unit of a dimensionless quantity."""
    return f"{quantity} [–]" if unit == "1" else f"{quantity} [{unit}]"


def _cycle(
    directory: Path, manifest: dict[str, Any], rate: float
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return the first components of strain, stress and α, and whether the state is inside."""
    ranges = manifest["envelope"]
    low, high = min(0.0, ranges["strain"][0][0]), max(0.0, ranges["strain"][0][1])
    longest = ranges["time_step"][1]
    duration = 2.0 * (high - low) / rate
    steps = int(np.clip(np.ceil(duration / longest), STEPS, MOST_STEPS))
    turns = np.cumsum([0.0, high, high - low, -low])
    path = np.interp(np.linspace(0.0, turns[-1], steps + 1), turns, [0.0, high, low, 0.0])
    law = session(read_listed(directory, manifest, "constitutive.onnx"))
    n_strain, n_internal = len(ranges["strain"]), len(ranges["statev"])
    strain, statev = np.zeros((steps + 1, 1, n_strain)), np.zeros((1, n_internal))
    strain[:, 0, 0] = path
    dt = np.full((1, 1), duration / steps)
    outputs = np.full((steps + 1, 3), np.nan)
    for i in range(steps + 1):
        inputs = {
            "strain": strain[i],
            "strain_old": strain[max(i - 1, 0)],
            "statev": statev,
            "dt": dt if i else 0.0 * dt,
        }
        stress, statev, validity = law.run(["stress", "statev_new", "validity"], inputs)
        outputs[i] = stress[0, 0], statev[0, 0], validity[0, 0]
    return path, outputs[:, 0], outputs[:, 1], outputs[:, 2] == 0.0
