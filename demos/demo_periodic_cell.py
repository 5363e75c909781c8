r"""A periodic cell of two materials, homogenised, with a macroscopic strain to be found.

A composite repeats in both directions. Its response to a macroscopic strain is that of one cell
whose displacement is an affine motion plus a periodic fluctuation. Both materials are networks of
viscoelastic springs, one stiffer and slower than the other.

This demo illustrates how to

- put constraints between dofs, here periodicity, into a problem by a matrix of one's own,
- take the macroscopic strain as an unknown, where the macroscopic stress is given,
- use two laws, each on its own cells, in one form.

## Equation and problem definition

In the cell $Y = (0, 1)^2$ the displacement is $u = \bar\varepsilon x + w$ with periodic $w$, and

$$ \int_Y \sigma : \delta\varepsilon \, dx = \bar\sigma : \delta\bar\varepsilon
   \quad\text{for all } \delta w \text{ periodic and all } \delta\bar\varepsilon, $$

where of each component either $\bar\varepsilon$ or $\bar\sigma$ is given. The dofs of $u$ are
$Z z$ with $z = (w, \bar\varepsilon)$: equilibrium is $Z^T R(Zz) = (0, \bar\sigma)$, and its
derivative $Z^T K Z$. The work of the cell is that of the macroscopic quantities (Hill and Mandel),

$$ \int_Y \sigma : \Delta\varepsilon \, dx = \bar\sigma : \Delta\bar\varepsilon. \tag{1} $$

The springs follow $f = \tfrac12(\varepsilon-\alpha)^2 + \tfrac12\alpha^2$, $\varphi = g^2/2$
with the scales $s_i$ of stress and $t_i$ of time. Material $i$ is $s_i$ times as stiff as
material 1, so that at once

$$ \Big(\sum_i c_i/s_i\Big)^{-1} C_1 \le \bar C \le \sum_i c_i s_i\, C_1 . \tag{2} $$

Layers across $y$ under $\bar\varepsilon_{yy}$ alone have one strain each, with equal stresses, and
the steps of backward Euler can be taken by hand,

$$ \sigma_i = s_i C\,(\varepsilon_i - a_i), \qquad
   a_i = \frac{a_i^{\text{old}} + \Delta t\, \varepsilon_i/t_i}{1 + 2\Delta t/t_i}, \qquad
   \sigma_1 = \sigma_2, \quad
   c_1 \varepsilon_1 + c_2 \varepsilon_2 = \bar\varepsilon_{yy}. \tag{3} $$

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $s_i$ | `STRESS` | 1, 10 | force / length |
| $t_i$ | `TIME` | 1, 4 | time |
| $\bar\varepsilon_{yy}$ | `STRAIN` | 0.1 | 1 |
"""

# ## Implementation

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
import ufl
from dolfinx import fem, mesh
from scipy import sparse
from scipy.sparse.linalg import spsolve

import ibvonn_fem

STRESS, TIME, STRAIN = (1.0, 10.0), (1.0, 4.0), 0.1
DIRECTIONS = 8
DURATION = 4.0
ROOT2 = np.sqrt(2.0)


@dataclass(frozen=True)
class History:
    """Macroscopic strain and stress (xx, yy, xy with √2) at the ends of the steps."""

    time: np.ndarray
    strain: np.ndarray
    stress: np.ndarray
    largest_gap: float
    """Of both sides of (1), over the largest of them."""


# ### The constraint
#
# Every dof of u is a dof of w on the left or lower side or inside, plus an affine motion. The
# demo runs on one rank, so that the matrix is one of SciPy.


def periodic_dofs(x: np.ndarray) -> sparse.csr_matrix:
    """u by (w, ε̄), shape (2 nodes, 2 masters + 3); the corner at the origin does not move."""
    home = np.round(np.where(np.isclose(x[:, :2], 1.0), 0.0, x[:, :2]), 9)
    _, master = np.unique(home, axis=0, return_inverse=True)
    master = master.reshape(-1)  # the first in this order is the origin
    nodes = np.arange(len(x))
    held = master == 0
    rows = np.concatenate([2 * nodes[~held], 2 * nodes[~held] + 1])
    columns = np.concatenate([2 * (master[~held] - 1), 2 * (master[~held] - 1) + 1])
    fluctuation = sparse.csr_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(2 * len(x), 2 * master.max())
    )
    affine = np.zeros((2 * len(x), 3))
    affine[0::2, 0], affine[1::2, 1] = x[:, 0], x[:, 1]
    affine[0::2, 2], affine[1::2, 2] = x[:, 1] / ROOT2, x[:, 0] / ROOT2
    return sparse.hstack([fluctuation, affine]).tocsr()


