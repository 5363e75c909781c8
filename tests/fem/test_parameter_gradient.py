"""Gradients of a scalar of a run by parameters: the adjoint against differences of whole runs."""

from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    Microcircle,
    Microsphere,
    PlaneStress,
    Scaled,
    TimeStepping,
    Uniaxial,
    UniaxialStress,
    load_model,
)
from ibvonn_fem.errors import KernelUnavailableError
from ibvonn_fem.kinematics.volumetric import QuadraticVolumetric
from ibvonn_fem.sensitivity import parameter_gradient
from ibvonn_fem.stepping import StepRecord

pytestmark = [
    pytest.mark.fem,
    pytest.mark.mpi,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.EnvelopeWarning"),
]

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"
WORLD = MPI.COMM_WORLD
TIMES = np.linspace(0.0, 1.0, 5)
PARAMETERS = {
    "stress_scale": 2.0,
    "time_scale": 0.7,
    "strain_scale": 1.3,
    "density": 1.5,
    "bulk": 0.8,
}


def uniaxial(**_):
    return Uniaxial()


def strip(*, density, bulk):
    """Plane stress of fibres: the thickness strain is an unknown of every point."""
    volumetric = QuadraticVolumetric(bulk)
    return PlaneStress(Microsphere(25, density=density, volumetric=volumetric))


def rod(*, density, bulk):
    volumetric = QuadraticVolumetric(bulk)
    return UniaxialStress(Microsphere(25, density=density, volumetric=volumetric))


def circle(*, density, bulk):
    return Microcircle(4, density=density, volumetric=QuadraticVolumetric(bulk))


def finite_circle(*, density, bulk):
    """Strains that are not linear in the displacement gradient."""
    volumetric = QuadraticVolumetric(bulk)
    return Microcircle(4, density=density, volumetric=volumetric, finite=True)


def finite_strip(*, density, bulk):
    volumetric = QuadraticVolumetric(bulk)
    return PlaneStress(Microsphere(25, density=density, volumetric=volumetric, finite=True))


def plane_law(**_):
    return FullStrain(3)


CASES = {
    "bar, convex": ("exact_trap", uniaxial, 1, ("stress_scale", "time_scale", "strain_scale")),
    "bar, learned": ("chain_paper", uniaxial, 1, ("stress_scale", "time_scale", "strain_scale")),
    "bar, populations": (
        "unfolding_chain_populations",
        uniaxial,
        1,
        ("time_scale", "strain_scale"),
    ),
    "rod of fibres": ("trap", rod, 1, tuple(PARAMETERS)),
    "plane stress": ("exact_trap", strip, 2, ("time_scale", "density", "bulk")),
    "circle": ("trap", circle, 2, tuple(PARAMETERS)),
    "finite strain": ("trap", finite_circle, 2, tuple(PARAMETERS)),
    "finite strain, plane stress": ("exact_trap", finite_strip, 2, ("time_scale", "bulk")),
    "lattice": ("lattice", plane_law, 2, ("stress_scale", "time_scale", "strain_scale")),
}


def run_of(model, kinematics, dimension, parameters, times=TIMES, loads=None, **options):
    """A body under uneven strain, pulled at one end: record, and the condition there."""
    if dimension == 1:
        body = mesh.create_interval(WORLD, 3, [0.0, 1.0])
        space = fem.functionspace(body, ("Lagrange", 1))
        pulled, held = fem.Constant(body, 0.0), fem.Constant(body, 0.0)
    else:
        body = mesh.create_unit_square(WORLD, 2, 1)
        space = fem.functionspace(body, ("Lagrange", 1, (2,)))
        pulled, held = fem.Constant(body, np.zeros(2)), fem.Constant(body, np.zeros(2))
    u = fem.Function(space)
    bcs = [
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[0], a)), space
        )
        for value, a in ((held, 0.0), (pulled, 1.0))
    ]
    values = {**PARAMETERS, **parameters}
    scaled = Scaled(model, **{name: values[name] for name in SCALES})
    made = kinematics(density=values["density"], bulk=values["bulk"])
    law = InternalVariableLaw(scaled, made, u, 1)
    force = ufl.SpatialCoordinate(body)[0] * (
        fem.Constant(body, 0.05) if dimension == 1 else fem.Constant(body, np.array([0.0, 0.05]))
    )
    problem = InternalVariableProblem(
        law,
        u,
        bcs,
        loads(u) if loads else None,
        body_force=force,
        options={"snes_rtol": 1e-13},
        **options,
    )

    def loading(time):
        if dimension == 1:
            pulled.value = 0.05 + 0.1 * np.sin(3.0 * time)
        else:
            pulled.value[:] = 0.05 + 0.1 * np.sin(3.0 * time), 0.06 * time

    record = StepRecord()
    TimeStepping(problem, loading, record=record).run(times)
    return record, bcs[1]


