"""The weak form of a problem: virtual works of its laws and loads, and their derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ufl

from .expressions import expression_of, functions_of, in_terms_of
from .forms import compiled
from .law import InternalVariableLaw


@dataclass(frozen=True)
class WeakForm:
    """Forms of a problem, compiled; each list is to be summed.

    Attributes:
        virtual: For each law the virtual displacement of its part of u, in UFL.
        external: External virtual work as a UFL form.
        internal_forms: ∫ σ · δε(v), linear forms.
        external_forms: The loads, linear forms.
        tangent_forms: Derivative of internal minus external virtual work, bilinear forms.
        loads_follow_u: Whether the loads depend on u or on the state of a law.
        loads_follow_laws: Whether they depend on stress, tangent or energy of a law.
        across_facets: Whether the derivative of the loads couples the two cells of a facet.
    """

    virtual: list[Any]
    external: Any
    internal_forms: list[Any]
    external_forms: list[Any]
    tangent_forms: list[Any]
    loads_follow_u: bool
    loads_follow_laws: bool
    across_facets: bool


def weak_form(laws: Sequence[InternalVariableLaw], u: Any, loads: Any, body_force: Any) -> WeakForm:
    """Derive and compile the weak form of a problem.

    Args:
        laws: The laws.
        u: The unknown.
        loads: External virtual work as a UFL form, or None.
        body_force: Force per unit volume, or None.

    Raises:
        TypeError: If the body force is no expression.
        ValueError: If it does not fit u, or the loads integrate a quadrature Function of a law
            with another measure than its own.
    """
    space = u.function_space
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    virtual, trial = (_directions(laws, u, argument) for argument in (v, du))
    internal, tangent = ufl.Form([]), ufl.Form([])
    for law, δ, Δ in zip(laws, virtual, trial, strict=True):
        internal += law.virtual_work(δ)
        tangent += law.stiffness(Δ, δ)
    external = in_terms_of(u, _external_work(laws, virtual, loads, body_force))
    quadrature_functions = [[law.stress, law.tangent, law.energy] for law in laws]
    for law, functions in zip(laws, quadrature_functions, strict=True):
        law.points.check_form(external, functions)
    functions_of_laws = set(itertools.chain(*quadrature_functions))
    used = functions_of(external)
    follower = ufl.algorithms.expand_derivatives(ufl.derivative(external, u, du))
    kinds = {integral.integral_type() for integral in follower.integrals()}
    return WeakForm(
        virtual=virtual,
        external=external,
        internal_forms=compiled(internal),
        external_forms=compiled(external),
        tangent_forms=[*compiled(tangent), *compiled(-follower)],
        loads_follow_u=not {u, *functions_of_laws}.isdisjoint(used),
        loads_follow_laws=not functions_of_laws.isdisjoint(used),
        across_facets="interior_facet" in kinds,
    )


def _directions(laws: Sequence[InternalVariableLaw], u: Any, argument: Any) -> list[Any]:
    """The displacement of each law with an argument in place of u; of a mixed u it is a part."""
    displacements = (in_terms_of(u, ufl.as_ufl(law.u)) for law in laws)
    return [
        ufl.algorithms.expand_derivatives(ufl.derivative(displacement, u, argument))
        for displacement in displacements
    ]


def _external_work(
    laws: Sequence[InternalVariableLaw], virtual: Sequence[Any], loads: Any, body_force: Any
) -> Any:
    work = ufl.Form([]) if loads is None else ufl.algorithms.expand_derivatives(loads)
    if body_force is not None:
        for law, v in zip(laws, virtual, strict=True):
            mesh = law.points.mesh
            force = expression_of("body_force", body_force, v.ufl_shape, mesh)
            work += ufl.inner(force, v) * law.kinematics.weight(mesh) * law.dx
    return work
