"""Small records, and their files with other contents."""

import h5py
import numpy as np
from small_ensembles import small_ensemble

from ibvonn_train.data import StrainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble


def record(system, protocols):
    return small_ensemble(system, protocols, duration=0.2, replicas=20)


def rewritten(file, **arrays):
    """Replace datasets of a file; None takes one away."""
    with h5py.File(file, "r+") as handle:
        for name, values in arrays.items():
            del handle[name]
            if values is not None:
                handle[name] = values
    return file


def long_record(control, rate, step=0.01, stride=1):
    """An ensemble with the given control, and replicas that do not matter here."""
    count = len(control)
    return TrajectoryEnsemble(
        time=step * stride * np.arange(count), strain=control[None, :, None, None],
        stress=np.zeros((1, count, 1, 1)), microstate=np.zeros((1, count, 1, 2, 1)),
        system="mine", strain_kind="controlled", drive=StrainDriven(rate[None, :, None, None]),
        parameters={"friction": 1.0, "thermal_energy": 1.0}, time_step=step, seed=0,
    )  # fmt: skip
