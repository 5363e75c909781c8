"""Boundary value problems of an isotropic solid with closed forms.

The microsphere of a linear law with one strain is isotropic with λ = μ, and its time part
separates: under a held load the displacement is the elastic one times the creep function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mpi4py import MPI

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, Microsphere
from ibvonn_fem.kinematics import Kinematics


@dataclass
class Body:
    """A problem with the exact elastic displacement of its load.

    Attributes:
        law: At the quadrature points.
        problem: With its conditions and loads.
        exact: Elastic displacement in UFL.
        exact_stress: Elastic stress in Mandel components of the setting, in UFL, or None.
        wall: Prescribed displacement that follows the exact one, if there is one.
    """

    law: InternalVariableLaw
    problem: InternalVariableProblem
    exact: Any
    exact_stress: Any
    wall: Any = None

    def __post_init__(self) -> None:
        self._wall = None if self.wall is None else self.wall.x.array.copy()

    def set_wall(self, factor: float) -> None:
        """Prescribe ``factor`` times the exact elastic displacement."""
        if self.wall is not None:
            self.wall.x.array[:] = factor * self._wall

    @property
    def u(self) -> Any:
        """Displacement."""
        return self.problem.u

    def displacement_error(self, factor: float = 1.0) -> float:
        """‖u − factor u_exact‖ / ‖factor u_exact‖ in L2."""
        dx = ufl.dx(domain=self.u.function_space.mesh, metadata={"quadrature_degree": 8})
        exact = factor * self.exact
        return _relative(self.u - exact, exact, dx)

    def stress_error(self, factor: float = 1.0) -> float:
        """‖σ − factor σ_exact‖ / ‖factor σ_exact‖ at the quadrature points."""
        exact = factor * self.exact_stress
        return _relative(self.law.stress - exact, exact, self.law.dx)

    @property
    def points(self) -> int:
        """Number of quadrature points."""
        return self.law.points.size


def _relative(difference: Any, exact: Any, dx: Any) -> float:
    squares = [
        fem.assemble_scalar(fem.form(ufl.inner(value, value) * dx)) for value in (difference, exact)
    ]
    return float(np.sqrt(squares[0] / squares[1]))


def creep(time: np.ndarray) -> np.ndarray:
    """Strain of the linear law under stress 1: J(t) = 2 − exp(−t)."""
    return 2.0 - np.exp(-np.asarray(time))


def discrete_creep(steps: int, dt: float) -> float:
    """Its backward Euler solution after an elastic step and ``steps`` steps."""
    α = 0.0
    for _ in range(steps):  # ε = 1 + α and α⁺ = α + dt (ε − 2 α⁺)
        α = (α + dt) / (1.0 + dt)
    return 1.0 + α


def boundary(space: Any, where: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Facets of the boundary at a place."""
    domain = space.mesh
    return mesh.locate_entities_boundary(domain, domain.topology.dim - 1, where)


def facet_measure(domain: Any, facets: Any) -> Any:
    """The measure ds of some facets."""
    tags = mesh.meshtags(
        domain, domain.topology.dim - 1, np.sort(facets), np.ones(len(facets), dtype=np.int32)
    )
    return ufl.Measure("ds", domain=domain, subdomain_data=tags)(1)


def roller(space: Any, axis: int, facets: Any) -> Any:
    """No displacement along an axis."""
    dofs = fem.locate_dofs_topological(space.sub(axis), space.mesh.topology.dim - 1, facets)
    return fem.dirichletbc(0.0, dofs, space.sub(axis))


def ring_mesh(cells: int, inner: float, outer: float) -> Any:
    """A quarter ring of quadrilaterals with curved sides (degree 2), ``cells`` along the radius."""
    r = np.linspace(inner, outer, 2 * cells + 1)
    φ = np.linspace(0.0, 0.5 * np.pi, 4 * cells + 1)
    x = np.stack([np.outer(r, np.cos(φ)), np.outer(r, np.sin(φ))], axis=-1).reshape(-1, 2)
    columns = len(φ)
    i, j = np.meshgrid(2 * np.arange(cells), 2 * np.arange(2 * cells), indexing="ij")
    corner = (i * columns + j).reshape(-1, 1)
    along, around = columns, 1
    # Vertices, then edges, then the interior, of the quadrilateral of degree 2.
    steps = [(0, 0), (2, 0), (0, 2), (2, 2), (1, 0), (0, 1), (2, 1), (1, 2), (1, 1)]
    connectivity = np.hstack([corner + a * along + b * around for a, b in steps])
    element = ufl.Mesh(basix.ufl.element("Lagrange", "quadrilateral", 2, shape=(2,)))
    return mesh.create_mesh(MPI.COMM_SELF, connectivity.astype(np.int64), x=x, e=element)


