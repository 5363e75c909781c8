"""Parameters of a law at which a gradient is taken: scales, and factors on stress.

Dependence of stress and state of one step in one direction, at given measures and states:

    stress_scale σ_s   ∂σ/∂σ_s = σ/σ_s,
    time_scale t_s     ∂(σ, α⁺)/∂t_s = −(Δt/t_s) ∂(σ, α⁺)/∂Δt,
    strain_scale ε_s   ∂(σ, α⁺)/∂ε_s = −(1/ε_s) [∂/∂ε⁺ (ε⁺ − ε₀) + ∂/∂ε_n (ε_n − ε₀)] (σ, α⁺),
    density ρ          ∂S/∂ρ = S_network/ρ,
    bulk κ             ∂S/∂κ = S_volumetric/κ.
"""

from __future__ import annotations

from typing import Any

from ..body.law import InternalVariableLaw
from ..model.scaling import Scaled

SCALES = ("stress_scale", "time_scale", "strain_scale")
MODULI = ("density", "bulk")


def parameter_value(law: InternalVariableLaw, name: str) -> float:
    """Value of a parameter of a law.

    Args:
        law: The law.
        name: One of :data:`SCALES`, of a ``Scaled`` model, or of :data:`MODULI`, of a network of
            springs (``density``) or a solid with a volumetric part (``bulk``).

    Raises:
        ValueError: If the law has no such parameter.
    """
    if name in SCALES:
        if not isinstance(law.model, Scaled):
            raise ValueError(
                f"parameter_gradient: {name} is a parameter of Scaled(model, …); the law "
                f"{law.name!r} has a model of type {type(law.model).__name__}. Make the law with "
                "Scaled(model, stress_scale=1.0, time_scale=1.0)."
            )
        return float(getattr(law.model, name))
    kinematics: Any = law.kinematics
    if name == "density":
        strain_map: Any = getattr(kinematics, "strain_map", None)
        if getattr(strain_map, "directions", None) is not None:
            return float(strain_map.density)
        kind = f"{type(kinematics).__name__}, which is no network of springs"
    elif name == "bulk":
        bulk = getattr(getattr(kinematics, "volumetric", None), "bulk", None)
        if bulk:
            return float(bulk)
        kind = f"{type(kinematics).__name__} without a volumetric part of positive modulus"
    else:
        raise ValueError(
            f"parameter_gradient: a parameter must be one of {', '.join((*SCALES, *MODULI))}; "
            f"found {name!r}."
        )
    raise ValueError(
        f"parameter_gradient: the law {law.name!r} has no parameter {name}: its kinematics is "
        f"{kind}."
    )