class Cell:
    """The cell with material 2 where ``inside`` says so."""

    def __init__(
        self,
        model: ibvonn_fem.ExportedModel,
        cells: int,
        inside: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        square = mesh.create_unit_square(MPI.COMM_SELF, cells, cells)
        count = square.topology.index_map(2).size_local
        middle = mesh.compute_midpoints(square, 2, np.arange(count, dtype=np.int32))
        which = np.where(inside(middle), 2, 1).astype(np.int32)
        tags = mesh.meshtags(square, 2, np.arange(count, dtype=np.int32), which)
        self.share = float(np.mean(which == 2))  # all cells have one size
        space = fem.functionspace(square, ("Lagrange", 1, (2,)))
        self.u, v, du = fem.Function(space), ufl.TestFunction(space), ufl.TrialFunction(space)
        self.laws = [
            ibvonn_fem.InternalVariableLaw(
                ibvonn_fem.Scaled(model, stress_scale=STRESS[i], time_scale=TIME[i]),
                ibvonn_fem.Microcircle(DIRECTIONS),
                self.u,
                0,
                subdomain=(tags, i + 1),
                name=f"material {i + 1}",
            )
            for i in range(2)
        ]
        self.residual = fem.form(sum(law.virtual_work(v) for law in self.laws))
        self.jacobian = fem.form(sum(law.stiffness(du, v) for law in self.laws))
        self.map = periodic_dofs(space.tabulate_dof_coordinates())

    def run(
        self, time: np.ndarray, strain: dict[int, float], stress_free: tuple[int, ...] = ()
    ) -> History:
        """Hold components of ε̄ from the first instant on, an elastic step and then time.

        Components that are ``stress_free`` are found, others are 0.
        """
        size = self.map.shape[1]
        z = np.zeros(size)
        unknowns = np.array([*range(size - 3), *(size - 3 + c for c in stress_free)])
        for component, value in strain.items():
            z[size - 3 + component] = value
        strains, stresses, gap, largest = [], [], 0.0, 0.0
        for dt in [0.0, *np.diff(time)]:
            before = [law.measure.copy() for law in self.laws]
            force = self._solve(z, unknowns, dt)
            macroscopic = z[-3:] if not strains else z[-3:] - strains[-1]
            work = sum(
                float(
                    law.volumes
                    @ np.einsum(
                        "pi,pi->p", law.points.rows(law.stress).get(), law.measure_of_u() - old
                    )
                )
                for law, old in zip(self.laws, before, strict=True)
            )
            gap = max(gap, abs(work - force[-3:] @ macroscopic))
            largest = max(largest, abs(work))
            for law in self.laws:
                law.commit()
            strains.append(z[-3:].copy())
            stresses.append(force[-3:].copy())  # the area of the cell is 1
        return History(time, np.array(strains), np.array(stresses), gap / largest)

    def _solve(self, z: np.ndarray, unknowns: np.ndarray, dt: float) -> np.ndarray:
        """Newton's method for z; returns Zᵀ R."""
        for _ in range(20):
            self.u.x.array[:] = self.map @ z
            for law in self.laws:
                law.update(dt)
            force = self.map.T @ fem.assemble_vector(self.residual).array
            if np.abs(force[unknowns]).max() <= 1e-13 * max(np.abs(force).max(), 1e-30):
                return force
            tangent = fem.assemble_matrix(self.jacobian).to_scipy().tocsr()
            reduced = (self.map.T @ tangent @ self.map).tocsc()[unknowns][:, unknowns]
            step = spsolve(reduced, -force[unknowns])
            z[unknowns] += step
            if np.abs(step).max() <= 1e-15 * np.abs(z).max():
                return force
        raise ArithmeticError("the cell did not converge in 20 iterations")


# ## What the demo shows
#
# Layers agree with the steps (3) to round-off. A disc lies between the bounds (2), and its stress
# relaxes; where the lateral stress is zero, the lateral strain is found with the fluctuation.


def layers_by_hand(time: np.ndarray, share: float, modulus: float) -> np.ndarray:
    """σ̄_yy by (3), with C of material 1."""
    c, s, t = np.array([1.0 - share, share]), np.array(STRESS), np.array(TIME)
    a, stresses = np.zeros(2), []
    for dt in [0.0, *np.diff(time)]:
        # ε − a = (ε (1 + Δt/t) − a_old) / (1 + 2Δt/t): σ = stiff ε − held in each layer.
        stiff = s * modulus * (1.0 + dt / t) / (1.0 + 2.0 * dt / t)
        held = s * modulus * a / (1.0 + 2.0 * dt / t)
        σ = (STRAIN - np.sum(c * held / stiff)) / np.sum(c / stiff)
        ε = (σ + held) / stiff
        a = (a + dt * ε / t) / (1.0 + 2.0 * dt / t)
        stresses.append(σ)
    return np.array(stresses)


def stiffness_of_springs() -> float:
    """C_yyyy of the network of springs of modulus 1: the mean of the fourth power of n_y."""
    angle = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    return float(np.mean(np.sin(angle) ** 4))


def draw(histories: dict[str, History], path: Path) -> None:
    """Relaxation of the macroscopic stress."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.0, 3.5), layout="constrained")
    for name, history in histories.items():
        ax.plot(history.time, history.stress[:, 1], label=name)
    ax.set(xlabel="time t", ylabel=r"$\bar\sigma_{yy}$")
    ax.legend()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    """Homogenise layers and a disc, print and check them."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--exact", type=Path, default=root / "exported_models/exact_trap")
    parser.add_argument("--cells", type=int, default=24, help="along a side (default: 24)")
    parser.add_argument("--steps", type=int, default=40, help="time steps (default: 40)")
    parser.add_argument("--figure", type=Path, help="where to write the stress as PNG")
    parser.add_argument("--short", action="store_true", help="fewer cells and time steps")
    arguments = parser.parse_args()
    cells, steps = (8, 10) if arguments.short else (arguments.cells, arguments.steps)
    time = np.linspace(0.0, DURATION, steps + 1)
    model = ibvonn_fem.load_model(arguments.exact)

    def layers(x: np.ndarray) -> np.ndarray:
        return x[:, 1] > 0.5

    def disc(x: np.ndarray) -> np.ndarray:
        return np.hypot(x[:, 0] - 0.5, x[:, 1] - 0.5) < 0.3

    modulus = stiffness_of_springs()
    laminate = Cell(model, cells, layers)
    layered = laminate.run(time, {1: STRAIN})
    by_hand = layers_by_hand(time, laminate.share, modulus)
    error = float(np.abs(layered.stress[:, 1] / by_hand - 1.0).max())
    composite = Cell(model, cells, disc)
    held = composite.run(time, {1: STRAIN})
    free = Cell(model, cells, disc).run(time, {1: STRAIN}, stress_free=(0, 2))
    c, s = np.array([1.0 - composite.share, composite.share]), np.array(STRESS)
    stiffness = held.stress[0, 1] / STRAIN / modulus
    reuss, voigt = float(1.0 / np.sum(c / s)), float(np.sum(c * s))
    work = max(history.largest_gap for history in (layered, held, free))
    transverse = float(np.abs(free.stress[:, [0, 2]]).max() / np.abs(free.stress[:, 1]).max())

    print(f"layers: largest relative error of the stress against steps by hand {error:.1e}")
    print(f"work of the cell against macroscopic work: relative difference at most {work:.1e}")
    print(
        f"disc of {100 * composite.share:.1f} %: stiffness at once {stiffness:.4f} of material 1, "
        f"bounds {reuss:.4f} and {voigt:.4f}"
    )
    print(
        f"disc, free sides: lateral strain {free.strain[0, 0]:.6f} at once, "
        f"{free.strain[-1, 0]:.6f} at the end; stress across over along {transverse:.1e}"
    )
    if arguments.figure is not None:
        draw({"layers": layered, "disc": held, "disc, free sides": free}, arguments.figure)
    assert error < 1e-9, f"layers are off by {error:.1e}"
    assert work < 1e-9, f"the works differ by {work:.1e}"
    assert reuss < stiffness < voigt, f"stiffness {stiffness:.4f} is beyond its bounds"
    assert transverse < 1e-9, f"stress across the free sides {transverse:.1e}"
    assert np.all(np.diff(held.stress[:, 1]) < 0.0), "the stress does not relax"
    assert np.all(free.stress[:, 1] < held.stress[:, 1]), "free sides do not soften the cell"


if __name__ == "__main__":
    main()
