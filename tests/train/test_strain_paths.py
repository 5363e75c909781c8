"""Paths in the space of strains, in Python and in TOML, and systems that follow them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data import ClassSymmetry, TrajectoryEnsemble
from ibvonn_train.data.control_rates import require_rate
from ibvonn_train.files.toml_tables import ConfigError
from ibvonn_train.simulation import (
    MicroscopicSystem,
    Protocol,
    repeat_from_first,
    simulate,
    strain_path,
)
from ibvonn_train.simulation.protocols import ramp, sinusoid, triangle
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.strain_paths import (
    along,
    load_hold_unload,
    strain_from_file,
    strain_loops,
    strain_test_set,
    strain_training_set,
    strain_walk,
)
from ibvonn_train.simulation.study import build_protocols, run_set

LOW, HIGH = (-0.1, -0.2, 0.0), (0.3, 0.2, 0.1)
TIME = np.linspace(0.0, 5.0, 501)


def test_a_proportional_path_is_a_protocol_times_a_direction() -> None:
    path = along(sinusoid(0.5, 2.0), (1.0, 0.0, -2.0), (0.1, 0.2, 0.3))
    value, rate = path.value(TIME), path.rate(TIME)
    assert value.shape == rate.shape == (501, 3)
    np.testing.assert_allclose(value[:, 0] - 0.1, 0.5 * np.sin(np.pi * TIME), atol=1e-15)
    np.testing.assert_allclose(value[:, 2] - 0.3, -2 * (value[:, 0] - 0.1), atol=1e-15)
    np.testing.assert_allclose(rate[:, 2], -np.pi * np.cos(np.pi * TIME), atol=1e-14)


def test_a_strain_path_goes_through_its_points() -> None:
    path = strain_path([0.0, 1.0, 3.0], [[0.0, 0.0], [0.1, -0.2], [0.1, 0.0]])
    np.testing.assert_allclose(path.value(np.array([0.5, 1.0, 2.0])),
                               [[0.05, -0.1], [0.1, -0.2], [0.1, -0.1]], atol=1e-15)  # fmt: skip
    np.testing.assert_allclose(path.rate(np.array([0.0, 1.0, 4.0])),
                               [[0.1, -0.2], [0.0, 0.1], [0.0, 0.0]], atol=1e-15)  # fmt: skip


@pytest.mark.parametrize(("hold", "back"), [(0.0, False), (0.4, False), (0.3, True)])
def test_a_walk_stays_in_its_box_and_holds_and_returns(hold: float, back: bool) -> None:
    path = strain_walk(5.0, 6, LOW, HIGH, seed=3, hold=hold, back=back)
    value, rate = path.value(TIME), path.rate(TIME)
    assert (value >= np.array(LOW) - 1e-12).all()
    assert (value <= np.array(HIGH) + 1e-12).all()
    assert np.abs(value[0]).max() == 0.0
    assert bool(np.abs(value[-1]).max() < 1e-12) is back
    resting = (rate[:-1] == 0).all(1).mean()
    assert resting == pytest.approx(hold, abs=0.02)
    again = strain_walk(5.0, 6, LOW, HIGH, seed=3, hold=hold, back=back)
    assert np.array_equal(again.value(TIME), value)
    other = strain_walk(5.0, 6, LOW, HIGH, seed=4, hold=hold, back=back)
    assert not np.array_equal(other.value(TIME), value)


def families() -> list[Protocol]:
    training = strain_training_set(LOW, HIGH, 5.0, seed=1)
    unseen = strain_test_set(LOW, HIGH, 5.0, seed=1)
    assert len(training) == 14
    assert len(unseen) == 4
    return [*training, *unseen]


def test_walks_turn_at_hundredths_of_their_duration() -> None:
    """So a record of a hundred intervals has every corner."""
    for seed in range(20):
        walk = strain_walk(7.0, 6, [-1.0, -1.0], [1.0, 1.0], seed=seed, hold=0.4, back=True)
        grid = 7.0 * np.arange(101) / 100
        between = 7.0 * (np.arange(100) + 0.37) / 100
        lines = [np.interp(between, grid, column) for column in walk.value(grid).T]
        np.testing.assert_allclose(walk.value(between), np.transpose(lines), atol=1e-12)


def test_walks_turn_near_the_faces_of_their_box_as_often_as_chebyshev_nodes() -> None:
    """P(|x| > 0.9 of half the range) = 1 − (2/π) arcsin 0.9 = 0.287; uniform draws have 0.1."""
    walks = [strain_walk(100.0, 6, [-1.0] * 3, [1.0] * 3, seed=seed) for seed in range(300)]
    corners = []
    for walk in walks:
        rate = walk.rate(np.arange(100) + 0.5)
        turns = 1 + np.flatnonzero(np.abs(np.diff(rate, axis=0)).max(1) > 1e-9)
        corners.append(walk.value(turns.astype(float)))
    near = (np.abs(np.concatenate(corners)) > 0.9).mean()
    assert near == pytest.approx(1 - 2 / np.pi * np.arcsin(0.9), abs=0.025)


def test_load_hold_unload_and_loops_end_at_rest() -> None:
    held, other = load_hold_unload(100.0, [[0.1, 0.0, 0.2], [0.0, -0.1, 0.0]])
    times = np.array([0.0, 35.0, 50.0, 55.0, 70.0, 85.0, 100.0])
    factors = np.array([0.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(held.value(times), np.outer(factors, [0.1, 0.0, 0.2]), atol=1e-12)
    assert other.value(np.array([50.0])) == pytest.approx(np.array([[0.0, -0.1, 0.0]]))
    (loop,) = strain_loops(9.0, [[[1.0, 0.0], [1.0, 1.0]]])
    np.testing.assert_allclose(
        loop.value(np.array([0.0, 3.0, 6.0, 7.5, 9.0])),
        [[0, 0], [1, 0], [1, 1], [0.5, 0.5], [0, 0]],
        atol=1e-12,
    )


def test_a_path_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("# time, 11, 22\n0, 0, 0\n2, 0.1, 0.0\n3, 0.1, -0.2\n")
    path = strain_from_file(str(file))
    np.testing.assert_allclose(path.value(np.array([1.0, 2.5])), [[0.05, 0.0], [0.1, -0.1]])
    for text, words in (("1, two\n", "rows"), ("1, 2, 3\n", "at least two rows"), (None, "rows")):
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        with pytest.raises(ValueError, match=words):
            strain_from_file(str(file))


def test_the_families_stay_in_their_box_and_reach_its_faces() -> None:
    low, high = np.array(LOW), np.array(HIGH)
    values = [path.value(TIME) for path in families()]
    for value in values:
        assert (value >= low - 1e-12).all()
        assert (value <= high + 1e-12).all()
    directions = [
        value for path, value in zip(families(), values, strict=True) if "along" in path.name
    ]
    reach = [np.abs(np.where(v > 0, v / high, v / np.minimum(low, -1e-9))).max()
             for v in directions[:6]]  # fmt: skip
    assert min(reach) == pytest.approx(1.0, abs=1e-6)
    everything = np.concatenate(values)
    assert np.linalg.matrix_rank(np.cov(everything.T), tol=1e-6) == 3


def test_rates_of_every_family_are_the_slopes() -> None:
    for path in families():
        for component in range(3):
            value, rate = path.value(TIME)[:, component], path.rate(TIME)[:, component]
            require_rate(path.name, TIME, value, rate)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: along(ramp(1.0), (0.0, 0.0)), "not all zero"),
        (lambda: along(ramp(1.0), (1.0, 0.0), (1.0,)), "origin of the same size"),
        (lambda: strain_path([0.0, 1.0], [[0.0, 1.0]]), "one list of n_ε numbers for each"),
        (lambda: strain_path([0.0, 1.0], [[0.0, 1.0], [0.0]]), "one list of n_ε numbers for each"),
        (lambda: strain_walk(1.0, 3, LOW, HIGH[:2], 0), "low, high and start must be lists"),
        (lambda: strain_walk(1.0, 3, HIGH, LOW, 0), "with the start between the others"),
        (lambda: strain_walk(1.0, 3, LOW, HIGH, 0, hold=1.0), r"hold in \[0, 1\)"),
    ],
)
def test_paths_without_meaning_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


class Sheared(MicroscopicSystem):
    """A particle in two dimensions, tied by a spring to a point that two strains move."""

    name = "sheared"
    friction = 1.0
    degree_friction = (1.0, 4.0)
    thermal_energy = 0.02

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        return 0.5 * ((x - control[:, :, None]) ** 2 + x * x).sum(1)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn((len(control), 2, n_replica), generator=generator, dtype=control.dtype)
        return control[:, :, None] / 2 + 0.1 * noise

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        return x.transpose(1, 2)[:, None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        return microstate[:, 0].transpose(1, 2)


def test_a_system_of_ones_own_follows_a_strain_of_two_components() -> None:
    """Each degree relaxes with its own drag to half of its strain; σ = ε − ⟨x⟩ by the slope."""
    path = along(triangle(1.0, 2.0, 2.0), (1.0, -0.5))
    data = small_ensemble(Sheared(), [path], duration=5.0, replicas=4000)
    assert data.strain.shape == (1, 501, 1, 2)
    assert data.parameters["degree_friction"] == [1.0, 4.0]
    x, strain = data.samples[0, :, 0].astype(float), data.strain[0, :, 0]
    np.testing.assert_allclose(data.stress[0, :, 0], strain - x.mean(1), atol=1e-6)
    np.testing.assert_allclose(data.stress_variance[0, :, 0], x.var(1, ddof=1), rtol=1e-4)
    mean = x[0].mean(0)
    worst = 0.0
    for n in range(500):
        mean = mean + 0.01 / np.array(Sheared.degree_friction) * (strain[n] - 2 * mean)
        worst = max(worst, np.abs((x[n + 1].mean(0) - mean) / (0.1 / np.sqrt(4000))).max())
    assert worst < 4.5
    # Variances decay from 0.01 to k_BT/2 = 0.01 whatever the drag: the noise has the drag too.
    assert np.abs(x[-1].var(0) / 0.0101 - 1).max() < 4 * np.sqrt(2 / 4000)


def test_a_vector_record_is_repeated_from_its_first_microstates() -> None:
    path = along(sinusoid(0.3, 2.0), (1.0, -0.5))
    data = small_ensemble(Sheared(), [path], duration=1.0, replicas=20, stride=5)
    again = repeat_from_first(data, factor=2, seed=9, system=Sheared(), progress=False)
    np.testing.assert_allclose(again.strain, data.strain, atol=1e-12)
    np.testing.assert_allclose(again.drive.strain_rate, data.drive.strain_rate, atol=1e-9)
    np.testing.assert_allclose(again.samples[0, 0, 0, :20], data.samples[0, 0, 0], atol=1e-7)


def test_frictions_must_be_one_for_each_degree() -> None:
    class Three(Sheared):
        degree_friction = (1.0, 2.0, 3.0)

    with pytest.raises(ValueError, match=r"each of the 2 degrees .* found \[1.0, 2.0, 3.0\]"):
        small_ensemble(Three(), [along(ramp(1.0), (1.0, 0.0))], duration=0.1, replicas=4)


def test_protocols_of_one_set_have_one_number_of_components() -> None:
    paths = [along(ramp(1.0), (1.0, 0.0)), ramp(1.0)]
    with pytest.raises(ValueError, match=r"of one number of components; found \[1, 2\]"):
        simulate(Sheared(), paths, duration=0.1, time_step=0.01, replicas=4, seed=0, progress=False)


TABLE = """
[simulation]
system = "hookean_dumbbell"
time_step = 0.01
replicas = 10

