"""Trajectories that contradict themselves or their description are refused in one sentence each.

Every case differs by one fault from files that are accepted (``test_import.py``).
"""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import (
    TIME_STEP,
    description,
    trap_paths,
    write_ave_time,
    write_dump,
    write_h5md,
    write_long_csv,
    write_npz,
)

from ibvonn_train.cli import main
from ibvonn_train.files.toml_tables import ConfigError
from ibvonn_train.importers import StudyDescription, import_trajectories
from ibvonn_train.importers.source_checks import ResolutionGauge

X = trap_paths()
FORCE = 'stress = "strain - x"'


def refused(folder, files, words, **parts):
    """Import, expect the words, and expect that nothing is left behind."""
    study = description(folder, **parts)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        import_trajectories(files, StudyDescription.from_toml(study), folder / "data.h5")
    assert not (folder / "data.h5").exists()
    assert not list(folder.glob(".*"))
    return str(error.value)


def accepted(folder, files, **parts):
    study = description(folder, **parts)
    return import_trajectories(files, StudyDescription.from_toml(study), folder / "data.h5")


def dumps(folder, **changed):
    good = write_dump(folder / "good.dump", X[0])
    return [good, write_dump(folder / "bad.dump", changed.pop("x", X[1]), **changed)]


def test_whole_dumps_are_accepted(tmp_path):
    """Guards all tests below."""
    accepted(tmp_path, dumps(tmp_path))


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    twice = {7: [1, 1, *range(3, 61)]}
    refused(tmp_path, dumps(tmp_path, ids=twice), "step 7 the id 1 occurs more than once")


def test_an_id_that_goes_missing_is_refused(tmp_path):
    other = {7: [*range(1, 60), 99]}
    refused(tmp_path, dumps(tmp_path, ids=other), "step 7 the id 60 of the first frame is missing")


def test_ids_that_are_unsorted_are_sorted_and_none_are_refused(tmp_path):
    sorted_ids = [write_dump(tmp_path / f"s{i}.dump", x, shuffle=False) for i, x in enumerate(X)]
    accepted(tmp_path, sorted_ids)
    first = (tmp_path / "data.h5").read_bytes()
    (tmp_path / "data.h5").unlink()
    accepted(tmp_path, dumps(tmp_path))
    assert (tmp_path / "data.h5").read_bytes() == first
    (tmp_path / "data.h5").unlink()
    files = dumps(tmp_path)
    text = files[1].read_text().replace("ATOMS id x", "ATOMS number x")
    files[1].write_text(text)
    refused(tmp_path, files, "must have the column id")


def test_a_changing_number_of_particles_is_refused(tmp_path):
    files = dumps(tmp_path)
    lines = files[1].read_text().splitlines()
    start = len(lines) - 60  # the last frame loses its last particle
    lines[start - 6] = "59"
    files[1].write_text("\n".join(lines[:-1]) + "\n")
    refused(tmp_path, files, "must not change; it is 60 in the first frame and 59 at step 40")


def test_a_file_that_ends_within_a_frame_is_refused(tmp_path):
    files = dumps(tmp_path)
    lines = files[1].read_text().splitlines()
    files[1].write_text("\n".join(lines[:-1]) + "\n")
    refused(tmp_path, files, "every frame must be whole; at step 40")
    files[1].write_text("\n".join(lines[:-65]) + "\n")
    refused(tmp_path, files, "that of step 40 ends before its atoms")


def test_a_gap_in_time_is_refused_and_uneven_instants_are_declared(tmp_path):
    steps = [*range(20), *range(21, 42)]
    files = [write_dump(tmp_path / f"{i}.dump", x, steps=steps) for i, x in enumerate(X)]
    refused(tmp_path, files, r"from t = 0.19 to 0.21 there is a gap of 0.02 where others are 0.01")
    accepted(tmp_path, files, time="uneven = true")


def test_time_that_runs_back_is_refused(tmp_path):
    steps = [*range(20), *range(19, 40)]
    refused(tmp_path, dumps(tmp_path, steps=steps), "t = 0.19 is followed by 0.19")


def test_a_box_that_moves_is_refused(tmp_path):
    moving = [(-50 + 0.01 * n, 50 + 0.01 * n) for n in range(41)]
    refused(tmp_path, dumps(tmp_path, box=moving), "the box must keep its corner or its centre")


