"""Bodies of lattice and their simulations that make no sense are refused in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_lattices import ramp, tiny

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.simulate_body import simulate_body
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice
from ibvonn_train.simulation.systems.lattice_body import (
    LatticeBody,
    lattice_block,
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bonds": np.array([[0, 9]]), "directions": np.array([0])}, "must join nodes 0 to 1"),
        ({"directions": np.array([5])}, "numbers from 0 to 2; found 5"),
        ({"directions": np.array([1])}, "must be that of its direction; bond 0"),
        ({"nodes": np.zeros((2, 3))}, r"nodes must have the shape \(n_node, 2\)"),
        ({"geometry": "fcc"}, r"nodes must have the shape \(n_node, 3\)"),
        ({"geometry": "hcp"}, "geometry must be one of"),
        ({"grips": {"left": np.array([7])}}, "grip 'left' must hold some of the nodes 0 to 1"),
        ({"grips": {"a": np.array([0]), "b": np.array([0])}}, "held by one grip"),
        ({"nodes": np.array([[0.0, 0], [1, 0], [9, 9]])}, "every node must have a bond; node 2"),
    ],
)
def test_wrong_bodies_are_refused_in_words(changed: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "nodes": np.array([[0.0, 0.0], [1.0, 0.0]]),
        "bonds": np.array([[0, 1]]),
        "directions": np.array([0]),
    }
    LatticeBody(**right)
    with pytest.raises(ValueError, match=f"LatticeBody: .*{message}"):
        LatticeBody(**{**right, **changed})


def test_wrong_simulations_are_refused_in_words() -> None:
    lattice = tiny()
    body, fields = lattice.body, lattice.fields
    for arguments, message in (
        ((body, fields[0]), r"fields must have the shape \(n_field, 15, 2\)"),
        ((body, fields + np.nan), "fields must be finite"),
        ((replace(body, grips={}), fields), "some nodes must be gripped"),
        ((body, fields, PeriodicLattice(series=False)), "in series with a spring"),
        ((body, fields, PeriodicLattice(geometry="square_with_diagonals")), "of the same"),
    ):
        with pytest.raises(ValueError, match=f"FiniteLattice: .*{message}"):
            FiniteLattice(*arguments)
    instants = np.array([0.0, 1.0])
    for changed, message in (
        ({"replicas": 20}, "replicas must be a multiple of 16"),
        ({"time_step": 0.0}, "time_step must be positive"),
        ({"time_step": 0.3}, "whole numbers of the time step"),
        ({"window": 3.0}, "windows must not overlap"),
        ({"precision": "half"}, "precision must be 'float' or 'double'"),
        ({"amplitudes": lambda t: t}, r"must return an array \(n, 1\)"),
        ({"instants": np.array([1.0, 2.0])}, "increase from 0"),
    ):
        arguments = {"amplitudes": ramp, "instants": instants, "replicas": 16, **changed}
        with pytest.raises(ValueError, match=f"simulate_body: .*{message}"):
            simulate_body(lattice, **arguments)
    with pytest.raises(ValueError, match="at least 2 columns"):
        lattice_block(1, 4)