SCALES = ("stress_scale", "time_scale", "strain_scale")


def scalar(record, grip):
    """J, and its derivatives by reactions and displacements."""
    forces = record.reactions(grip)
    weight = np.cos(1.0 + np.arange(forces.size)).reshape(forces.shape)
    J = float(0.5 * np.sum(weight * forces**2))
    space = record.problem.u.function_space
    owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
    x = np.repeat(space.tabulate_dof_coordinates()[:, 0], space.dofmap.index_map_bs)
    moves = [0.3 * np.sin(5.0 * x) * state.u for state in record.steps]
    halves = sum(float(m[:owned] @ s.u[:owned]) for m, s in zip(moves, record.steps, strict=True))
    return J + 0.5 * WORLD.allreduce(halves), weight * forces, moves


IN_PARALLEL = ("bar, convex", "plane stress", "lattice")
"""What crosses ranks is the same in every case."""


@pytest.mark.parametrize("case", CASES if WORLD.size == 1 else IN_PARALLEL)
def test_gradient_is_that_of_differences(case):
    name, kinematics, dimension, parameters = CASES[case]
    model = load_model(EXPORTED / name, kernel="c", verify=False)
    record, grip = run_of(model, kinematics, dimension, {})
    _, by_force, by_u = scalar(record, grip)
    gradient = parameter_gradient(
        record, parameters, reactions={grip: by_force}, displacements=by_u
    )
    for parameter in parameters:
        value = PARAMETERS[parameter]

        def at(factor, parameter=parameter, value=value):
            return scalar(*run_of(model, kinematics, dimension, {parameter: factor * value}))[0]

        differences = []
        for h in (1e-3, 2e-3):
            differences.append((at(1.0 + h) - at(1.0 - h)) / (2.0 * h * value))
        expected = differences[0] + (differences[0] - differences[1]) / 3.0
        assert abs(expected) > 1e-6  # control: J depends on it
        assert gradient[parameter] == pytest.approx(expected, rel=1e-6), parameter


def test_drag_is_part_of_the_adjoint():
    """A chain of beads: what moves in a step of no length, too, and what is held in it."""
    model = load_model(EXPORTED / "exact_trap", kernel="c", verify=False)
    parameters = ("stress_scale", "time_scale", "strain_scale")

    def J(changed):
        record, grip = run_of(model, uniaxial, 1, changed, drag=0.4)
        stepping = TimeStepping(record.problem, record=record)
        stepping.run([1.0, 1.3])  # an elastic step amid the run, and one of relaxation
        return record, grip, scalar(record, grip)

    record, grip, (_, by_force, by_u) = J({})
    assert record.dt[0] == record.dt[-2] == 0.0
    free, end = bar()
    assert record.reactions(grip)[2, 0] != pytest.approx(
        float(free.reactions(end)[2, 0]), rel=1e-3
    )  # control: drag acts
    gradient = parameter_gradient(
        record, parameters, reactions={grip: by_force}, displacements=by_u
    )
    for name in parameters:
        value, differences = PARAMETERS[name], []
        for h in (1e-3, 2e-3):
            up, down = (J({name: (1.0 + s * h) * value})[2][0] for s in (1.0, -1.0))
            differences.append((up - down) / (2.0 * h * value))
        expected = differences[0] + (differences[0] - differences[1]) / 3.0
        assert gradient[name] == pytest.approx(expected, rel=1e-6), name


