"""Roll-outs of a law under what drove the data, in every mode of the drive.

A drive is asked for its modes, for what is compared in each, and for the roll-outs themselves;
whoever asks needs not know whether a strain or the end of a chain is driven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from ..data.drive_records import ChainDriven
from ..data.ensemble import TrajectoryEnsemble
from ..law.potentials import LinearisedFunction, RateFunction, RelaxationFunction
from .chain import ChainDrive, explicit_chain, implicit_chain
from .material_point import Rollout, controlled, exponential


class Path(Protocol):
    """The instants and measured strains of some protocols, such as a block of training data."""

    @property
    def time(self) -> Tensor:
        """Instants, ``(n_time,)``, or ``(n_protocol, n_time)`` where each has its own."""

    @property
    def strain(self) -> Tensor:
        """ε, shape ``(n_protocol, n_time, n_point, n_ε)``."""

    @property
    def strides(self) -> Sequence[int]:
        """Steps of the integrator in each interval."""


@dataclass(frozen=True)
class Record:
    """A path of one's own: see :class:`Path`."""

    time: Tensor
    strain: Tensor
    strides: Sequence[int] = ()


class ImplicitLaw(Protocol):
    """What steps that are stable whatever their length ask of a law: its derivatives."""

    def linearised_function(self) -> LinearisedFunction:
        """Return (ε, α) ↦ σ, α̇ and their derivatives."""

    def relaxation_function(self) -> RelaxationFunction:
        """Return (ε, α) ↦ α̇ and its derivative by α."""


class Drive(Protocol):
    """What drives the roll-outs of a law."""

    modes: ClassVar[tuple[str, ...]]
    """Names of the modes."""
    quantities: ClassVar[Mapping[str, tuple[str, ...]]]
    """Mode → what is compared with the data in it, in the order of tables."""
    strain_given: ClassVar[bool]
    """Whether the strain is imposed in every mode, and so is no result."""

    def select(self, protocols: Tensor) -> Self:
        """Return the drive of some protocols."""

    def joined(self, others: Sequence[Self]) -> Self:
        """Return the drive of the protocols of several records, one after the other."""

    def with_force(self, force: Tensor) -> Self:
        """Return the drive with another external force, ``(n_protocol, n_time)``, if it has one."""

    def external_force(self) -> Tensor | None:
        """Return the measured force on the end, ``(n_protocol, n_time)``, if there is an end."""

    def to(self, device: torch.device) -> Self:
        """Return the drive on a device."""

    def roll_out(
        self,
        rates: RateFunction,
        path: Path,
        internal: Tensor,
        *,
        modes: Sequence[str] | None = None,
        turns: Tensor | None = None,
        implicit: ImplicitLaw | None = None,
        substeps: int = 1,
    ) -> dict[str, Rollout]:
        """Roll every protocol out from its first state.

        Args:
            rates: The law.
            path: Instants and strains; a strain that is no result is followed.
            internal: First α, shape ``(n_protocol, n_point, n_α)``.
            modes: Some of the modes; by default all, in one batch.
            turns: Number of the one mode in which each protocol is rolled out, ``(n_protocol,)``;
                None for all modes. Results then have the protocols of their mode, in order.
            implicit: The law with its derivatives, for steps that are stable whatever their length;
                None for the data's own forward Euler scheme.
            substeps: Such steps in each interval.

        Returns:
            Mode → trajectories with axes ``(n_protocol, n_time, n_point, n)``.
        """

    def stable_strides(
        self, path: Path, stiffness: Callable[[], Tensor]
    ) -> tuple[int, ...] | Sequence[int]:
        """Return the forward Euler steps in each interval: those of the data, or fewer, but stable.

        Args:
            path: Instants, strains and steps of the data.
            stiffness: Gives ∂σ/∂ε, ``(n_ε, n_ε)``, where it is needed.
        """


class StrainDrive:
    """The measured strain drives, at every point."""

    modes: ClassVar[tuple[str, ...]] = ("controlled",)
    quantities: ClassVar[Mapping[str, tuple[str, ...]]] = {"controlled": ("stress", "internal")}
    strain_given: ClassVar[bool] = True

    def select(self, protocols: Tensor) -> Self:  # noqa: ARG002
        """Return itself: what drives is the strain of the path."""
        return self

    def joined(self, others: Sequence[Self]) -> Self:  # noqa: ARG002
        """Return itself."""
        return self

    def with_force(self, force: Tensor) -> Self:  # noqa: ARG002
        """Return itself: no external force drives."""
        return self

    def external_force(self) -> Tensor | None:
        """Return None: the stress is what was measured."""
        return None

    def to(self, device: torch.device) -> Self:  # noqa: ARG002
        """Return itself."""
        return self

    def roll_out(
        self,
        rates: RateFunction,
        path: Path,
        internal: Tensor,
        *,
        modes: Sequence[str] | None = None,  # noqa: ARG002 (there is one)
        turns: Tensor | None = None,  # noqa: ARG002 (there is one)
        implicit: ImplicitLaw | None = None,
        substeps: int = 1,
    ) -> dict[str, Rollout]:
        """Roll out under the measured strain."""
        if implicit is not None:
            start = path.time, path.strain, internal
            states = exponential(implicit, *start, substeps=substeps)
            stress = rates(path.strain, states)[0]
            first = stress.flatten(2)[..., 0]
            return {"controlled": Rollout(path.strain, states, stress, first)}
        run = controlled(rates, path.time, path.strain, internal, strides=path.strides)
        return {"controlled": run}

    def stable_strides(
        self,
        path: Path,
        stiffness: Callable[[], Tensor],  # noqa: ARG002 (the strain cannot run away)
    ) -> Sequence[int]:
        """Return the steps of the data."""
        return path.strides