INNER, OUTER, PRESSURE, SHEAR = 1.0, 2.0, 0.1, 1.0
"""Radii and pressure of the cylinder, and μ = λ of every case (density 15)."""


def lame_constants() -> tuple[float, float]:
    """A and B of u_r = A r + B/r for λ = μ and inner pressure."""
    factor = PRESSURE * INNER**2 / (OUTER**2 - INNER**2)
    return factor / (2.0 * (SHEAR + SHEAR)), factor * OUTER**2 / (2.0 * SHEAR)


def cylinder_ring(model: Any, kinematics: Kinematics, cells: int, order: int) -> Body:
    """Quarter of a thick-walled cylinder under inner pressure, plane strain."""
    domain = ring_mesh(cells, INNER, OUTER)
    space = fem.functionspace(domain, ("Lagrange", order, (2,)))
    u = fem.Function(space, name="displacement")
    law = InternalVariableLaw(model, kinematics, u, 2 * order)
    rollers = [
        roller(space, axis, boundary(space, lambda x, a=axis: np.isclose(x[a], 0.0)))
        for axis in range(2)
    ]
    inside = boundary(space, lambda x: x[0] ** 2 + x[1] ** 2 < (1.0 + 1e-9) * INNER**2)
    load = -PRESSURE * ufl.dot(ufl.FacetNormal(domain), ufl.TestFunction(space))
    problem = InternalVariableProblem(
        law, u, rollers, load * facet_measure(domain, inside)(metadata={"quadrature_degree": 6})
    )
    x = ufl.SpatialCoordinate(domain)
    a, b = lame_constants()
    r2 = ufl.dot(x, x)
    hoop, radial = 2.0 * (SHEAR + SHEAR) * a, 2.0 * SHEAR * b / r2
    c, s = x[0] / ufl.sqrt(r2), x[1] / ufl.sqrt(r2)
    stress = [
        hoop - radial * (c**2 - s**2),
        hoop + radial * (c**2 - s**2),
        2.0 * SHEAR * a,
        -2.0 * np.sqrt(2.0) * radial * c * s,
    ]
    return Body(law, problem, (a + b / r2) * x, ufl.as_vector(stress))


