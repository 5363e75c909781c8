"""What cannot be written as C is refused in a sentence, by the function and on the command line."""

from __future__ import annotations

import law_reference as reference
import pytest
from model_directory import EXPORTED, write_model

from ibvonn_fem.cli import main
from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.errors import ExportedModelError

RANDOM = reference.random_parameters(1, 2, seed=5, width=8)


def test_models_without_parameters_are_refused(tmp_path):
    model = write_model(tmp_path / "graph", RANDOM, family="graph")
    with pytest.raises(ExportedModelError, match=r"families convex_potentials and populations can"):
        emit_c(model, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_laws_too_large_for_the_stack_are_refused(tmp_path):
    model = write_model(tmp_path / "large", reference.random_parameters(6, 6, width=500))
    with pytest.raises(ExportedModelError, match=r"bytes of workspace"):
        emit_c(model)


@pytest.mark.export
def test_command_line_writes_three_files(tmp_path, capsys):
    model = EXPORTED / "exact_trap"
    assert main(["emit-c", str(model), "--output", str(tmp_path), "--directions", "25"]) == 0
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["constitutive.c", "constitutive.f90", "constitutive.h"]
    assert capsys.readouterr().out.count(" bytes\n") == 3
    assert "#define LAW_SPACE_DIRECTIONS 25" in (tmp_path / "constitutive.c").read_text()


@pytest.mark.export
def test_command_line_refuses_in_one_sentence(tmp_path, capsys):
    assert main(["emit-c", str(tmp_path)]) == 1
    assert main(["emit-c", str(EXPORTED / "exact_trap"), "--directions", "12"]) == 1
    error = capsys.readouterr().err
    assert "not an exported model" in error
    assert "the number of directions must be one of" in error
