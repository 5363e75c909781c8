r"""What a microscopic system is: an energy, a start, and what is observed of it.

Positions have shape ``(n_case, n_degree, n_replica)``: replicas last, so that every operation runs
over contiguous memory. The control λ has shape ``(n_case, n_control)``, one number for most
systems; ``(n_case, 1)`` broadcasts over replicas. A case is a protocol while the ensemble moves,
and an instant where several are observed at once.
"""

from __future__ import annotations

import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data.element_classes import ClassSymmetry
from ...data.same_system import DESCRIPTIVE, same
from ...files.toml_tables import shown

DriveKind = Literal["strain", "end", "force"]
Scheme = Literal["euler_maruyama", "leimkuhler_matthews"]
StrainKind = Literal["controlled", "averaged"]


@dataclass(frozen=True)
class Preparation:
    """Steps at the first value of the control before time starts.

    Attributes:
        steps: Number of steps.
        time_step: Their length [time].
        noise_factor: Factor on the noise amplitude; 4 makes 16 times the temperature.
    """

    steps: int
    time_step: float
    noise_factor: float = 1.0

    def __post_init__(self) -> None:
        if not (self.steps >= 0 and self.time_step > 0 and self.noise_factor >= 0):
            raise ValueError(
                "Preparation: steps and noise_factor must not be negative and time_step must be "
                f"positive; found {self}."
            )


@dataclass(frozen=True)
class OrderParameter:
    """An ensemble mean ⟨h(x)⟩ that a physicist would have chosen as internal variable.

    Attributes:
        name: In words.
        of: h, of microstates of one component, of any shape.
    """

    name: str
    of: Callable[[npt.NDArray[np.floating[Any]]], npt.NDArray[np.floating[Any]]]

    @property
    def key(self) -> str:
        """Name among errors."""
        return self.name.replace(" ", "_")


