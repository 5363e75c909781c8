r"""Energy e(x, ε) of one element: its slopes are stress and force, which obey equipartition.

In equilibrium under an imposed strain :math:`\langle(x_i - \langle x_i\rangle)\,\partial e/\partial
x_i\rangle = k_BT` for every component of the microstate, whatever the energy, as long as the
density vanishes at the boundary.

References:
    Tolman (1938), *The Principles of Statistical Mechanics*, section 35.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .description import StudyDescription
from .expressions import Expression
from .frames import FloatArray


class ElementEnergy(Protocol):
    """Energy of one element.

    Attributes:
        words: What it is.
    """

    words: str

    def at(
        self, sites: FloatArray, strain: FloatArray | None, known: Mapping[str, Any], by: str
    ) -> tuple[FloatArray, FloatArray]:
        """Return energies and slopes by "strain" or "x", each ``(n, n_site, n_sample)``."""
        ...


class DescribedEnergy:
    """The expression of a description, a function of x (x1, x2, …) and strain."""

    def __init__(self, text: str) -> None:
        self._rule = Expression(text, "[import.load.energy]")
        self.words = f"the energy {text}"

    def at(
        self,
        sites: FloatArray,
        strain: FloatArray | None,  # noqa: ARG002 (among the names)
        known: Mapping[str, Any],
        by: str,
    ) -> tuple[FloatArray, FloatArray]:
        """Return energies and slopes, see :class:`ElementEnergy`."""
        shape = sites.shape[:3]
        value, slope = self._rule.value(known), self._rule.slope(known, by)
        return np.broadcast_to(value, shape), np.broadcast_to(slope, shape)


class SystemEnergy:
    """That of a system that this project knows, by automatic differentiation.

    Args:
        system: With a method ``microscopic_energy(microstate, strain)`` per reference length.
        length: The reference length.
    """

    def __init__(self, system: Any, length: float) -> None:
        self._system, self._length = system, length
        self.words = f"the energy of the system {system.name!r}"

    def at(
        self,
        sites: FloatArray,
        strain: FloatArray | None,
        known: Mapping[str, Any],  # noqa: ARG002 (an expression needs them)
        by: str,
    ) -> tuple[FloatArray, FloatArray]:
        """Return energies and slopes, see :class:`ElementEnergy`."""
        import torch  # of the description's own energies nothing needs it

        instants, count, samples, size = sites.shape
        x = torch.from_numpy(sites.reshape(-1, samples, size).astype(np.float64))
        strains = (
            sites.mean((2, 3))[..., None] if strain is None else strain[:, None].repeat(count, 1)
        )
        control = torch.from_numpy(np.ascontiguousarray(strains).reshape(-1, 1))
        control = control.expand(-1, samples).clone()
        variable = x if by == "x" else control
        variable.requires_grad_(True)
        energy = self._length * self._system.microscopic_energy(x, control)
        if energy.requires_grad:
            (slope,) = torch.autograd.grad(energy.sum(), variable)
        else:
            slope = torch.zeros_like(variable)
        shape = (instants, count, samples)
        return energy.detach().numpy().reshape(shape), slope.numpy().reshape(shape)


def energy_of(study: StudyDescription) -> ElementEnergy | None:
    """Return the energy that a description gives, or that of a known system, or None.

    Raises:
        ValueError: If the parameters are not those of a system of this name.
    """
    length = float(study.parameters.get("reference_length", 1.0))
    if study.load.energy:
        return DescribedEnergy(study.load.energy)
    if study.microstate.size != 1 or len(set(study.microstate.class_of)) > 1:
        return None
    from ..simulation.systems.registry import recorded_system  # torch takes seconds

    system = recorded_system(study.system, study.parameters, study.load.drive)
    return None if system is None else SystemEnergy(system, length)
