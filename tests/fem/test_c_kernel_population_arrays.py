"""Arrays that are no law with populations are refused by the loader or the library."""

from __future__ import annotations

import numpy as np
import pytest

from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.kernels.packing import pack
from ibvonn_train.closed_form.random_law import untrained_populations

DAMAGE = {
    "family": (np.frombuffer(b"springs", dtype=np.uint8), "knows the families"),
    "groups": (np.array([[0, 3], [1, 2]]), "components of its own"),
    "rest": (np.array([0.7, 0.7, 0.1, 0.0]), "sum below 1"),
    "thermal_energy": (np.array(0.0), "one positive number"),
    "rate_barrier": (np.ones(3), "must have shape"),
    "rate_layers": (np.array(0), "must be at least 1"),
    "rate_weight_1": (np.zeros((2, 2)), "must have shape"),
    "energy_quadratic": (-10.0 * np.eye(6), "positive semidefinite"),
    "context_layers": (np.array(0), "must be at least 1"),
}


@pytest.mark.parametrize("key", DAMAGE)
def test_loader_refuses_arrays_that_are_no_law(key):
    arrays = untrained_populations(2, (3, 2), 1).arrays()
    assert pack(arrays).populations == 2
    value, message = DAMAGE[key]
    with pytest.raises(ExportedModelError, match=rf"^parameters\.npz: .*{message}.* again\.$"):
        pack({**arrays, key: value})
    if key != "family":  # without a name the arrays are those of the first family
        del arrays[key]
        with pytest.raises(ExportedModelError, match=rf"{key} is missing"):
            pack(arrays)


def test_rest_of_means_and_ridges_without_means_are_refused():
    arrays = untrained_populations(2, (2,), 1).arrays()
    with pytest.raises(ExportedModelError, match="rest must be 0 of means"):
        pack({**arrays, "rest": np.full(2, 0.1)})
    arrays = untrained_populations(2, (2,)).arrays()
    with pytest.raises(ExportedModelError, match="no context network and no ridges"):
        pack({**arrays, "ridge_count": np.array(2)})


@pytest.mark.parametrize("position", [5, 6, 7])
def test_sizes_that_are_no_law_are_refused_by_the_library(position):
    """What follows the widths of f: layers of the rates, saturation, number of populations."""
    kernel = CLibraryKernel(untrained_populations(1, (2,), widths=()).arrays())
    sizes = kernel.law.sizes.copy()
    library = kernel._library
    for wrong in (-1, 0, 99):
        sizes[position] = wrong
        count = library.functions.ibvonn_workspace(library.pointer(sizes), len(sizes))
        assert count == -2 or (position == 6 and wrong == 0)
