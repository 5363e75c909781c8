"""Data files are H5MD 1.1 at the same time: groups that show the same numbers by virtual datasets.

The one group ``particles/trajectory`` has the microstates as positions: sample k of site s of
protocol p is particle (p n_site + s) n_sample + k. Components that are not there are zero, as
programs expect three; and programs read the first group alone, so that there is no group for each
protocol. Strain and stress are ``observables/strain`` and ``stress``. Nothing is copied.

References:
    P. de Buyl, P. H. Colberg & F. Höfling (2014), Comput. Phys. Commun. 185, 1546; version 1.1 of
    the specification: https://www.nongnu.org/h5md/h5md.html.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from .ensemble_fields import EnsembleFields

VERSION = (1, 1)
GROUP = "trajectory"
DIMENSIONS = 3
"""Components of a position that readers of H5MD expect."""

Part = tuple[tuple[int, ...], tuple[int, ...]]
"""First place and lengths of a block."""
View = tuple[tuple[int, ...], list[tuple[Part, Part]]]
"""Shape of what is shown, and its blocks, each with the block of what is stored."""


def add_h5md_view(file: h5py.File, data: EnsembleFields) -> None:
    """Add the groups of H5MD to a file that holds the datasets of a record.

    Args:
        file: Open for writing, complete but for these groups.
        data: The record in it.
    """
    root = file.create_group("h5md")
    root.attrs["version"] = np.array(VERSION, np.int32)
    root.create_group("author").attrs["name"] = "not recorded"
    creator = root.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "ibvonn", "1"
    steps = np.rint(data.time / data.time_step).astype(np.int64)
    step = file.create_dataset("h5md/step", data=steps)
    if "microstate" in file:
        group = file.create_group(f"particles/{GROUP}")
        box = group.create_group("box")
        sides = max(DIMENSIONS, data.microstate_size)
        box.attrs["dimension"] = sides
        box.attrs["boundary"] = np.array([b"none"] * sides)
        _element(file, group, "position", _positions, step)
    for series in ("strain", "stress"):
        _element(file, file.require_group("observables"), series, _by_time, step)
    for name, value in data.parameters.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and name.isidentifier():  # HDF5 does not take every name that JSON does
            file.require_group("parameters").attrs[name] = float(value)


def _element(
    file: h5py.File, group: h5py.Group, name: str, view: Callable[[h5py.Dataset], View], step: Any
) -> None:
    element = group.create_group(name)
    element["step"], element["time"] = step, file["time"]  # links to the same datasets
    stored = file["microstate" if name == "position" else name]
    shape, parts = view(stored)
    space = h5py.h5s.create_simple(shape)
    source = h5py.h5s.create_simple(stored.shape)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_fill_value(np.zeros(1, stored.dtype))
    settings.set_obj_track_times(False)  # a VirtualLayout would write the time of day into the file
    for (first, count), (source_first, source_count) in parts:
        space.select_hyperslab(first, count)
        source.select_hyperslab(source_first, source_count)
        settings.set_virtual(space, b".", stored.name.encode(), source)
    kind = h5py.h5t.py_create(stored.dtype, logical=True)
    h5py.h5d.create(element.id, b"value", kind, h5py.h5s.create_simple(shape), settings)


def _positions(stored: h5py.Dataset) -> View:
    """Show microstates as ``(n_time, n_protocol · n_site · n_sample, at least 3)``."""
    protocols, instants, sites, samples, size = stored.shape
    shape = (instants, protocols * sites * samples, max(DIMENSIONS, size))
    parts: list[tuple[Part, Part]] = [
        (
            ((0, number * samples, 0), (instants, samples, size)),
            ((protocol, 0, site, 0, 0), (1, instants, 1, samples, size)),
        )
        for number, (protocol, site) in enumerate(np.ndindex(protocols, sites))
    ]
    return shape, parts


def _by_time(stored: h5py.Dataset) -> View:
    """Show a series as ``(n_time, n_protocol, …)``."""
    protocols, instants, *rest = stored.shape
    origin = (0,) * len(rest)
    parts: list[tuple[Part, Part]] = [
        (((0, p, *origin), (instants, 1, *rest)), ((p, 0, *origin), (1, instants, *rest)))
        for p in range(protocols)
    ]
    return (instants, protocols, *rest), parts
