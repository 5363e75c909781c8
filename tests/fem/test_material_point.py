"""One point without a mesh: updates, refusals, and the strain-driven history."""

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import EnvelopeWarning, Scaled, load_model
from ibvonn_fem.errors import EnvelopeError, ExportedModelError, LocalSolveError, StepError
from ibvonn_fem.model import material_point
from ibvonn_fem.model.material_point import (
    read_strain_history,
    resolve_point,
    run_point,
    write_history,
)
from ibvonn_fem.model.point_reports import find_failures

EXPORTED = Path(__file__).parents[2] / "exported_models"
EXACT_TRAP = EXPORTED / "exact_trap"


@pytest.mark.filterwarnings("ignore:.*outside the range")  # of time steps
def test_the_exported_exact_trap_is_the_zener_solid(zener):
    """The closed form in NumPy and the exported graphs agree on random steps."""
    exported, closed = load_model(EXACT_TRAP, kernel="onnx"), zener()
    rng = np.random.default_rng(0)
    strain, strain_old, statev = 0.4 * rng.uniform(-1.0, 1.0, (3, 200, 1))
    dt = 10.0 ** rng.uniform(-4.0, 2.0, 200)
    first, second = (m.update(strain, strain_old, statev, dt) for m in (exported, closed))
    for name in ("stress", "statev_new", "tangent", "energy", "dissipation"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-12)


def test_the_order_of_points_does_not_matter(zener):
    model = load_model(EXACT_TRAP, kernel="onnx")
    rng = np.random.default_rng(1)
    strain, strain_old, statev = 0.4 * rng.uniform(-1.0, 1.0, (3, 50, 1))
    order = rng.permutation(50)
    straight = model.update(strain, strain_old, statev, 0.1)
    shuffled = model.update(strain[order], strain_old[order], statev[order], 0.1)
    np.testing.assert_array_equal(shuffled.stress, straight.stress[order])


