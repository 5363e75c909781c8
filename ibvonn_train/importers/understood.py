"""What an import has understood, in lines for a person who knows the simulation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from .frames import FloatArray
from .momenta import MomentumRelaxation

MOST_LINES = 8
"""Of the numbers of protocols that are printed."""
SURE = 4.0
"""Standard errors beyond which a difference is no chance."""
ALLOWED = 0.03
"""Relative difference of the temperature that finite steps of an integrator explain."""
ALLOWED_KINETIC = 0.1
"""The same of ⟨m v²⟩, which steps of the size of m/η falsify more."""


@dataclass
class StartStatistics:
    """Microstates at the first instants, and the slopes of the energy there.

    Attributes:
        values: Of each protocol and file, ``(n_site, n_replica, n_sample of one, n_x)``.
        slopes: ∂e/∂x of the same, of one component, where the energy is known.
    """

    values: list[FloatArray] = field(default_factory=list)
    slopes: list[FloatArray] = field(default_factory=list)

    def spread(self) -> float:
        """Return the smallest standard deviation of a component within a site."""
        if not self.values:
            return 0.0
        variance = np.mean([part.var((1, 2)).mean(0) for part in self.values], axis=0)
        return float(np.sqrt(variance.min()))

    def moments(self) -> list[tuple[float, float, float, float]]:
        """Return (mean, standard error, variance, standard error) of each component."""
        moments = []
        for component in range(self.values[0].shape[-1]):
            parts = [part[..., component] for part in self.values]
            mean = float(np.mean([part.mean() for part in parts]))
            centred = np.concatenate(
                [(part - part.mean((1, 2), keepdims=True)).reshape(part.shape[0], -1, part.shape[2])
                 for part in parts], axis=1,
            )  # fmt: skip
            of_replica = centred.mean(2)
            count = max(1, of_replica.shape[1])
            squares = np.square(centred).mean(2)
            moments.append(
                (
                    mean,
                    float(of_replica.std() / np.sqrt(count)),
                    float(squares.mean()),
                    float(squares.std() / np.sqrt(count)),
                )
            )
        return moments

    def equipartition(self) -> tuple[float, float] | None:
        """Return ⟨(x − ⟨x⟩) ∂e/∂x⟩ and its standard error [energy], None without an energy."""
        if not self.slopes or self.values[0].shape[-1] != 1:
            return None
        products = []
        for x, slope in zip(self.values, self.slopes, strict=True):
            apart = x[..., 0] - x[..., 0].mean((1, 2), keepdims=True)
            pull = slope - slope.mean((1, 2), keepdims=True)
            products.append((apart * pull).mean((0, 2)))
        every = np.concatenate(products)
        if every.size < 2:
            return None
        return float(every.mean()), float(every.std(ddof=1) / np.sqrt(every.size))


@dataclass
class Understood:
    """Facts of an import.

    Attributes:
        kinds: What the files are.
        precision: Of their numbers.
        columns: That were read of each particle.
        particles: In a file.
        windows: That each file was cut into.
        left_over: Frames at the end of a file that make no window.
        source: Where time step and time come from.
        stress: Where the stress comes from.
        resolution: Column → step of the digits over the spread.
        start: Statistics of the first instants.
        difference: Relative difference of the stress and the slope of the energy.
        momenta: What the velocities say, None without.
        values: Which numbers were taken for which file, in words; empty without.
    """

    kinds: tuple[str, ...] = ()
    precision: str = ""
    columns: tuple[str, ...] = ()
    particles: int = 0
    windows: int = 1
    left_over: int = 0
    source: str = ""
    stress: str = ""
    resolution: dict[str, float | None] = field(default_factory=dict)
    start: StartStatistics = field(default_factory=StartStatistics)
    difference: float | None = None
    momenta: MomentumRelaxation | None = None
    values: Sequence[str] = ()

    def lines(self, data: TrajectoryEnsemble, files: int) -> list[str]:
        """Return the lines.

        Args:
            data: The record that was written.
            files: Number of trajectories.
        """
        facts = [
            ("read", f"{files} {' and '.join(self.kinds)} file{'s' if files > 1 else ''} of "
             f"{self.particles} particles, columns {' '.join(self.columns)} ({self.precision})"),
            ("layout", self._layout(data)),
            *(("values", text) for text in self.values),
            ("time", f"{data.time[0]:g} to {data.time[-1]:g}, every "
             f"{np.median(np.diff(data.time)):g}; {self.source}"),
            ("strain", self._strain(data)),
            ("stress", f"{data.stress.min():.4g} to {data.stress.max():.4g}, {self.stress}"),
        ]  # fmt: skip
        if self.difference is not None:
            facts.append(
                ("", f"differs from the slope of the energy by {100 * self.difference:.2g} %")
            )
        facts += [("start", text) for text in self._moments(data)]
        facts += [("equipartition", text) for text in self._equipartition(data)]
        facts.append(("digits", self._digits()))
        if self.momenta is not None:
            facts.append(("momenta", self._momenta(data)))
        if data.not_recorded:
            text = " and ".join(name.replace("_", " ") for name in data.not_recorded)
            if "time_step" in data.not_recorded:
                text += "; audits that need the time step are not available"
            facts.append(("not recorded", text))
        return [f"{name:<14}{text}" for name, text in facts]

    def _layout(self, data: TrajectoryEnsemble) -> str:
        text = (
            f"{_counted(data.protocols, 'protocol')} x {len(data.time)} instants x "
            f"{_counted(data.sites, 'site')} x {data.replicas} replicas of "
            f"{_counted(data.elements, 'sample')}, microstates of "
            f"{_counted(data.microstate_size, 'component')}"
        )
        if self.windows > 1:
            text += f"; {self.windows} windows of each file, {self.left_over} frames left over"
        return text

    def _strain(self, data: TrajectoryEnsemble) -> str:
        ranges = ", ".join(
            f"{name} {data.strain[..., i].min():.4g} to {data.strain[..., i].max():.4g}"
            for i, name in enumerate(data.strain_names)
        )
        rate = getattr(data.drive, "strain_rate", None)
        known = data.drive.kind != "strain" or rate is not None
        return f"{ranges}, {data.strain_kind}; rate {'known' if known else 'not recorded'}"

    def _moments(self, data: TrajectoryEnsemble) -> list[str]:
        size = data.microstate_size
        return [
            f"{'x' if size == 1 else f'x{i + 1}'}: mean {mean:.4g} ({error:.1g}), variance "
            f"{variance:.4g} ({uncertain:.1g}); standard errors in brackets"
            for i, (mean, error, variance, uncertain) in enumerate(self.start.moments())
        ]

    def temperature(self, data: TrajectoryEnsemble) -> tuple[float, float] | None:
        """Return ⟨(x − ⟨x⟩) ∂e/∂x⟩/k_BT at the start and its standard error, None if unknown."""
        measured, thermal = self.start.equipartition(), data.parameters["thermal_energy"]
        if measured is None or not thermal > 0:
            return None
        return measured[0] / thermal, measured[1] / thermal

    def at_temperature(self, data: TrajectoryEnsemble) -> bool | None:
        """Return whether the start obeys equipartition, None where that is not known."""
        ratio = self.temperature(data)
        return None if ratio is None else abs(ratio[0] - 1) <= ALLOWED + SURE * ratio[1]

    def _equipartition(self, data: TrajectoryEnsemble) -> list[str]:
        ratio = self.temperature(data)
        if ratio is None:
            return ["not available: the energy of an element is not known"]
        verdict = (
            "in equilibrium"
            if self.at_temperature(data)
            else "NOT in equilibrium: check units, stiffness and temperature, or the start"
        )
        return [f"<(x - <x>) de/dx> = {ratio[0]:.4g} ({ratio[1]:.1g}) k_BT: {verdict}"]

    def _digits(self) -> str:
        parts = []
        for name, value in self.resolution.items():
            if value is None:
                parts.append(f"{name} too few values to tell")
            elif value == 0.0:
                parts.append(f"{name} finer than can be seen")
            else:
                parts.append(f"{name} steps of {value:.1g} of the spread")
        return ", ".join(parts)

    def _momenta(self, data: TrajectoryEnsemble) -> str:
        momenta: Any = self.momenta
        text = (
            f"forgotten within t = {momenta.forgotten:.3g} (velocity autocorrelation "
            f"{momenta.velocity:.2g} after one frame), when that of the microstates is still "
            f"{momenta.microstate:.3g}: taken as overdamped"
        )
        if momenta.thermal_energy is not None:
            ratio = momenta.thermal_energy / data.parameters["thermal_energy"]
            text += f"; <m v^2> = {ratio:.3g} k_BT"
            if abs(ratio - 1) > ALLOWED_KINETIC:
                text += ", NOT k_BT: check the mass, the temperature and the units"
        return text


def values_of_files(
    files: Sequence[Path], each: int, values: Mapping[str, Sequence[float]]
) -> list[str]:
    """Return which numbers of [import.values] each protocol has, in lines.

    A shell sorts ``run_10`` before ``run_2``, so that numbers would belong to other files than was
    meant.

    Args:
        files: Trajectories in their order.
        each: Number of files of one protocol.
        values: Name → one number for each protocol.
    """
    if not values:
        return []
    firsts = files[::each]
    lines = [
        f"{path.name}{' …' if each > 1 else ''}: "
        + ", ".join(f"{name} {numbers[protocol]:g}" for name, numbers in values.items())
        for protocol, path in enumerate(firsts)
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 2], "…", lines[-1]]
    counted = [[int(digits) for digits in re.findall(r"\d+", path.name)] for path in firsts]
    stems = {re.sub(r"\d+", "", path.name) for path in firsts}
    if len(stems) == 1 and counted != sorted(counted):
        lines.append("files are NOT in the order of their numbers: check that values are")
    return lines


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def joined(values: Sequence[str]) -> tuple[str, ...]:
    """Return different values in their order."""
    return tuple(dict.fromkeys(values))