def test_loads_that_follow_u_are_part_of_the_adjoint():
    """Springs along the bar, which harden with u and, by a Constant, with time."""
    model = load_model(EXPORTED / "exact_trap", kernel="c", verify=False)

    def J(changed):
        stiffness = []

        def springs(u):
            stiffness.append(fem.Constant(u.function_space.mesh, 0.5))
            v = ufl.TestFunction(u.function_space)
            return -stiffness[0] * (u + 8.0 * u**3) * v * ufl.dx

        record, grip = run_of(model, uniaxial, 1, changed, loads=springs)
        stiffness[0].value = 4.0
        stepping = TimeStepping(record.problem, lambda t: None, record=record)
        stepping.run([1.0, 1.4, 1.8])
        return record, grip, scalar(record, grip), stiffness[0]

    record, grip, (_, by_force, by_u), stiffness = J({})
    stiffness.value = 9.0  # what holds now is not what held then
    gradients = parameter_gradient(record, SCALES, reactions={grip: by_force}, displacements=by_u)
    assert stiffness.value == 9.0
    for name in SCALES:
        value, differences = PARAMETERS[name], []
        for h in (1e-3, 2e-3):
            up, down = (J({name: (1.0 + s * h) * value})[2][0] for s in (1.0, -1.0))
            differences.append((up - down) / (2.0 * h * value))
        expected = differences[0] + (differences[0] - differences[1]) / 3.0
        assert gradients[name] == pytest.approx(expected, rel=1e-6), name


def two_laws(scales):
    """A bar of two materials in series; the scales of time are those of each."""
    body = mesh.create_interval(WORLD, 4, [0.0, 1.0])
    owned = body.topology.index_map(1)
    cells = np.arange(owned.size_local + owned.num_ghosts, dtype=np.int32)
    right = mesh.compute_midpoints(body, 1, cells)[:, 0] > 0.5
    tags = mesh.meshtags(body, 1, cells, np.where(right, 2, 1).astype(np.int32))
    space = fem.functionspace(body, ("Lagrange", 1))
    u, pulled = fem.Function(space), fem.Constant(body, 0.0)
    bcs = [
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[0], a)), space
        )
        for value, a in ((fem.Constant(body, 0.0), 0.0), (pulled, 1.0))
    ]
    laws = [
        InternalVariableLaw(
            Scaled(
                load_model(EXPORTED / "exact_trap", kernel="c", verify=False),
                stress_scale=1.0 + number,
                time_scale=scale,
            ),
            Uniaxial(),
            u,
            0,
            subdomain=(tags, number + 1),
            name=f"law {number + 1}",
        )
        for number, scale in enumerate(scales)
    ]
    problem = InternalVariableProblem(laws, u, bcs, options={"snes_rtol": 1e-13})
    record = StepRecord()

    def loading(time):
        pulled.value = 0.1 + 0.1 * time

    TimeStepping(problem, loading, record=record).run(TIMES)
    return record, bcs[1], laws


def test_a_problem_of_several_laws_has_a_gradient_for_each():
    record, grip, laws = two_laws((0.5, 2.0))
    forces = record.reactions(grip)
    with pytest.raises(ValueError, match="the problem has 2 laws; say which with law="):
        parameter_gradient(record, ["time_scale"], reactions={grip: forces})
    gradients = [
        parameter_gradient(record, ["time_scale"], reactions={grip: forces}, law=law)["time_scale"]
        for law in laws
    ]
    h = 1e-4
    for number, scale in enumerate((0.5, 2.0)):
        J = []
        for sign in (1.0, -1.0):
            scales = [0.5, 2.0]
            scales[number] = scale * (1.0 + sign * h)
            other, end, _ = two_laws(scales)
            J.append(0.5 * float(np.sum(other.reactions(end) ** 2)))
        assert gradients[number] == pytest.approx((J[0] - J[1]) / (2.0 * h * scale), rel=1e-6)
    # Control: they are of different laws.
    assert abs(gradients[0] - gradients[1]) > 0.01 * abs(gradients[0])


