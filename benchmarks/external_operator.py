"""One Newton iteration by our quadrature Functions and by dolfinx-external-operator, same law.

Parts of an iteration on P2 tetrahedra in CPU microseconds per quadrature point, on one core, least
of repeats after a warm-up, median of rounds in which both take turns: strain (evaluation of the
operands), law (stress and tangent of every point, from the same compiled update of ``exact_sls``
by ``model.update``), residual and Jacobian. Both must give the same residual and Jacobian.

Needs DOLFINx 0.11 and ``pip install dolfinx-external-operator``. Where DOLFINx is older:

    bash setup/test_newest.sh run .venv/bin/pip install --no-deps dolfinx-external-operator
    bash setup/test_newest.sh run .venv/bin/python benchmarks/external_operator.py

Results go to ``benchmarks/results/external_operator.json``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from fe_step import DT, assembly_times, body, cpu_seconds, law_times, row
from machine import describe_machine
from records import RESULTS, ROOT, write

from ibvonn_fem import EnvelopeWarning, ExportedModel, InternalVariableLaw, load_model
from ibvonn_fem.kinematics import FullStrain

DEGREE = 2


def by_operator(model: ExportedModel, u: Any, repeats: int) -> tuple[Any, dict[str, float]]:
    """Residual and Jacobian with the law as an external operator, and the times of the parts."""
    from dolfinx_external_operator import (
        FEMExternalOperator,
        evaluate_external_operators,
        evaluate_operands,
        replace_external_operators,
    )

    space = u.function_space
    domain = space.mesh
    dx = ufl.Measure("dx", domain=domain, metadata={"quadrature_degree": DEGREE})
    element = basix.ufl.quadrature_element(domain.basix_cell().name, (6,), degree=DEGREE)

    def tangent_and_stress(strain: Any) -> Any:
        strain = np.asarray(strain).reshape(-1, 6)
        old = np.zeros_like(strain)
        statev = np.zeros((len(strain), model.manifest.internal_size))
        update = model.update(strain, old, statev, DT)
        return update.tangent.reshape(-1), update.stress.reshape(-1)

    kinematics = FullStrain()
    σ = FEMExternalOperator(
        kinematics.measure(u),
        function_space=fem.functionspace(domain, element),
        # Only the operators of the Jacobian are evaluated: one call gives the stress as well.
        external_function=lambda derivatives: tangent_and_stress,  # noqa: ARG005
    )
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    work = ufl.inner(σ, kinematics.variation(v)) * dx
    residual, _ = replace_external_operators(work)
    jacobian, operators = replace_external_operators(ufl.derivative(work, u, du))

    def update() -> None:
        operands = evaluate_operands(operators)
        ((_, stress),) = evaluate_external_operators(operators, operands)
        σ.ref_coefficient.x.array[:] = stress

    strain = cpu_seconds(lambda: evaluate_operands(operators), repeats)
    parts = {"strain": strain, "law": cpu_seconds(update, repeats) - strain}
    forms = fem.form(residual), fem.form(jacobian)
    return forms, parts | assembly_times(*forms, u, repeats)


def by_law(model: ExportedModel, u: Any, repeats: int) -> tuple[Any, dict[str, float]]:
    """Residual and Jacobian of an InternalVariableLaw, and the times of the parts."""
    law = InternalVariableLaw(model, FullStrain(), u, DEGREE)
    v, du = ufl.TestFunction(u.function_space), ufl.TrialFunction(u.function_space)
    forms = fem.form(law.virtual_work(v)), fem.form(law.stiffness(du, v))
    return forms, law_times(law, u, repeats) | assembly_times(*forms, u, repeats)


def require_equal(forms: list[Any]) -> None:
    """Assembled vectors and matrices must agree to round-off.

    Raises:
        ValueError: If they do not: then the times are not those of one law.
    """
    for what, arrays in (
        ("residual", [fem.assemble_vector(residual).array for residual, _ in forms]),
        ("Jacobian", [fem.assemble_matrix(jacobian).data for _, jacobian in forms]),
    ):
        off = np.abs(arrays[0] - arrays[1]).max() / np.abs(arrays[1]).max()
        if not off <= 1e-12:
            raise ValueError(f"the two {what}s must be equal to 1e-12; they are off by {off:.1e}.")


def main() -> None:
    """Print both rows and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=8, help="cells along an edge (default: 8)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=9, help="of both, one after the other")
    parser.add_argument("--output", type=Path, default=RESULTS / "external_operator.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", EnvelopeWarning)  # both look; one sentence would do
    model = load_model(ROOT / "exported_models/exact_sls")
    u = body(arguments.cells)
    sides = {"this project": by_law, "dolfinx-external-operator": by_operator}
    rounds = []
    for _ in range(arguments.rounds):
        timed = [make(model, u, arguments.repeats) for make in sides.values()]
        require_equal([forms for forms, _ in timed])
        rounds.append([parts for _, parts in timed])
    columns = ("points", "strain", "law", "residual", "jacobian", "total")
    sys.stdout.write(f"{'CPU µs per point, medians':<34}{columns[0]:>8}")
    sys.stdout.write("".join(f"{name:>10}" for name in columns[1:]) + f"{'law [%]':>9}\n")
    points = 4 * u.function_space.mesh.topology.index_map(3).size_local
    rows = [
        row(name, points, {part: np.median([times[i][part] for times in rounds]) for part in parts})
        for i, (name, parts) in enumerate(zip(sides, rounds[0], strict=True))
    ]
    ratio = float(np.median([sum(theirs.values()) / sum(our.values()) for our, theirs in rounds]))
    sys.stdout.write(f"an iteration by the external operator takes {ratio:.2f} times ours\n")
    record = {"machine": describe_machine(), "model": model.manifest.name, "rows": rows}
    write(arguments.output, record | {"ratio": ratio})


if __name__ == "__main__":
    main()