@pytest.mark.parametrize("which", ["corner", "centre", "no periodic axis"])
def test_a_box_that_grows_in_place_is_accepted(which, tmp_path):
    """Guards the test above."""
    growth = {
        "corner": [(-50, 50 + 0.01 * n) for n in range(41)],
        "centre": [(-50 - 0.01 * n, 50 + 0.01 * n) for n in range(41)],
        "no periodic axis": [(-50 + 0.01 * n, 50 + 0.01 * n) for n in range(41)],
    }
    flags = "ss pp pp" if which == "no periodic axis" else "pp pp pp"
    accepted(tmp_path, dumps(tmp_path, box=growth[which], flags=flags))


def test_digits_that_do_not_resolve_the_spread_are_refused(tmp_path):
    shifted = [x + 100.0 for x in X]
    place = 'coordinates = ["x - 100"]'
    coarse = [write_dump(tmp_path / f"{i}.dump", x, digits=6) for i, x in enumerate(shifted)]
    text = refused(tmp_path, coarse, "must be written to 0.001 of the spread", microstate=place)
    assert "steps of 0.001" in text
    fine = [write_dump(tmp_path / f"{i}.dump", x, digits=9) for i, x in enumerate(shifted)]
    accepted(tmp_path, fine, microstate=place)


def test_digits_that_become_coarse_later_are_refused(tmp_path):
    """Six digits resolve the spread at the start, and no longer where the particles are led to."""
    paths = trap_paths(replicas=6000, instants=6)
    led = [x + 1000.0 * (np.arange(len(x)) > 2)[:, None] for x in paths]
    place = 'coordinates = ["x"]'
    coarse = [write_dump(tmp_path / f"{i}.dump", x, digits=6) for i, x in enumerate(led)]
    text = refused(tmp_path, coarse, "must be written to 0.001 of the spread", microstate=place)
    assert "steps of 0.01" in text
    fine = [write_dump(tmp_path / f"{i}.dump", x, digits=10) for i, x in enumerate(led)]
    accepted(tmp_path, fine, microstate=place)


@pytest.mark.parametrize("flags", ["pp pp pp", "ff pp pp"])
def test_coordinates_that_jump_through_the_box_are_refused(flags, tmp_path):
    """A particle that leaves a periodic box on one side is found on the other; a wall is none."""
    low, length = -0.2, 0.4
    wrapped = [(x - low) % length + low for x in X]
    assert any((np.abs(np.diff(x, axis=0)) > length / 2).any() for x in wrapped)
    box = [(low, low + length)] * len(X[0])
    files = [
        write_dump(tmp_path / f"w{i}.dump", x, box=box, flags=flags) for i, x in enumerate(wrapped)
    ]
    if flags.startswith("p"):
        refused(tmp_path, files, "x must be unwrapped; until t = .* left on one side")
    else:
        accepted(tmp_path, files)


def test_particles_that_are_unwrapped_or_at_rest_are_accepted(tmp_path):
    """Guards the test above: unwrapped ones leave the box, others stay in it."""
    box = [(-0.2, 0.2)] * len(X[0])
    led = [x + 0.3 * (np.arange(len(x)) > 5)[:, None] for x in X]
    files = [write_dump(tmp_path / f"{i}.dump", x, box=box) for i, x in enumerate(led)]
    accepted(tmp_path, files)
    accepted(tmp_path, dumps(tmp_path))


def test_a_trajectory_that_is_given_twice_is_refused(tmp_path):
    good, _ = dumps(tmp_path)
    refused(tmp_path, [good, tmp_path / "." / "good.dump"], "must be given once")


def test_a_trajectory_is_not_overwritten(tmp_path):
    files, study = dumps(tmp_path), description(tmp_path)
    before = files[1].read_bytes()
    with pytest.raises(FileExistsError, match="one of the trajectories"):
        import_trajectories(files, StudyDescription.from_toml(study), files[1])
    assert files[1].read_bytes() == before
    text = study.read_text()
    named = [*map(str, files), "--describe", str(study), "--out", str(study)]
    assert main(["import", *named]) == 1
    assert study.read_text() == text