[[simulation.sets]]
name = "train"
seed = 1
duration = 1.0
stride = 10

[[simulation.sets.protocols]]
kind = "ramp"
rate = [0.1, 0.2]
direction = [1.0, 0.0, 0.5]

[[simulation.sets.protocols]]
kind = "strain_path"
times = [0.0, 1.0]
strains = [[0, 0, 0], [0.1, 0.0, 0.2]]

[[simulation.sets.protocols]]
kind = "strain_walk"
duration = 1.0
segments = 3
low = [-0.1, -0.1, -0.1]
high = [0.1, 0.1, 0.1]
seed = [1, 2, 3]

[[simulation.sets.protocols]]
kind = "strain_training_set"
low = [-0.1, -0.1, -0.1]
high = [0.1, 0.1, 0.1]
seed = 7
walks = 2
directions = 2
"""


def study(tmp_path: Path, text: str) -> SimulationConfig:
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    return SimulationConfig.from_toml(tmp_path / "study.toml")


def test_a_toml_gives_paths_in_the_space_of_strains(tmp_path: Path) -> None:
    config = study(tmp_path, TABLE)
    data = run_set(config, config.sets[0], folder=tmp_path, progress=False)
    assert data.strain.shape == (10, 11, 1, 3)
    np.testing.assert_allclose(data.strain[1, -1, 0], [0.2, 0.0, 0.1], rtol=1e-12)
    np.testing.assert_allclose(data.strain[2, -1, 0], [0.1, 0.0, 0.2], rtol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1.0, 0.0, 0.5]", "1.0", "direction: must be a list; got 1.0"),
        ("[1.0, 0.0, 0.5]", "[0.0, 0.0, 0.0]", "not all zero"),
        ("direction = [1.0, 0.0, 0.5]", "origin = [0, 0, 0]", "origin goes with a direction"),
        ("strains = [[0, 0, 0], [0.1", "strain = [[0, 0, 0], [0.1", "unknown key 'strain'"),
        ("low = [-0.1, -0.1, -0.1]", "low = -0.1", "low: must be a list"),
    ],
)
def test_mistakes_in_paths_are_sentences(tmp_path: Path, old: str, new: str, words: str) -> None:
    config = study(tmp_path, TABLE.replace(old, new, 1))
    with pytest.raises(ConfigError, match=words):
        build_protocols(config, config.sets[0])


class TwoBonds(Sheared):
    """The same particle, its two coordinates as bonds of two classes that a mirror exchanges."""

    name = "two_bonds"
    degree_friction = None
    classes = ("first", "second")
    strain_basis = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    symmetry = (
        ClassSymmetry.identity(2, 2),
        ClassSymmetry((1, 0), np.array([[0.0, 1.0], [1.0, 0.0]])),
    )

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        return x[..., None]


@pytest.mark.parametrize("record", ["samples", "histogram"])
def test_like_elements_of_two_classes_are_two_sites(record: str, tmp_path: Path) -> None:
    path = along(sinusoid(0.3, 2.0), (1.0, -0.5))
    data = small_ensemble(TwoBonds(), [path], duration=1.0, replicas=200, record=record)
    assert (data.points, data.sites, data.replicas, data.microstate_size) == (1, 2, 200, 1)
    mean = data.histogram.mean() if record == "histogram" else data.samples.mean(3, dtype=float)
    seen = np.einsum(
        "aqe,pte->ptaq", data.strain_basis, data.strain[:, :, 0] - data.stress[:, :, 0]
    )
    np.testing.assert_allclose(mean, seen, atol=1e-6)  # σ = ε − ⟨x⟩, class by class
    data.save(tmp_path / "two.h5")
    read = TrajectoryEnsemble.load(tmp_path / "two.h5")
    assert read.sha256() == data.sha256()
    assert read.symmetry[1].classes == (1, 0)


def test_sites_that_are_no_classes_are_refused_before_the_simulation() -> None:
    class Nameless(TwoBonds):
        classes = ("element",)

    with pytest.raises(ValueError, match=r"one site for each of the 1 classes .* found 2"):
        small_ensemble(Nameless(), [along(ramp(1.0), (1.0, 0.0))], duration=0.1, replicas=4)
