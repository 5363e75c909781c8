"""Trajectories with momenta: taken where these are soon forgotten, else refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import AMPLITUDES, FREQUENCIES, description, rows_of, write_dump

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers import StudyDescription, import_trajectories

STORED = 0.01


def underdamped(mass, instants=80, replicas=200, finer=50):
    """Positions and velocities of the trap with masses, ``(n_time, n_replica, 2)`` each."""
    rng = np.random.default_rng(1)
    dt = STORED / finer
    for a, w in zip(AMPLITUDES, FREQUENCIES, strict=True):
        x = np.sqrt(0.01 / 2) * rng.standard_normal(replicas)
        v = np.sqrt(0.01 / mass) * rng.standard_normal(replicas)
        decay = np.exp(-dt / mass)
        rows = []
        for n in range(instants * finer):
            if n % finer == 0:
                rows.append(np.stack([x, v], -1))
            v = v + dt / (2 * mass) * (a * np.sin(w * n * dt) - 2 * x)
            x = x + dt / 2 * v
            noise = np.sqrt((1 - decay**2) * 0.01 / mass) * rng.standard_normal(replicas)
            v = decay * v + noise
            x = x + dt / 2 * v
            v = v + dt / (2 * mass) * (a * np.sin(w * (n + 1) * dt) - 2 * x)
        yield np.array(rows)


def record(folder, mass, declared=None, **parts):
    declared = mass if declared is None else declared
    files = [
        write_dump(folder / f"{i}.dump", values, columns="id x vx")
        for i, values in enumerate(underdamped(mass))
    ]
    study = description(folder, microstate=f'coordinates = ["x"]\nmass = {declared}', **parts)
    lines = import_trajectories(files, StudyDescription.from_toml(study), folder / "data.h5")
    return TrajectoryEnsemble.load(folder / "data.h5"), rows_of("\n".join(lines))


def kinetic(rows):
    """⟨m v²⟩ in k_BT, as printed."""
    return float(rows["momenta"].split("<m v^2> = ")[1].split()[0])


def test_momenta_that_are_forgotten_are_taken_as_overdamped_and_said(tmp_path):
    data, rows = record(tmp_path, 0.002)
    assert "forgotten within t = 0.00461" in rows["momenta"]
    assert "taken as overdamped" in rows["momenta"]
    assert kinetic(rows) == pytest.approx(1.0, abs=0.05)
    assert "NOT" not in rows["momenta"]
    assert "in equilibrium" in rows["equipartition"]
    assert data.not_recorded == ("time_step",)
    assert "audits that need the time step are not available" in rows["not recorded"]


def test_instants_within_the_memory_of_momenta_are_thinned(tmp_path):
    """m/η = 0.02: C_v falls below a tenth after five stored instants."""
    with pytest.raises(ValueError, match=r"every one is taken. Write `thin = [56]` or more"):
        record(tmp_path, 0.02)
    data, _ = record(tmp_path, 0.02, time="thin = 6")
    assert np.diff(data.time)[0] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("mass", "words"),
    [
        (2.0, "is still .* after 49 frames"),
        (0.5, "that of the microstates is 0.6"),
        (0.1, "that of the microstates is 0.8"),
    ],
)
def test_dynamics_that_are_not_overdamped_are_refused(mass, words, tmp_path):
    """With k = 2, m k/η² is 4 and 1, which oscillates, and 0.2, hardly beyond critical damping."""
    with pytest.raises(ValueError, match=f"must be forgotten before the microstates move.*{words}"):
        record(tmp_path, mass)


def test_a_wrong_mass_shows_in_the_kinetic_energy(tmp_path):
    _, rows = record(tmp_path, 0.002, declared=0.001)
    assert kinetic(rows) == pytest.approx(0.5, abs=0.03)
    assert "NOT k_BT: check the mass" in rows["momenta"]
