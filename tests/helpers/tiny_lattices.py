"""Bodies of lattice with few free nodes, in the plane and in space."""

from __future__ import annotations

from typing import Any

import numpy as np

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice
from ibvonn_train.simulation.systems.lattice_body import (
    LatticeBody,
    lattice_block,
    lattice_box,
)

ROW = 0.5 * np.sqrt(3.0)


Array = np.ndarray[Any, Any]


TURNED = np.array([[0.0, 0.0, 1.0], [0.5**0.5, -(0.5**0.5), 0.0], [0.5**0.5, 0.5**0.5, 0.0]])
"""Rows: [001], [1-10] and [110], the last one a direction of bonds."""


def held_at_its_rows(columns: int, rows: int) -> LatticeBody:
    body = lattice_block(columns, rows)
    held = body.with_grip("bottom", lambda x: x[:, 1] < 0.1)
    return held.with_grip("top", lambda x: x[:, 1] > (rows - 1.1) * ROW)


def stretched(body: LatticeBody) -> Array:
    """The motion u = (0, y) of the medium."""
    return np.stack([np.zeros(len(body.nodes)), body.nodes[:, 1]], 1)[None]


def tiny() -> FiniteLattice:
    """Seven free nodes between two gripped rows, prepared at once."""
    body = held_at_its_rows(4, 4).without(lambda x: np.hypot(x[:, 0] - 1.5, x[:, 1] - ROW) < 0.1)
    return FiniteLattice(body, stretched(body), PeriodicLattice(preparation=()))


def tiny_in_space() -> FiniteLattice:
    """A turned fcc box, pulled along a direction of bonds; a node in the middle is missing."""
    body = lattice_box((1.5 * 2.0**0.5, 1.5, 2.0), TURNED)
    place = body.nodes @ TURNED.T
    middle = place[np.abs(place - place.mean(0)).sum(1).argmin()]
    body = body.without(lambda x: np.linalg.norm(x @ TURNED.T - middle, axis=1) < 0.1)
    body = body.with_grip("bottom", lambda x: (x @ TURNED.T)[:, 2] < 0.1)
    body = body.with_grip("top", lambda x: (x @ TURNED.T)[:, 2] > 1.9)
    pulled = np.outer(body.nodes @ TURNED[2], TURNED[2])
    return FiniteLattice(body, pulled[None], PeriodicLattice(geometry="fcc", preparation=()))


def ramp(t: Array) -> Array:
    """To 3 z_h within 20, then held."""
    return 0.3 * np.minimum(t / 20.0, 1.0)[:, None]
