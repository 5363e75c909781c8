"""The same trajectories in several formats are the same record; what was understood is printed."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest
from foreign_files import (
    AMPLITUDES,
    FREQUENCIES,
    TIME_STEP,
    description,
    rows_of,
    trap_paths,
    write_ave_time,
    write_dump,
    write_h5md,
    write_long_csv,
    write_npz,
    write_wide_csv,
)

from ibvonn_train.cli import main
from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers import StudyDescription, import_trajectories

WRITERS = {
    "npz": write_npz,
    "wide.csv": write_wide_csv,
    "long.csv": write_long_csv,
    "dump": write_dump,
    "h5": write_h5md,
}


def imported(folder, writer, ending, paths=None, **parts):
    files = [writer(folder / f"p{i}.{ending}", x) for i, x in enumerate(paths or trap_paths())]
    lines = import_trajectories(
        files, StudyDescription.from_toml(description(folder, **parts)), folder / "data.h5"
    )
    return TrajectoryEnsemble.load(folder / "data.h5"), rows_of("\n".join(lines))


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_positions_of_the_simulation(ending, tmp_path):
    paths = trap_paths()
    data, rows = imported(tmp_path, WRITERS[ending], ending)
    expected = np.stack(paths)[:, :, None, :, None]
    np.testing.assert_allclose(data.samples, expected, rtol=1e-6)
    time = TIME_STEP * np.arange(paths[0].shape[0])
    np.testing.assert_allclose(data.time, time, atol=1e-12)
    a, w = (np.array(values)[:, None] for values in (AMPLITUDES, FREQUENCIES))
    strain = a * np.sin(w * time)
    np.testing.assert_allclose(data.strain[..., 0, 0], strain, rtol=1e-12)
    np.testing.assert_allclose(data.drive.strain_rate[..., 0, 0], a * w * np.cos(w * time))
    force = strain - np.stack(paths).mean(2)
    np.testing.assert_allclose(data.stress[..., 0, 0], force, rtol=1e-9, atol=1e-12)
    assert data.replicas == 60
    assert data.time_step == pytest.approx(0.01)
    assert "2 protocols x 41 instants x 1 site x 60 replicas" in rows["layout"]
    assert "in equilibrium" in rows["equipartition"]
    assert "NOT" not in rows["equipartition"]


def test_arrays_stored_by_columns_or_packed_are_read(tmp_path):
    time = TIME_STEP * np.arange(41)
    files = [tmp_path / "turned.npz", tmp_path / "packed.npz"]
    np.savez(files[0], time=time, x=np.asfortranarray(trap_paths()[0]))
    position = np.zeros((41, 60, 2))
    position[..., 0] = trap_paths()[1]
    np.savez_compressed(files[1], time=time, position=position)
    study = StudyDescription.from_toml(description(tmp_path))
    import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    np.testing.assert_allclose(data.samples[:, :, 0, :, 0], trap_paths(), rtol=1e-6)


def test_a_packed_dump_is_read(tmp_path):
    files = []
    for number, x in enumerate(trap_paths()):
        plain = write_dump(tmp_path / f"{number}.dump", x)
        packed = tmp_path / f"{number}.dump.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        files.append(packed)
    study = StudyDescription.from_toml(description(tmp_path))
    import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], trap_paths()[0], rtol=1e-6)


def test_the_command_prints_what_it_understood_and_the_data_train_on(tmp_path, capsys):
    files = [
        write_npz(tmp_path / f"p{i}.npz", x.astype(np.float32)) for i, x in enumerate(trap_paths())
    ]
    out = tmp_path / "data.h5"
    study = description(tmp_path)
    assert main(["import", *map(str, files), "--describe", str(study), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    rows = rows_of(printed)
    assert "float32" in rows["read"]
    assert rows["strain"].startswith("strain -0.7456 to 0.3587")
    assert "ibvonn train" in printed
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_which_values_belong_to_which_file_is_said(order, tmp_path):
    """A shell sorts run_10 before run_2."""
    names = ["run_2.npz", "run_10.npz"]
    files = [write_npz(tmp_path / names[i], trap_paths()[i]) for i in order]
    study = StudyDescription.from_toml(description(tmp_path))
    lines = import_trajectories(files, study, tmp_path / "data.h5")
    said = [line[14:] for line in lines if line.startswith("values")]
    assert said[0] == f"{files[0].name}: a 0.5, w 2"
    assert said[1] == f"{files[1].name}: a -0.8, w 3"
    assert any("NOT in the order" in line for line in said) == (order == (1, 0))


def test_stress_comes_from_an_energy_and_agrees_with_the_force(tmp_path):
    energy = 'strain = "a*sin(w*t)"\nenergy = "0.5*stiffness*((strain - x)**2 + x**2)"'
    force, _ = imported(tmp_path, write_npz, "npz")
    slope, rows = imported(tmp_path, write_npz, "npz", load=energy)
    np.testing.assert_allclose(slope.stress, force.stress, rtol=1e-12)
    np.testing.assert_allclose(slope.stress_variance, force.stress_variance, rtol=1e-9)
    paths = np.stack(trap_paths())
    strain = force.strain[:, :, 0]
    expected = 0.5 * ((strain - paths) ** 2 + paths**2).mean(2)
    np.testing.assert_allclose(slope.energy[..., 0], expected, rtol=1e-9)
    assert "slope of the energy" in rows["stress"]


def test_without_stress_the_slope_of_a_known_systems_energy_is_it(tmp_path):
    known, _ = imported(tmp_path, write_npz, "npz", load='strain = "a*sin(w*t)"')
    force, _ = imported(tmp_path, write_npz, "npz")
    np.testing.assert_allclose(known.stress, force.stress, rtol=1e-12)


def test_another_force_than_that_of_the_energy_is_seen(tmp_path):
    """Guards the two tests above: the sign of the stress is not taken for granted."""
    load = 'strain = "a*sin(w*t)"\nstress = "stiffness*(x - strain)"'
    files = [write_npz(tmp_path / f"p{i}.npz", x) for i, x in enumerate(trap_paths())]
    study = StudyDescription.from_toml(description(tmp_path, load=load))
    lines = import_trajectories(files, study, tmp_path / "data.h5")
    assert any("differs from the slope of the energy by 2e+02 %" in line for line in lines)


def test_a_wrong_temperature_is_no_equilibrium(tmp_path):
    paths = [1.5 * x for x in trap_paths()]
    _, rows = imported(tmp_path, write_npz, "npz", paths=paths)
    assert "NOT in equilibrium" in rows["equipartition"]


def test_tables_are_taken_at_the_steps_of_the_dump(tmp_path):
    files = []
    for number, x in enumerate(trap_paths()):
        files.append(write_dump(tmp_path / f"p{number}.dump", x))
        fine = np.arange(-5, 2 * len(x))  # more and other rows than the dump has frames
        a, w = AMPLITUDES[number], FREQUENCIES[number]
        control = a * np.sin(w * TIME_STEP * fine)
        write_ave_time(tmp_path / f"p{number}.ave", {"v_lambda": control, "c_1[2]": control}, fine)
    load = 'table = "{stem}.ave"\nstrain = "v_lambda"\nstress = "strain - x + 0*c_1_2"'
    study = StudyDescription.from_toml(description(tmp_path, load=load))
    lines = import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    plain, _ = imported(tmp_path, write_npz, "npz")
    np.testing.assert_allclose(data.strain, plain.strain, rtol=1e-12, atol=1e-14)
    assert data.drive.strain_rate is None
    assert "rate not recorded" in rows_of("\n".join(lines))["strain"]


def test_observables_of_h5md_are_names_in_expressions(tmp_path):
    files = []
    for number, x in enumerate(trap_paths()):
        time = TIME_STEP * np.arange(len(x))
        control = AMPLITUDES[number] * np.sin(FREQUENCIES[number] * time)
        files.append(write_h5md(tmp_path / f"{number}.h5", x, position=control))
    load = 'strain = "position"\nstress = "strain - x"'
    study = StudyDescription.from_toml(description(tmp_path, load=load))
    import_trajectories(files, study, tmp_path / "d.h5")
    data = TrajectoryEnsemble.load(tmp_path / "d.h5")
    plain, _ = imported(tmp_path, write_npz, "npz")
    np.testing.assert_allclose(data.strain, plain.strain, rtol=1e-12, atol=1e-14)


def test_files_of_one_protocol_are_its_replicas(tmp_path):
    whole, _ = imported(tmp_path, write_npz, "npz")
    files = [
        write_npz(tmp_path / f"{i}_{part}.npz", x[:, rows])
        for i, x in enumerate(trap_paths())
        for part, rows in enumerate((slice(0, 20), slice(20, 40), slice(40, 60)))
    ]
    study = StudyDescription.from_toml(description(tmp_path, layout="files = 3"))
    import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    np.testing.assert_array_equal(data.samples, whole.samples)
    np.testing.assert_allclose(data.stress, whole.stress, rtol=1e-12)
    np.testing.assert_allclose(data.stress_variance, whole.stress_variance, rtol=1e-9)


def test_windows_of_a_long_run_are_replicas(tmp_path):
    """A periodic load: each period is one replica, and what is left over is left out."""
    x = trap_paths(replicas=4, instants=45)[0]
    files = [write_npz(tmp_path / "long.npz", x)]
    load = f'strain = "0.3*sin(2*pi*t/{20 * TIME_STEP})"\nstress = "strain - x"'
    study = description(tmp_path, layout="window = 20", load=load)
    study.write_text(study.read_text().replace("a = [0.5, -0.8]\nw = [2.0, 3.0]\n", ""))
    lines = import_trajectories(files, StudyDescription.from_toml(study), tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    assert data.samples.shape == (1, 20, 1, 8, 1)
    np.testing.assert_allclose(data.samples[0, :, 0, :4, 0], x[:20], rtol=1e-6)
    np.testing.assert_allclose(data.samples[0, :, 0, 4:, 0], x[20:40], rtol=1e-6)
    assert "2 windows of each file, 5 frames left over" in rows_of("\n".join(lines))["layout"]
    np.testing.assert_allclose(
        data.stress[0, :, 0, 0], data.strain[0, :, 0, 0] - (x[:20] + x[20:40]).mean(1) / 2
    )


def test_windows_under_different_loads_are_refused(tmp_path):
    """Guards the test above."""
    x = trap_paths(replicas=4, instants=45)[0]
    files = [write_npz(tmp_path / f"long_{i}.npz", x) for i in range(2)]
    study = StudyDescription.from_toml(description(tmp_path, layout="window = 20"))
    with pytest.raises(ValueError, match="all replicas of protocol 1 must have the same strain"):
        import_trajectories(files, study, tmp_path / "data.h5")


def test_frames_are_skipped_and_thinned(tmp_path):
    paths = trap_paths()
    data, _ = imported(tmp_path, write_npz, "npz", time='skip = 5\nthin = 4\nzero = "first"')
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], paths[0][5::4], rtol=1e-6)
    assert data.time[0] == 0.0
    assert data.stride == 4


def test_blocks_do_not_matter(tmp_path, monkeypatch):
    """A file larger than what is held at a time is the same record."""
    whole, _ = imported(tmp_path, write_dump, "dump")
    monkeypatch.setattr("ibvonn_train.importers.watched_frames.BLOCK_BYTES", 1000)
    parts, _ = imported(tmp_path, write_dump, "dump")
    assert parts.sha256() == whole.sha256()


@pytest.mark.parametrize("ending", ["dump", "npz", "wide.csv"])
def test_a_protocol_larger_than_the_blocks_is_never_held_whole(ending, tmp_path, monkeypatch):
    """Averaged strain, the costliest: 6.4 MB of positions pass through 2 MB."""
    x = np.round(np.random.default_rng(0).normal(size=(400, 2000)), 7)
    options = {"shuffle": False} if ending == "dump" else {}
    files = [WRITERS[ending](tmp_path / f"a.{ending}", x, **options)]
    load = 'strain_kind = "averaged"\nstress = "stiffness*x"'
    study = description(tmp_path, load=load)
    study.write_text(study.read_text().replace("a = [0.5, -0.8]\nw = [2.0, 3.0]\n", ""))
    read = StudyDescription.from_toml(study)
    place = "ibvonn_train.importers.watched_frames.BLOCK_BYTES"
    peaks = []
    for most in (2**26, 2**16):
        monkeypatch.setattr(place, most)
        tracemalloc.start()
        import_trajectories(files, read, tmp_path / "data.h5")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2e6 < 6.4e6 < peaks[0]