def test_no_points_are_no_problem():
    model = load_model(EXACT_TRAP, kernel="onnx")
    empty = np.empty((0, 1))
    assert model.update(empty, empty, empty, 0.1).stress.shape == (0, 1)
    assert model.rates(empty, empty).rate.shape == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": -0.1}, r"dt must be from 0 \(an elastic step\) to 1e\+100; found -0.1"),
        ({"dt": np.nan}, "dt must be from 0"),
        ({"dt": 1e308}, r"dt must be from 0 .* found 1e.308 at point 0.*equilibrium_state"),
        ({"dt": np.array([0.1, -1.0, 0.1])}, "found -1.0 at point 1"),
        ({"dt": np.zeros(2)}, r"dt must be one number or have shape \(3,\); found \(2,\)"),
        ({"strain": np.array([[0.0], [np.nan], [0.0]])}, "strain must be finite; found nan at po"),
        ({"strain_old": np.full((3, 1), np.inf)}, "strain_old must be finite; found inf"),
        ({"statev": np.full((3, 1), np.nan)}, "statev must be finite"),
        ({"strain": np.zeros(3)}, r"strain must have shape \(n, 1\); found \(3,\)"),
        ({"strain": np.zeros((3, 2))}, r"strain must have shape \(n, 1\); found \(3, 2\)"),
        ({"strain_old": np.zeros((2, 1))}, r"strain_old must have shape \(3, 1\); found \(2, 1\)"),
        ({"statev": np.zeros((3, 2))}, r"statev must have shape \(3, 1\); found \(3, 2\)"),
    ],
)
def test_bad_input_is_refused_with_the_offending_value(zener, change, message):
    arguments = {
        "strain": np.zeros((3, 1)),
        "strain_old": np.zeros((3, 1)),
        "statev": np.zeros((3, 1)),
        "dt": 0.1,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        zener().update(*arguments.values())


def test_a_point_that_does_not_converge_is_counted_and_named(zener):
    strain = np.array([[0.0], [0.3], [0.05], [0.4]])
    message = r"2 of 4 points did not converge; worst is point \d .* dt = 0.5. Reduce"
    with pytest.raises(LocalSolveError, match=message) as caught:
        zener(fails_beyond=0.1).update(strain, 0.0 * strain, 0.0 * strain, 0.5)
    assert (caught.value.failed, caught.value.total) == (2, 4)


def test_a_nan_residual_counts_as_a_failure_and_is_the_worst(zener):
    strain = np.zeros((3, 1))
    update = zener().kernel.update(strain, strain, strain, 0.1)
    update.residual[:] = [1e-3, np.nan, 0.0]
    report = find_failures(update, strain, 1e-10)
    assert (report.failed, report.worst) == (2, 1)


def test_outside_the_training_range_is_a_warning_with_the_fraction(zener):
    strain = np.array([[0.5], [1.5], [-3.0], [0.2]])
    message = r"2 of 4 points \(50 %\) .* worst is strain = -3, 2 half widths beyond it"
    with pytest.warns(EnvelopeWarning, match=message):
        zener().update(strain, strain, 0.0 * strain, 0.0)
    with pytest.raises(EnvelopeError, match=message):
        zener(strict_range=True).update(strain, strain, 0.0 * strain, 0.0)


def test_a_history_starts_with_an_elastic_jump_and_follows_the_recursion(zener):
    time, strain = np.array([0.0, 0.5, 2.0]), np.array([0.4, 0.4, 0.1])
    history = run_point(zener(), time, strain)
    α1 = 0.5 * 0.4 / 2.0
    α2 = (α1 + 1.5 * 0.1) / 4.0
    np.testing.assert_allclose(history.statev[:, 0], [0.0, α1, α2])
    np.testing.assert_allclose(history.stress[:, 0], strain - [0.0, α1, α2])
    assert history.dissipated[0] == 0.0
    assert np.all(np.diff(history.dissipated) > 0.0)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_steps_are_halved_until_the_stress_has_the_asked_accuracy(zener, tolerance):
    """σ = ε E_∞ + ε (E_0 − E_∞) exp(−t/τ) under held strain; the error is at most the change."""
    time = np.array([0.0, 0.5, 2.0])
    resolved = resolve_point(zener(), time, np.full(3, 0.4), tolerance=tolerance)
    exact = 0.2 * (1.0 + np.exp(-2.0 * time))
    error = np.abs(resolved.history.stress[:, 0] - exact).max() / 0.4
    assert 0.0 < resolved.change <= tolerance
    assert error < 1.1 * tolerance
    coarse = run_point(zener(), time, np.full(3, 0.4), steps=resolved.steps // 4)
    assert np.abs(coarse.stress[:, 0] - exact).max() / 0.4 > tolerance  # fewer would not do
    np.testing.assert_array_equal(resolved.history.time, time)


def test_a_history_that_no_number_of_steps_resolves_is_refused(zener, monkeypatch):
    monkeypatch.setattr(material_point, "MOST_STEPS", 8)
    with pytest.raises(StepError, match=r"with 8 steps per interval it changes by 0\.0"):
        resolve_point(zener(), [0.0, 1.0], [0.4, 0.4])


@pytest.mark.parametrize("steps", [0, -1])
def test_a_history_needs_a_step_per_interval(zener, steps):
    with pytest.raises(ValueError, match="steps must be at least 1"):
        run_point(zener(), [0.0, 1.0], [0.1, 0.1], steps=steps)


@pytest.mark.parametrize("time", [[0.0, 0.0], [1.0, 0.5], [0.0, np.nan], [0.0]])
def test_a_history_needs_increasing_time(zener, time):
    with pytest.raises(ValueError, match="run_point: time must"):
        run_point(zener(), time, [0.1, 0.2])


def test_histories_are_read_with_names_comments_and_either_separator(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("time, strain\n# a comment\n0, 0.1\n\n1 0.2  # held\n2;0.3\n")
    time, strain = read_strain_history(path, 1)
    np.testing.assert_array_equal(time, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(strain[:, 0], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows of numbers"),
        ("time,strain\n", "holds no rows of numbers"),
        ("0, 0.1\n1, 0.1, 0.2\n", r"line 2 must have 2 columns .*; found 3"),
        ("0, 0.1\n1, x\n", r"line 2 must hold numbers, .*; found '1, x'"),
    ],
)
def test_a_file_that_is_no_history_is_refused_with_the_line(tmp_path, text, message):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_strain_history(path, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("names", ["", "time, strain\n", "# 1 2\n\ntime strain\n"])
def test_no_row_of_a_history_is_lost(tmp_path, encoding, names):
    path = tmp_path / "history.csv"
    path.write_text(names + "0, 0.5\n1, 0.25\n", encoding=encoding)
    time, strain = read_strain_history(path, 1)
    np.testing.assert_array_equal(np.column_stack([time, strain]), [[0.0, 0.5], [1.0, 0.25]])


@pytest.mark.parametrize(
    "text",
    ["time, strain\nin seconds\n0, 0.5\n", "0, 0.5%\n1, 0.5\n", "O, 0.5\n1, 0.5\n"],
    ids=["two lines of names", "a unit", "a letter for a digit"],
)
def test_a_line_that_is_neither_names_nor_numbers_is_not_skipped(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"line \d must hold numbers, after at most one line of"):
        read_strain_history(path, 1)


def test_decimal_commas_do_not_become_columns(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("0,5; 0,1\n1,5; 0,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1 must have one kind of separator.*decimal points"):
        read_strain_history(path, 3)


@pytest.mark.parametrize("kernel", ["c", "onnx"])
def test_a_model_is_pickled_by_its_directory_and_comes_back_the_same(kernel):
    model = load_model(EXPORTED / "trap", kernel, strict_range=True)
    step = ([[0.3], [0.7]], [[0.0], [0.1]], [[0.0], [0.2]], 0.1)
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(copied.update(*step).stress, model.update(*step).stress)
        assert (copied.kernel.codename, copied.strict_range) == (model.kernel.codename, True)
    scaled = Scaled(model, stress_scale=2e6, time_scale=3.0, strain_scale=0.1, name="gel")
    copied = pickle.loads(pickle.dumps(scaled))
    assert (copied.manifest.name, copied.fingerprint()) == ("gel", scaled.fingerprint())
    step = ([[0.03]], [[0.0]], [[0.0]], 0.1)
    np.testing.assert_array_equal(copied.update(*step).stress, scaled.update(*step).stress)


def test_a_pickled_model_whose_directory_holds_another_is_refused(tmp_path):
    shutil.copytree(EXPORTED / "exact_trap", tmp_path / "law")
    pickled = pickle.dumps(load_model(tmp_path / "law"))
    shutil.rmtree(tmp_path / "law")
    shutil.copytree(EXPORTED / "trap", tmp_path / "law")
    with pytest.raises(ExportedModelError, match="another model than the one that was pickled"):
        pickle.loads(pickled)


def test_a_binary_file_is_no_history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(ValueError, match="cannot be read as text"):
        read_strain_history(path, 1)


def test_the_table_has_one_named_column_per_quantity(zener, tmp_path):
    model = zener()
    history = run_point(model, [0.0, 1.0], [0.1, 0.2])
    write_history(tmp_path / "out.csv", model, history)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "time,strain,stress,alpha,energy,dissipated,validity"
    values = np.loadtxt(tmp_path / "out.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(values[:, 2], history.stress[:, 0])


def test_points_need_neither_dolfinx_nor_torch():
    code = (
        "import sys\n"
        "for name in ('dolfinx', 'petsc4py', 'mpi4py', 'ufl', 'torch', 'onnx', 'ibvonn_train'):\n"
        "    sys.modules[name] = None\n"
        "import ibvonn_fem\n"
        f"model = ibvonn_fem.load_model({str(EXACT_TRAP)!r}, kernel='onnx')\n"
        "print(model.update([[0.2]], [[0.0]], [[0.0]], 0.5).stress[0, 0])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(float(run.stdout), 0.15)


def test_command_line_needs_neither_dolfinx_nor_torch(tmp_path):
    """`emit-c` of a law that becomes a solid, and `run-point`, where only NumPy and SciPy are."""
    (tmp_path / "history.csv").write_text("0, 0.1\n1, 0.1\n")
    code = (
        "import sys\n"
        "for name in ('dolfinx', 'basix', 'petsc4py', 'mpi4py', 'ufl', 'torch', 'onnx',\n"
        "             'ibvonn_train'):\n"
        "    sys.modules[name] = None\n"
        "from ibvonn_fem.cli import main\n"
        f"model, folder = {str(EXACT_TRAP)!r}, {str(tmp_path)!r}\n"
        "history = folder + '/history.csv'\n"
        "point = ['run-point', model, '--strain-history', history, '--no-figure']\n"
        "sys.exit(main(['emit-c', model, '--output', folder]) or main(point))\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"constitutive.c", "constitutive.h", "history_response.csv"}
