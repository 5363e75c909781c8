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

from typing import Any

import h5py
import numpy as np

from .ensemble_fields import EnsembleFields

VERSION = (1, 1)
GROUP = "trajectory"
DIMENSIONS = 3
"""Components of a position that readers of H5MD expect."""


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
        _element(file, group, "position", _positions(file["microstate"]), step)
    for series in ("strain", "stress"):
        _element(file, file.require_group("observables"), series, _by_time(file[series]), step)
    for name, value in data.parameters.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and name.isidentifier():  # HDF5 does not take every name that JSON does
            file.require_group("parameters").attrs[name] = float(value)


def _element(
    file: h5py.File, group: h5py.Group, name: str, layout: h5py.VirtualLayout, step: Any
) -> None:
    element = group.create_group(name)
    element["step"], element["time"] = step, file["time"]  # links to the same datasets
    element.create_virtual_dataset("value", layout, fillvalue=0.0)


def _positions(stored: h5py.Dataset) -> h5py.VirtualLayout:
    """Return ``(n_time, n_protocol · n_site · n_sample, at least 3)``."""
    protocols, instants, sites, samples, size = stored.shape
    shape = (instants, protocols * sites * samples, max(DIMENSIONS, size))
    layout = h5py.VirtualLayout(shape, stored.dtype)
    source = h5py.VirtualSource(".", "microstate", stored.shape, stored.dtype)
    for number, (protocol, site) in enumerate(np.ndindex(protocols, sites)):
        layout[:, number * samples : (number + 1) * samples, :size] = source[protocol, :, site]
    return layout


def _by_time(stored: h5py.Dataset) -> h5py.VirtualLayout:
    """Return ``(n_time, n_protocol, …)``."""
    protocols, instants, *rest = stored.shape
    layout = h5py.VirtualLayout((instants, protocols, *rest), stored.dtype)
    source = h5py.VirtualSource(".", stored.name.lstrip("/"), stored.shape, stored.dtype)
    for protocol in range(protocols):
        layout[:, protocol] = source[protocol]
    return layout