class MicroscopicSystem(ABC):
    r"""An overdamped system with energy e(x, λ).

    :math:`\eta\,\mathrm dx = -\partial_x e(x, \lambda)\,\mathrm dt
    + \sqrt{2\eta k_BT}\,\mathrm dW`. A system of one's own gives
    :meth:`energy`, :meth:`start` and :meth:`microstate`; the force then follows by automatic
    differentiation. Attributes that every system has:

    Attributes:
        name: Name written to files.
        friction: Drag coefficient η [force · time / length], not divided by a mass.
        thermal_energy: k_BT [energy].
        strain_kind: "controlled" (the decoder describes x) or "averaged" (ε is the mean of the
            microstates and the decoder describes x − ε).
        drive: What the control is: the strain ε itself ("strain"), or the position of the end of a
            chain of springs in series ("end"), or the force on it ("force").
        degree_friction: Drag coefficient of each degree of freedom, where they differ; ``friction``
            is then a typical one.
        scheme: Integrator: "euler_maruyama", or "leimkuhler_matthews", whose wells are at k_BT
            whatever the step.
        reference_volume: Volume (area, length) of one element, that energies are per unit of.
        strain_names, stress_names: Of the components; numbered where they are empty.
        strain_measure: In words: order, factors and reference of the components.
        classes: Classes of like elements of the material point: the sites of a strain-driven
            system, in their order.
        symmetry, strain_basis: As in :class:`~ibvonn_train.data.TrajectoryEnsemble`.
        preparation: Stages that bring :meth:`start` to the state at time zero.
        units: Name of the unit of each quantity.
        sentence: What the system is, in words that go on from "ensembles of"; or None.
        microscopic_energy: e(x, ε) of one site per unit reference length, or None where it is not
            known. As a method it takes microstates ``(n_state, n_point, n_x)`` and strains
            ``(n_state, n_ε)`` and returns ``(n_state, n_point)``.
    """

    name: str
    friction: float
    thermal_energy: float
    strain_kind: StrainKind = "controlled"
    drive: DriveKind = "strain"
    degree_friction: Sequence[float] | None = None
    scheme: Scheme = "euler_maruyama"
    strain_names: Sequence[str] = ()
    stress_names: Sequence[str] = ()
    strain_measure: str = ""
    classes: Sequence[str] = ("element",)
    symmetry: Sequence[ClassSymmetry] = ()
    strain_basis: npt.NDArray[np.float64] | None = None
    preparation: Sequence[Preparation] = ()
    units: dict[str, str] = {  # noqa: RUF012 (an override replaces it whole)
        "length": "1",
        "force": "1",
        "time": "1",
        "energy": "1",
    }
    sentence: str | None = None
    microscopic_energy: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def reference_volume(self) -> float:
        """``reference_length`` among the parameters where it is there, else 1."""
        return float(self.parameters().get("reference_length", 1.0))

    @abstractmethod
    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return e(x, λ) of each replica, shape ``(n_case, n_replica)`` [energy]."""

    @abstractmethod
    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return positions before preparation, shape ``(n_case, n_degree, n_replica)``."""

    @abstractmethod
    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return dimensionless microstates, shape ``(n_case, n_site, n_sample, n_x)``.

        There are as many samples as replicas, or a whole multiple: the like elements of one replica
        (the springs of a cell), side by side.
        """

    def positions(
        self,
        microstate: Tensor,  # noqa: ARG002 (read by the systems that have the method)
        control: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Return the positions of microstates, the inverse of :meth:`microstate`: for restarts.

        Raises:
            ValueError: If the system has no such method of its own.
        """
        raise ValueError(
            f"{self.name}: a restart needs the method `positions`, the inverse of `microstate`; "
            f"{type(self).__name__} has none. Write it."
        )

    def of_imposed_strain(self) -> MicroscopicSystem:
        """Return the system of a material point that follows an imposed strain; by default itself.

        A chain whose end is moved has no imposed strain of its springs; its material point is a
        cell of the same springs.
        """
        return self

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return −∂e/∂x, shape of ``x``; by automatic differentiation unless overridden."""
        with torch.enable_grad():
            position = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(position, control).sum(), position)
        return -slope

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the mean external force, the stress of a system that is driven by the strain.

        Shape ``(n_case, n_control)``, or ``(n_case,)`` of one control: ⟨∂e/∂λ⟩ unless overridden.
        """
        with torch.enable_grad():
            λ = control.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x, λ).mean(-1).sum(), λ)
        return slope

    def site_force(self, x: Tensor, control: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return mean spring forces, shape ``(n_case, n_site)``, where there are springs."""
        return None

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor | None:
        """Return the stress of each replica, ``(n_case, n_point, n_replica, n_control)``, or None.

        Its variance is recorded. By default ∂e/∂λ of a controlled strain.
        """
        if self.strain_kind != "controlled" or self.drive != "strain":
            return None
        cases, degrees, replicas = x.shape
        # One case for each replica: the slope of the sum is that of each.
        single = x.transpose(1, 2).reshape(cases * replicas, degrees, 1)
        with torch.enable_grad():
            λ = control.detach().repeat_interleave(replicas, 0).requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(single, λ).sum(), λ)
        return slope.reshape(cases, 1, replicas, -1)

    def effective_thermal_energy(self, time_step: float) -> float:  # noqa: ARG002
        """Return the thermal energy at which the integrator samples with this step."""
        return self.thermal_energy

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        recorded: dict[str, Any] = {
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
        }
        if self.degree_friction is not None:
            recorded["degree_friction"] = [float(drag) for drag in self.degree_friction]
        return recorded

    @classmethod
    def of_record(cls, name: str, parameters: Mapping[str, Any], drive: str) -> Self:  # noqa: ARG003
        """Return the system that a file records; the inverse of :meth:`parameters`.

        Every argument of the class is taken from the parameters of its name.

        Raises:
            ValueError: If an argument is not recorded.
        """
        arguments = [
            key
            for key, parameter in inspect.signature(cls).parameters.items()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and key not in _ELSEWHERE
            and not (key in _OPTIONAL and key not in parameters)
        ]
        unknown = [key for key in arguments if key not in parameters]
        if unknown:
            raise ValueError(
                f"takes {unknown}, whose values the data do not record; they record "
                f"{sorted(parameters)}. Let its method parameters() "
                "return them, and simulate again."
            )
        return cls(**{key: parameters[key] for key in arguments})

    def require_recorded(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Raise :class:`ValueError` unless the system is the one that a file records."""
        differing = {} if self.name == name else {"name": (self.name, name)}
        differing |= {
            key: (value, parameters[key])
            for key, value in self.parameters().items()
            if key in parameters and key not in _ELSEWHERE and not same(value, parameters[key])
        }
        for key, (here, there) in differing.items():
            raise ValueError(
                f"must be the system of the data; its {key} is {shown(here)}, and "
                f"{shown(there)} in the data. Take the system and parameters of the data."
            )

    def order_parameter(self) -> OrderParameter | None:
        """Return what a physicist would have chosen as internal variable, where that is known."""
        return None


_ELSEWHERE = (*DESCRIPTIVE, "name", "drive", "units")
"""Arguments of a system that are no parameters of its file, or say nothing of what it is."""


_OPTIONAL = ("scheme", "true_lengths")
"""Arguments of which the class knows the usual value: not every manifest or file records them."""


def require_positive(place: str, **values: float) -> None:
    """Raise :class:`ValueError` naming the first value that is not positive and finite."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{place}: {name} must be positive and finite; found {value}.")


def require_thermal_energy(place: str, value: float) -> None:
    """Raise :class:`ValueError` unless ``value`` is finite and not negative; 0 is gradient flow."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(
            f"{place}: thermal_energy must not be negative and must be finite; found {value}."
        )


def require_record(system: MicroscopicSystem) -> None:
    """Refuse what could not be written to a file, before a simulation and not after it.

    Raises:
        ValueError: If a parameter is no number, text, or list or table of these.
    """
    try:
        json.dumps([system.parameters(), dict(system.units), str(system.name)], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{system.name}: parameters() and units must hold finite numbers, texts, lists and "
            f"tables only; found {shown(system.parameters())} ({error})."
        ) from None


def stationary_factor(rates: Tensor, time_step: float, place: str) -> float:
    r"""Return how much hotter than k_BT the integrator runs, averaged over its modes.

    A mode that relaxes at the rate μ/η has the stationary variance
    :math:`\frac{k_BT}{\mu} \big/ \bigl(1 - \tfrac{\Delta t\,\mu}{2\eta}\bigr)` in the scheme.

    Args:
        rates: μ/η of the modes [1 / time].
        time_step: Δt [time].
        place: Who asks, for the message.

    Raises:
        ValueError: If the scheme is unstable with this step.
    """
    defect = 1 - 0.5 * time_step * rates.double()
    if not bool((defect > 0).all()):
        raise ValueError(
            f"{place}: time_step must be below {2 / float(rates.max()):.4g} for the Euler scheme "
            f"to be stable; found {time_step:g}."
        )
    return float((1 / defect).mean())