@dataclass(frozen=True, eq=False)
class SpringsInSeries:
    """The end of a chain of springs drives: it is moved, or pulled by the recorded force.

    The external force of a moved end is that of the last spring plus a known drag of its size: the
    last spring's is compared beside it.

    Attributes:
        force: External force, ``(n_protocol, n_time)``.
        end_rate: λ̇ of the end as recorded, same shape; None where the end was pulled in the data.
        friction: η of a bead.
        reference_length: L0 of a spring.
    """

    modes: ClassVar[tuple[str, ...]] = ("end", "force")
    quantities: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "end": ("strain", "force", "last_force", "stress", "internal"),
        "force": ("strain", "stress", "internal"),
    }
    strain_given: ClassVar[bool] = False

    force: Tensor
    end_rate: Tensor | None
    friction: float
    reference_length: float

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        rate = None if self.end_rate is None else change(self.end_rate)
        return replace(self, force=change(self.force), end_rate=rate)

    def select(self, protocols: Tensor) -> Self:
        """Return the drive of some protocols."""
        return self._changed(lambda series: series[protocols])

    def joined(self, others: Sequence[Self]) -> Self:
        """Return the drive of the protocols of several records, one after the other."""
        rates = [drive.end_rate for drive in (self, *others) if drive.end_rate is not None]
        return replace(
            self,
            force=torch.cat([drive.force for drive in (self, *others)]),
            end_rate=torch.cat(rates) if len(rates) == 1 + len(others) else None,
        )

    def with_force(self, force: Tensor) -> Self:
        """Return the drive with another external force."""
        return replace(self, force=force)

    def external_force(self) -> Tensor | None:
        """Return the measured force on the end."""
        return self.force

    def to(self, device: torch.device) -> Self:
        """Return the drive on a device."""
        return self._changed(lambda series: series.to(device))

    def roll_out(
        self,
        rates: RateFunction,
        path: Path,
        internal: Tensor,
        *,
        modes: Sequence[str] | None = None,
        turns: Tensor | None = None,
        implicit: ImplicitLaw | None = None,
        substeps: int = 1,
    ) -> dict[str, Rollout]:
        """Roll chains out from their first strains, all modes in one batch."""
        names = self.modes if modes is None else tuple(modes)
        every = torch.arange(len(path.strain), device=path.strain.device)
        rows = [every if turns is None else every[turns == n] for n in range(len(names))]
        case = torch.cat(rows)
        # The velocity that the data's own scheme gave to the end; its zero need not be known.
        end = path.strain[..., 0].sum(-1) * self.reference_length
        velocity = torch.diff(end, dim=1) / torch.diff(path.time)
        last = velocity[:, -1:] if self.end_rate is None else self.end_rate[:, -1:]
        sizes = torch.tensor([len(own) for own in rows], device=end.device)
        moved = torch.tensor([mode == "end" for mode in names], device=end.device)
        drive = ChainDrive(
            moved=moved.repeat_interleave(sizes),
            end_velocity=torch.cat([velocity, last], 1)[case],
            force=self.force[case],
            friction=self.friction,
            reference_length=self.reference_length,
        )
        start = path.strain[case, 0], internal[case]
        time = path.time if path.time.ndim == 1 else path.time[case]
        if implicit is None:
            run = explicit_chain(rates, time, *start, drive, strides=path.strides)
        else:
            linearised = implicit.linearised_function()
            run = implicit_chain(linearised, time, *start, drive, substeps=substeps)
        parts = zip(*(torch.split(series, sizes.tolist()) for series in run), strict=True)
        results = {}
        for mode, own, series in zip(names, rows, parts, strict=True):
            result = Rollout(*series)
            if mode == "end" and self.end_rate is not None:
                # F = σ_N + η λ̇ with the recorded rate, as in the data.
                drag = self.friction * self.end_rate[own]
                result = result._replace(force=result.stress[:, :, -1, 0] + drag)
            results[mode] = result
        return results

    def stable_strides(
        self, path: Path, stiffness: Callable[[], Tensor]
    ) -> tuple[int, ...] | Sequence[int]:
        """Return the steps in each stored interval: those of the data, or fewer that are stable.

        The stiffest mode of a chain relaxes at the rate 4 (∂σ/∂ε)/(η L0); forward Euler follows
        the slow ones well with half of its time constant.
        """
        if max(path.strides, default=1) == 1:
            return path.strides
        rate = 4.0 * float(stiffness()[0, 0]) / (self.friction * self.reference_length)
        intervals = torch.diff(path.time).reshape(-1, len(path.strides)).amax(0)
        stable = torch.ceil(2.0 * intervals * rate).tolist()
        steps = zip(path.strides, stable, strict=True)
        return tuple(min(own, max(1, int(n))) for own, n in steps)


def drive_of(data: TrajectoryEnsemble) -> Drive:
    """Return what drives the roll-outs of a record."""
    record = data.drive
    if not isinstance(record, ChainDriven):
        return StrainDrive()
    return SpringsInSeries(
        torch.tensor(record.force),
        torch.tensor(record.control_rate) if record.kind == "end" else None,
        float(data.parameters["friction"]),
        float(data.parameters.get("reference_length", 1.0)),
    )
