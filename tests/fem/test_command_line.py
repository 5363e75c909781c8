"""``ibvonn-fem``: what it prints, what it writes and its exit codes, without a display."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem.cli import main

EXACT_TRAP = Path(__file__).parents[2] / "exported_models" / "exact_trap"


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("time,strain\n0,0.1\n0.5,0.1\n1,0.2\n")
    return path


def test_check_prints_a_table_and_returns_zero(capsys):
    assert main(["check", str(EXACT_TRAP), "--kernel", "onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("all checks passed")
    assert any(line.startswith("onnx: reference values") and " ok " in line for line in lines)
    assert any(line.startswith("onnx: tangent") and "<= 1e-07" in line for line in lines)


def test_check_prints_json_for_machines(capsys):
    assert main(["check", str(EXACT_TRAP), "--kernel", "onnx", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    values = {check["name"]: check["value"] for check in document["checks"]}
    assert values["onnx: reference values"] <= 1e-10
    assert values["files"] is None


def test_check_returns_one_where_something_is_wrong(tmp_path, capsys):
    shutil.copytree(EXACT_TRAP, tmp_path / "model")
    (tmp_path / "model" / "rates.onnx").unlink()
    assert main(["check", str(tmp_path / "model")]) == 1
    assert "the file rates.onnx, listed in the manifest, is missing" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "nothing")]) == 1


def test_run_point_writes_a_table_and_a_figure(history, capsys):
    assert (
        main(["run-point", str(EXACT_TRAP), "--kernel", "onnx", "--strain-history", str(history)])
        == 0
    )
    assert "3 instants of exact_trap" in capsys.readouterr().out
    values = np.loadtxt(history.with_name("history_response.csv"), delimiter=",", skiprows=1)
    relaxed = 0.05 * (1.0 + np.exp(-1.0))  # Zener: moduli 1 and 1/2, relaxation time 1/2
    np.testing.assert_allclose(values[:2, 2], [0.1, relaxed], atol=1e-3 * 0.12)
    figure = history.with_name("history_response.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


def test_run_point_takes_one_step_per_line_with_infinite_tolerance(history, capsys):
    options = ["run-point", str(EXACT_TRAP), "--kernel", "onnx", "--tolerance", "inf"]
    assert main([*options, "--strain-history", str(history)]) == 0
    assert "implicit steps per line" not in capsys.readouterr().out
    values = np.loadtxt(history.with_name("history_response.csv"), delimiter=",", skiprows=1)
    np.testing.assert_allclose(values[:, 2], [0.1, 0.075, 0.2 - 0.125 / 2.0])


@pytest.mark.parametrize("tolerance", ["0", "-1", "nan"])
def test_run_point_refuses_a_tolerance_that_is_not_above_zero(history, capsys, tolerance):
    options = ["run-point", str(EXACT_TRAP), "--kernel", "onnx", "--tolerance", tolerance]
    assert main([*options, "--strain-history", str(history)]) == 1
    assert "tolerance must be above zero" in capsys.readouterr().err


def test_run_point_refuses_a_figure_that_cannot_be_drawn_before_it_writes_anything(history, capsys):
    options = ["run-point", str(EXACT_TRAP), "--strain-history", str(history)]
    assert main([*options, "--figure", str(history.with_name("figure.txt"))]) == 1
    error = capsys.readouterr().err
    assert "must have an ending in which figures can be drawn" in error
    assert "End it in .png" in error
    assert list(history.parent.iterdir()) == [history]


def test_run_point_needs_no_display(history):
    environment = {"PATH": "/usr/bin:/bin", "MPLBACKEND": "TkAgg", "HOME": str(history.parent)}
    command = [sys.executable, "-m", "ibvonn_fem", "run-point", str(EXACT_TRAP)]
    subprocess.run(
        [*command, "--kernel", "onnx", "--strain-history", str(history)],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert history.with_name("history_response.png").exists()


def test_run_point_reports_where_the_law_extrapolates(history, capsys):
    history.write_text("0 0.0\n1 50.0\n")
    options = [
        "run-point",
        str(EXACT_TRAP),
        "--kernel",
        "onnx",
        "--strain-history",
        str(history),
        "--no-figure",
    ]
    assert main(options) == 0
    assert "1 of 2 instants are outside the range of the training" in capsys.readouterr().err
    assert main([*options, "--strict-range"]) == 1
    assert "leave out strict_range" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0.1\n0,0.2\n", "line 2: time must be strictly increasing; found 0 after 0"),
        ("0,0.1\n1,nan\n", "line 2 must hold finite numbers; found '1,nan'"),
    ],
)
def test_run_point_refuses_in_one_sentence(history, capsys, text, message):
    history.write_text(text)
    assert (
        main(["run-point", str(EXACT_TRAP), "--kernel", "onnx", "--strain-history", str(history)])
        == 1
    )
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["check"], ["run-point", "model"]])
def test_wrong_arguments_return_two(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: ibvonn-fem" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["check"], ["run-point"]])
def test_help_is_worth_reading(command, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    assert len(capsys.readouterr().out.splitlines()) > 12
