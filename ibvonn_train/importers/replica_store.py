"""The microstates of an import on disk: they grow with the files, and windows are replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .frames import FloatArray

_CHUNK_BYTES = 2**20
_MOST_ROWS = 64
"""Instants of a chunk at most."""


class ReplicaStore:
    """A dataset ``(n_protocol, n_time, n_site, n_sample, n_x)`` of which neither size is known.

    Args:
        file: Open HDF5 file that receives it.
        protocols: Number of protocols.
        window: Instants of a window, 0 where a file is one window.
        precision: Type of the numbers, such as "float32".
    """

    def __init__(self, file: h5py.File, protocols: int, window: int, precision: str) -> None:
        self._file, self._protocols = file, protocols
        self._window, self._precision = window, precision
        self._dataset: Any = None

    def write(
        self, sites: FloatArray, protocol: int, first_window: int, begin: int, path: Path
    ) -> None:
        """Put some instants of a file where they belong.

        Args:
            sites: Microstates, shape ``(n_time, n_site, n_sample of one window, n_x)``.
            protocol: Number of the protocol.
            first_window: Number of the windows of the protocol that earlier files hold.
            begin: Number of the instants of this file that are written already.
            path: Of the file, for messages.

        Raises:
            ValueError: If sites, samples or components are not those of the first file.
        """
        count, n_sites, samples, size = sites.shape
        if self._dataset is None:
            rows = max(1, min(_MOST_ROWS, _CHUNK_BYTES // max(1, n_sites * samples * size * 8)))
            self._dataset = self._file.create_dataset(
                "microstate",
                shape=(self._protocols, 0, n_sites, samples, size),
                maxshape=(self._protocols, None, n_sites, None, size),
                chunks=(1, rows, n_sites, samples, size),
                dtype=self._precision,
            )
        stored = self._dataset
        if (n_sites, size) != (stored.shape[2], stored.shape[4]) or stored.chunks[3] != samples:
            raise ValueError(
                f"{path}: all files must have as many particles as the first; found {samples} "
                f"samples of {n_sites} sites where others have {stored.chunks[3]} of "
                f"{stored.shape[2]}. Import files of one kind together."
            )
        window, row = self._window, 0
        while row < count:
            number, at = divmod(begin + row, window) if window else (0, begin + row)
            run = min(count - row, window - at if window else count)
            sample = (first_window + number) * samples
            if at + run > stored.shape[1]:
                stored.resize(at + run, axis=1)
            if sample + samples > stored.shape[3]:
                stored.resize(sample + samples, axis=3)
            stored[protocol, at : at + run, :, sample : sample + samples] = sites[row : row + run]
            row += run

    def smallest_deviation(self) -> float:
        """Return the smallest standard deviation at the last instant of the first protocol."""
        deviations = np.asarray(self._dataset[0, -1:], np.float64).std(3)
        return float(deviations.min())

    def finish(self, instants: int, windows: int) -> Any:
        """Return the dataset without the instants that are left over and make no window.

        Args:
            instants: Number of instants of a window.
            windows: Number of windows of a protocol.
        """
        stored = self._dataset
        stored.resize(instants, axis=1)
        stored.resize(stored.chunks[3] * windows, axis=3)
        self._file.flush()
        return stored