def cylinder_meridian(model: Any, kinematics: Kinematics, cells: int, order: int) -> Body:
    """The same cylinder in rotational symmetry: a slice that is held from growing in length."""
    domain = mesh.create_rectangle(
        MPI.COMM_SELF, [(INNER, 0.0), (OUTER, 0.5)], [cells, max(1, cells // 2)]
    )
    space = fem.functionspace(domain, ("Lagrange", order, (2,)))
    u = fem.Function(space, name="displacement")
    law = InternalVariableLaw(model, kinematics, u, 2 * order)
    ends = boundary(space, lambda x: np.isclose(x[1], 0.0) | np.isclose(x[1], 0.5))
    rollers = [roller(space, 1, ends)]
    inside = boundary(space, lambda x: np.isclose(x[0], INNER))
    x = ufl.SpatialCoordinate(domain)
    load = PRESSURE * ufl.TestFunction(space)[0] * 2.0 * ufl.pi * x[0]
    problem = InternalVariableProblem(law, u, rollers, load * facet_measure(domain, inside))
    a, b = lame_constants()
    hoop, radial = 2.0 * (SHEAR + SHEAR) * a, 2.0 * SHEAR * b / x[0] ** 2
    stress = [hoop - radial, 2.0 * SHEAR * a, hoop + radial, ufl.as_ufl(0.0)]
    exact = ufl.as_vector([a * x[0] + b / x[0], ufl.as_ufl(0.0)])
    return Body(law, problem, exact, ufl.as_vector(stress))


LENGTH, DEPTH, FORCE = 4.0, 1.0, 0.01
"""Of the cantilever."""


def cantilever(model: Any, kinematics: Kinematics, cells: int, order: int) -> Body:
    """Timoshenko's cantilever in plane stress: exact displacements at the wall, shear at the tip.

    References:
        Timoshenko & Goodier (1970), *Theory of Elasticity*, article 21.
    """
    domain = mesh.create_rectangle(
        MPI.COMM_SELF, [(0.0, -0.5 * DEPTH), (LENGTH, 0.5 * DEPTH)], [4 * cells, cells]
    )
    space = fem.functionspace(domain, ("Lagrange", order, (2,)))
    u = fem.Function(space, name="displacement")
    law = InternalVariableLaw(model, kinematics, u, 2 * order)
    poisson = 0.25
    young, inertia = 2.0 * SHEAR * (1.0 + poisson), DEPTH**3 / 12.0

    def exact(x: Any) -> list[Any]:
        factor = FORCE / (6.0 * young * inertia)
        along = (6.0 * LENGTH - 3.0 * x[0]) * x[0] + (2.0 + poisson) * (x[1] ** 2 - DEPTH**2 / 4.0)
        across = (
            3.0 * poisson * x[1] ** 2 * (LENGTH - x[0])
            + (4.0 + 5.0 * poisson) * DEPTH**2 * x[0] / 4.0
            + (3.0 * LENGTH - x[0]) * x[0] ** 2
        )
        return [factor * x[1] * along, -factor * across]

    wall = fem.Function(space)
    dofs = fem.locate_dofs_topological(space, 1, boundary(space, lambda x: np.isclose(x[0], 0.0)))
    clamp = fem.dirichletbc(wall, dofs)
    x = ufl.SpatialCoordinate(domain)
    tip = boundary(space, lambda x: np.isclose(x[0], LENGTH))
    shear = -FORCE / (2.0 * inertia) * (DEPTH**2 / 4.0 - x[1] ** 2)
    load = shear * ufl.TestFunction(space)[1] * facet_measure(domain, tip)
    problem = InternalVariableProblem(law, u, [clamp], load)
    wall.interpolate(lambda x: np.stack(exact(x)))
    stress = [
        FORCE * (LENGTH - x[0]) * x[1] / inertia,
        ufl.as_ufl(0.0),
        ufl.as_ufl(0.0),
        np.sqrt(2.0) * shear,
    ]
    return Body(law, problem, ufl.as_vector(exact(x)), ufl.as_vector(stress), wall)


TORSION_CONSTANT = 0.140577014955
"""Of the square with side 1: (1/3) (1 − (192/π⁵) Σ_odd tanh(nπ/2)/n⁵)."""


@dataclass
class Torsion:
    """A bar of square section, side 1, twisted by its end faces, which may warp.

    Attributes:
        law: At the quadrature points.
        problem: With its conditions.
        turned: Displacements along x and y of the far face.
        height: Length of the bar.
        angle: Twist, angle per length.
    """

    law: InternalVariableLaw
    problem: InternalVariableProblem
    turned: tuple[fem.Function, fem.Function]
    height: float
    angle: float = 0.0

    def set_twist(self, angle: float) -> None:
        """Turn the far face by ``angle`` per length."""
        self.angle = angle
        turn = angle * self.height
        self.turned[0].interpolate(lambda x: -turn * x[1])
        self.turned[1].interpolate(lambda x: turn * x[0])

    def constant(self) -> float:
        """Torsion constant J in the stored energy ½ μ J θ² l after an elastic step."""
        return 2.0 * self.law.stored_energy() / (SHEAR * self.angle**2 * self.height)


def torsion(
    model: Any, kinematics: Kinematics, cells: int, order: int, *, hexahedra: bool = True
) -> Torsion:
    """Torsion with free warping (de Saint-Venant), which no more than one layer can show."""
    height = 0.5
    domain = mesh.create_box(
        MPI.COMM_SELF,
        [(-0.5, -0.5, 0.0), (0.5, 0.5, height)],
        [cells, cells, 1],
        cell_type=mesh.CellType.hexahedron if hexahedra else mesh.CellType.tetrahedron,
    )
    space = fem.functionspace(domain, ("Lagrange", order, (3,)))
    u = fem.Function(space, name="displacement")
    law = InternalVariableLaw(model, kinematics, u, 2 * order if hexahedra else 2 * (order - 1))
    parts = [space.sub(axis).collapse()[0] for axis in range(3)]
    turned = (fem.Function(parts[0]), fem.Function(parts[1]))
    conditions = []
    for position, values in ((0.0, [fem.Function(part) for part in parts[:2]]), (height, turned)):
        facets = boundary(space, lambda x, position=position: np.isclose(x[2], position))
        for axis, value in enumerate(values):
            dofs = fem.locate_dofs_topological((space.sub(axis), parts[axis]), 2, facets)
            conditions.append(fem.dirichletbc(value, dofs, space.sub(axis)))
    corner = fem.locate_dofs_geometrical(
        (space.sub(2), parts[2]),
        lambda x: np.isclose(x, -height * np.array([1, 1, 0])[:, None]).all(axis=0),
    )
    conditions.append(fem.dirichletbc(fem.Function(parts[2]), corner, space.sub(2)))
    problem = InternalVariableProblem(law, u, conditions)
    return Torsion(law, problem, turned, height)


def sphere(**options: Any) -> Microsphere:
    """λ = μ = 1 with the linear law."""
    return Microsphere(25, density=15.0, **options)


def observed_orders(errors: Sequence[float]) -> np.ndarray:
    """log₂ of the ratios of errors on meshes each twice as fine as the one before."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