def bar(times=TIMES, **options):
    model = load_model(EXPORTED / "exact_trap", kernel="c", verify=False)
    return run_of(model, uniaxial, 1, {}, times, **options)


def test_nothing_of_the_problem_changes():
    record, grip = bar()
    problem = record.problem
    law = problem.laws[0]
    before = [f.x.array.copy() for f in (problem.u, law.stress, law.tangent)]
    parameter_gradient(record, "time_scale", reactions={grip: np.ones(len(record.steps))})
    for function, values in zip((problem.u, law.stress, law.tangent), before, strict=True):
        np.testing.assert_array_equal(function.x.array, values)
    record.begin(problem, 1.0, 1)  # the state is that of the last step


def test_wrong_arguments_are_refused():
    record, grip = bar()
    ones = np.ones(len(record.steps))
    for arguments, words in (
        ({"parameters": ["young"]}, "must be one of stress_scale, .*; found 'young'"),
        ({"parameters": ["density"]}, "no parameter density: its kinematics is Uniaxial"),
        ({"parameters": ["bulk"]}, "no parameter bulk: its kinematics is Uniaxial"),
        ({"reactions": {grip: ones[1:]}}, r"shape \(5, 1\), \(steps, components\); found"),
        ({"reactions": {object(): ones}}, "found one that is not among its bcs"),
        ({"displacements": [np.zeros(2)]}, "one for each step and dof; found 1 of"),
        ({"law": "steel"}, "none of the problem's"),
    ):
        call = {"parameters": ["time_scale"], "reactions": {grip: ones}, **arguments}
        if call.get("law") == "steel":
            call["law"] = bar()[0].problem.laws[0]
        with pytest.raises(ValueError, match=words):
            parameter_gradient(record, call.pop("parameters"), **call)
    with pytest.raises(ValueError, match="the record must hold a run; it has no step"):
        parameter_gradient(StepRecord(), ["time_scale"])


def test_what_the_adjoint_does_not_have_is_refused():
    record, _ = bar()
    law, u = record.problem.laws[0], record.problem.u
    own = 0.1 * law.stress * ufl.TestFunction(u.function_space) * law.dx
    other = StepRecord()
    problem = InternalVariableProblem(law, u, record.problem.bcs, own)
    TimeStepping(problem, record=other).run([1.0, 1.1])
    with pytest.raises(ValueError, match="must not depend on stress, tangent or energy of a law"):
        parameter_gradient(other, ["time_scale"])
    record.problem.bcs = list(reversed(record.problem.bcs))
    with pytest.raises(ValueError, match="conditions must be the same in all steps"):
        parameter_gradient(record, ["time_scale"])


def test_a_law_without_derivatives_or_scales_is_refused(zener):
    body = mesh.create_interval(WORLD, 3, [0.0, 1.0])
    u = fem.Function(fem.functionspace(body, ("Lagrange", 1)))
    ends = fem.locate_dofs_geometrical(u.function_space, lambda x: np.isclose(x[0], 0.0))
    bcs = [fem.dirichletbc(0.0, ends, u.function_space)]
    exact = load_model(EXPORTED / "exact_trap", kernel="c", verify=False)
    for model, error, words in (
        (zener(), KernelUnavailableError, "need the C kernel"),
        (exact, ValueError, r"time_scale is a parameter of Scaled\(model"),
    ):
        record = StepRecord()
        problem = InternalVariableProblem(InternalVariableLaw(model, Uniaxial(), u, 0), u, bcs)
        TimeStepping(problem, record=record).run(TIMES[:2])
        with pytest.raises(error, match=words):
            parameter_gradient(record, ["time_scale"])


def test_a_record_goes_on_where_it_ended_alone():
    record, _ = bar()
    problem = record.problem
    stepping = TimeStepping(problem, record=record)
    stepping.run([1.0, 1.5], elastic=False)
    assert record.time[-2:] == [1.0, 1.5]
    assert record.dt[0] == 0.0  # the elastic step
    problem.u.x.array[:] *= 0.5
    for law in problem.laws:
        law.update(0.1)
        law.commit()
    with pytest.raises(ValueError, match="must begin where the last one in the record ended"):
        stepping.run([1.5, 2.0], elastic=False)