def test_few_random_values_have_no_steps():
    gauge = ResolutionGauge()
    gauge.add(np.random.default_rng(0).normal(size=30))
    assert gauge.resolution() == 0.0
    gauge = ResolutionGauge()
    gauge.add(np.round(np.random.default_rng(0).normal(size=600), 2))
    assert gauge.resolution() == pytest.approx(0.01)


def test_a_rate_that_contradicts_the_control_is_refused(tmp_path):
    load = f'strain = "a*sin(w*t)"\nstrain_rate = "{{}}"\n{FORCE}'
    files = dumps(tmp_path)
    text = refused(tmp_path, files, "must be the slope of the control", load=load.format("a*w"))
    assert "good.dump" in text
    accepted(tmp_path, files, load=load.format("a*w*cos(w*t)"))


def test_a_time_step_that_contradicts_the_file_is_refused(tmp_path):
    files = [write_npz(tmp_path / f"{i}.npz", x) for i, x in enumerate(X)]
    study = description(tmp_path)
    study.write_text(study.read_text().replace("time_step = 0.01", "time_step = 0.02"))
    with pytest.raises(ValueError, match=r"must be that of its times and steps, 0.01"):
        import_trajectories(files, StudyDescription.from_toml(study), tmp_path / "data.h5")


def test_instants_without_time_are_refused(tmp_path):
    study = description(tmp_path)
    study.write_text(study.read_text().replace("time_step = 0.01", ""))
    with pytest.raises(ConfigError, match=r"time_step must be given, as .* holds no times"):
        import_trajectories(
            dumps(tmp_path), StudyDescription.from_toml(study), tmp_path / "data.h5"
        )


def test_a_table_without_a_row_for_an_instant_is_refused(tmp_path):
    load = f'table = "{{stem}}.ave"\nstrain = "v_lambda"\n{FORCE}'
    files = dumps(tmp_path)
    for file, every in zip(files, (1, 2), strict=True):
        steps = np.arange(0, 41, every)
        control = {"v_lambda": np.sin(TIME_STEP * steps)}
        write_ave_time(file.with_suffix(".ave"), control, steps)
    refused(tmp_path, files, "20 of 41 have none, the first is step 1", load=load)
    steps = np.arange(41)
    write_ave_time(files[1].with_suffix(".ave"), {"v_lambda": 0.01 * steps}, steps)
    accepted(tmp_path, files, load=load)
    refused_name = load.replace("v_lambda", "v_lamda")
    (tmp_path / "data.h5").unlink()
    refused(tmp_path, files, "'v_lamda' is not known .* v_lambda", load=refused_name)


def test_columns_of_words_are_refused_where_they_are_used(tmp_path):
    """OpenMM's StateDataReporter writes progress and remaining time, which are no numbers."""
    files, instants = dumps(tmp_path), len(X[0])
    head = '#"Progress (%)","Step","Time (ps)","Control","Time Remaining"'
    for path in files:
        rows = [f"{n / 2}%,{n},{TIME_STEP * n:.12g},{0.1 * n},--" for n in range(instants)]
        path.with_suffix(".csv").write_text("\n".join([head, *rows]) + "\n")
    load = f'table = "{{stem}}.csv"\nstrain = "{{}}"\n{FORCE}'
    accepted(tmp_path, files, load=load.replace("{}", "0.01*control"))
    (tmp_path / "data.h5").unlink()
    words = "all entries of time_remaining must be numbers; found '--'"
    refused(tmp_path, files, words, load=load.replace("{}", "time_remaining"))


def test_a_table_that_is_missing_is_named(tmp_path):
    load = f'table = "{{stem}}.log"\nstrain = "v_lambda"\n{FORCE}'
    refused(tmp_path, dumps(tmp_path), "good.log: no such table", load=load)


def test_files_of_different_lengths_are_refused(tmp_path):
    refused(tmp_path, dumps(tmp_path, x=X[1][:30]), "as many instants as the first, 41")


def test_files_of_different_particles_are_refused(tmp_path):
    refused(tmp_path, dumps(tmp_path, x=X[1][:, :30]), "as many particles as the first")


def test_files_of_different_times_are_refused_unless_each_begins_at_zero(tmp_path):
    files = dumps(tmp_path, steps=range(100, 141))
    refused(tmp_path, files, 'Write `zero = "first"`')
    accepted(tmp_path, files, time='zero = "first"')


def test_values_for_other_numbers_of_protocols_are_refused(tmp_path):
    files = dumps(tmp_path)
    refused(tmp_path, files[:1], "a must be a list of one number for each of the 1 protocols")
    refused(tmp_path, files, "files = 3 must divide the number of trajectories", layout="files = 3")


def test_positions_that_are_no_numbers_are_refused(tmp_path):
    files = dumps(tmp_path)
    text = files[1].read_text().splitlines()
    text[-1] = text[-1].split()[0] + " nan"
    files[1].write_text("\n".join(text))
    refused(tmp_path, files, "x must be numbers; at step 40")


def test_formats_that_are_not_known_are_refused(tmp_path):
    other = tmp_path / "a.pdb"
    other.write_text("ATOM 1\n")
    refused(tmp_path, [other, tmp_path / "good.dump"], "must be a text dump of LAMMPS, or end in")


def test_damaged_h5md_is_refused(tmp_path):
    path = write_h5md(tmp_path / "a.h5", X[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(tmp_path, [path, tmp_path / "good.dump"], "must be complete")


def test_npz_with_a_password_is_refused(tmp_path):
    path = tmp_path / "0.npz"
    np.savez(path, time=np.arange(3.0), x=np.zeros((3, 2)))
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of each array, twice
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    refused(tmp_path, [path, tmp_path / "good.dump"], "must be an NPZ that numpy.savez wrote")


def test_csv_with_an_id_that_occurs_twice_is_refused(tmp_path):
    files = [write_long_csv(tmp_path / f"{i}.csv", x) for i, x in enumerate(X)]
    lines = files[0].read_text().splitlines()
    lines[2] = ",".join([*lines[1].split(",")[:2], "0.1"])
    files[0].write_text("\n".join(lines) + "\n")
    refused(tmp_path, files, "occurs more than once")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"microstate": ""}, "either coordinates or bonds"),
        ({"microstate": 'coordinates = ["q"]'}, "'q' is not known"),
        ({"load": FORCE}, "strain must be given where it is controlled"),
        ({"load": f'strain = "a*sin(w*tt)"\n{FORCE}'}, "'tt' is not known"),
        ({"load": 'strain = "t"\nstress = ["t", "t"]'}, "the 1 components of the strain"),
        ({"load": 'strain = "t"\nforce_ = "x"'}, "unknown key 'force_'"),
        ({"layout": "replicas = 7"}, "replicas must divide the 60 particles"),
        ({"layout": "particles = [1, 61]"}, "particles must end at 60"),
        ({"layout": "window = 50"}, "must hold a window of 50 instants"),
        ({"layout": 'order = "site"'}, "must be one of"),
        ({"time": "thin = 0"}, "thin must be at least 1"),
        ({"microstate": 'coordinates = ["x"]\nelements = "points"'}, "averaged strain"),
        ({"load": 'drive = "end"\nstrain = "t"'}, "control must be given"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(parts, words, tmp_path):
    refused(tmp_path, dumps(tmp_path), words, **parts)


def test_a_table_without_friction_is_refused(tmp_path):
    study = description(tmp_path)
    study.write_text(study.read_text().replace("friction = 1.0\n", ""))
    with pytest.raises(ConfigError, match="friction is required"):
        StudyDescription.from_toml(study)


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    files = [str(path) for path in dumps(tmp_path, ids={7: [1, 1, *range(3, 61)]})]
    study, out = str(description(tmp_path)), str(tmp_path / "data.h5")
    assert main(["import", *files, "--describe", study, "--out", out]) == 1
    printed = capsys.readouterr().err.strip()
    assert len(printed.splitlines()) == 1
    assert "bad.dump: each id must occur once" in printed


def test_an_import_that_fails_leaves_the_former_file(tmp_path):
    out = tmp_path / "data.h5"
    accepted(tmp_path, dumps(tmp_path))
    before = out.read_bytes()
    study = StudyDescription.from_toml(description(tmp_path))
    with pytest.raises(ValueError, match="occurs more than once"):
        import_trajectories(dumps(tmp_path, ids={7: [1, 1, *range(3, 61)]}), study, out)
    assert out.read_bytes() == before
