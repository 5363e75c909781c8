"""TorchScript and torch programs stand alone; the parity table tells a runtime that differs."""

import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from untrained_description import untrained_description

import ibvonn_train
from ibvonn_train.cli.parser import main
from ibvonn_train.closed_form.exact_models import export_kramers_chain, export_trap
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import ConstitutiveLaw, LawParameters, export_law, manifest
from ibvonn_train.export.graphs.interfaces import INPUTS, OUTPUTS
from ibvonn_train.export.reference_points import evaluate, graph_arrays, random_states
from ibvonn_train.export.runtimes import agreement as verify
from ibvonn_train.export.runtimes import torchscript

WITHOUT_OUR_PACKAGES = """
import sys
import warnings

sys.modules["ibvonn_train"] = sys.modules["ibvonn_fem"] = None
warnings.simplefilter("ignore")
import numpy as np
import torch

path, steps = sys.argv[1:]
load = torch.jit.load if path.endswith(".pt") else lambda p: torch.export.load(p).module()
with np.load(steps) as archive:
    inputs = [torch.tensor(archive[name]) for name in ("strain", "strain_old", "statev", "dt")]
    expected = [archive[f"out{i}"] for i in range(7)]
module = load(path)
with torch.no_grad():
    for n in (len(inputs[0]), 1):
        outputs = module(*(x[:n] for x in inputs))
        for value, reference in zip(outputs, expected, strict=True):
            gap = np.max(np.abs(value.numpy() - reference[:n]))
            assert gap <= 1e-10 * np.max(np.abs(reference)), gap
"""


def run_without_our_packages(tmp_path, path, law):
    span, generator = np.array([1e-2, 1.0]), np.random.default_rng(0)
    inputs = random_states(law.envelope, law.strain_size, span, 200, generator)
    values = graph_arrays(evaluate("c", law.update(), inputs, OUTPUTS), "c", "out")
    outputs = {f"out{i}": values[name] for i, name in enumerate(OUTPUTS)}
    np.savez(tmp_path / "steps.npz", **inputs, **outputs)
    command = [sys.executable, "-c", WITHOUT_OUR_PACKAGES, str(path), str(tmp_path / "steps.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def holds_a_path_of_this_machine(path):
    with zipfile.ZipFile(path) as archive:
        return any(
            str(Path(place).parent).encode() in archive.read(name)
            for name in archive.namelist()
            for place in (ibvonn_train.__file__, torch.__file__)
        )


def test_torchscript_runs_in_a_process_without_our_packages(tmp_path):
    law = ConstitutiveLaw.of(untrained_law(6, 2))
    torchscript.save(
        torchscript.script(law.update()), tmp_path / "constitutive.pt", {"ibvonn_manifest": "{}"}
    )
    assert not holds_a_path_of_this_machine(tmp_path / "constitutive.pt")
    run_without_our_packages(tmp_path, tmp_path / "constitutive.pt", law)


def test_torchscript_carries_the_manifest(tmp_path):
    path = export_trap(tmp_path / "trap") / "constitutive.pt"
    extra = {"ibvonn_manifest": ""}
    with warnings.catch_warnings(action="ignore"):
        torch.jit.load(str(path), _extra_files=extra)
    assert json.loads(extra["ibvonn_manifest"])["name"] == "exact_trap"


def test_torchscript_handles_bad_and_hard_points_as_torch_does():
    law = ConstitutiveLaw.of(untrained_law(1, 2))
    module = torchscript.script(law.update())
    span, generator = np.array([1e-6, 1e6]), np.random.default_rng(0)
    inputs = random_states(law.envelope, law.strain_size, span, 300, generator, reach=1e3)
    inputs["strain"][0], inputs["dt"][1] = np.nan, -1.0
    tensors = [torch.tensor(inputs[name]) for name in INPUTS]
    with torch.no_grad():
        for value, expected in zip(module(*tensors), law.update()(*tensors), strict=True):
            assert torch.allclose(value, expected, rtol=1e-8, atol=1e-8, equal_nan=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_trap(tmp_path_factory.mktemp("models") / "trap")


def test_parity_table_lists_every_runtime_on_every_set_of_states(exported):
    rows = verify.verify(exported, n_points=500)
    assert {(row.runtime, row.states) for row in rows} == {
        ("torch", "reference"),
        *((name, s) for name in ("onnx", "torchscript") for s in ("reference", "inside", "beyond")),
    }
    assert all(row.agrees for row in rows)
    assert verify.table(rows).count("yes") == len(rows)


def perturbed(law, output, change):
    """The law's own update with one output changed."""
    good = verify.torch_runtime(law.update())

    def run(inputs):
        result = good(inputs)
        return {**result, output: change(result[output])}

    return run


@pytest.mark.parametrize(
    ("output", "change"),
    [
        ("stress", lambda value: value * (1.0 + 1e-7)),
        ("statev_new", lambda value: value * (1.0 + 1e-7)),
        ("tangent", np.negative),
        ("residual", lambda value: value + 1.0),
        ("residual", lambda value: value * np.nan),
    ],
)
def test_runtime_that_differs_does_not_agree(exported, output, change):
    """Guards the test above; a runtime that refuses what torch accepts differs too."""
    law = ConstitutiveLaw.of(LawParameters.load(exported / "parameters.npz"))
    rows = verify.verify(exported, n_points=200, runtimes={"bad": perturbed(law, output, change)})
    assert not any(row.agrees for row in rows if row.runtime == "bad")


def test_stored_table_follows_the_schema_and_changes_nothing_else(exported):
    before = json.loads((exported / "manifest.json").read_text(encoding="utf-8"))
    rows = verify.verify(exported, n_points=200)
    verify.store(exported, [*rows, replace(rows[0], stress=np.inf, agrees=False)])
    after = json.loads((exported / "manifest.json").read_text(encoding="utf-8"))
    assert [row["runtime"] for row in after.pop("runtime_agreement")] == [
        *(r.runtime for r in rows),
        "torch",
    ]
    assert after == before
    assert not list(exported.glob(".manifest*"))


def test_command_prints_the_table_and_reports_by_its_exit_status(exported, capsys, monkeypatch):
    monkeypatch.setattr(verify, "emit_c", lambda *_: None)  # as without the other package
    before = (exported / "manifest.json").read_bytes()
    assert main(["verify", str(exported), "--points", "100", "--no-store"]) == 0
    assert "torchscript" in capsys.readouterr().out
    assert (exported / "manifest.json").read_bytes() == before
    bad = {"bad": lambda inputs: {name: inputs["dt"] for name in verify.OUTPUTS}}
    monkeypatch.setattr(verify, "emit_c", lambda *_: exported)
    monkeypatch.setattr(verify, "c_runtimes", lambda *_: bad)
    assert main(["verify", str(exported), "--points", "100", "--no-store"]) == 1


def test_verified_model_shows_the_table_in_its_card(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "emit_c", lambda *_: None)
    directory = export_trap(tmp_path / "trap")
    assert main(["card", str(directory)]) == 0
    assert "## Runtimes" not in (directory / "README.md").read_text(encoding="utf-8")
    assert main(["verify", str(directory), "--points", "50"]) == 0
    assert "## Runtimes" in (directory / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "runtimes"),
    [
        ("exact_trap", 7),
        ("exact_sls", 7),
        ("kramers_chain", 2),
        ("kramers_unfolding", 2),
        ("lattice_mean_field", 7),
    ],
)
def test_shipped_models_carry_a_table_of_all_runtimes_that_agree(model, runtimes):
    path = Path(__file__).parents[2] / "exported_models" / model / "manifest.json"
    table = json.loads(path.read_text(encoding="utf-8"))["runtime_agreement"]
    assert len({row["runtime"] for row in table}) == runtimes
    assert {row["points"] for row in table if row["states"] != "reference"} == {100_000}
    assert all(row["agrees"] for row in table)


def test_a_law_of_graphs_only_is_judged_by_its_torchscript_file(tmp_path):
    directory = export_kramers_chain(tmp_path / "chain")
    rows = verify.verify_all(directory, n_points=300)
    assert [(row.runtime, row.states) for row in rows] == [
        ("torchscript", "reference"),
        *(("onnx", states) for states in ("reference", "inside", "beyond")),
    ]
    assert all(row.agrees for row in rows)
    (directory / "constitutive.pt").unlink()
    document = manifest.read_document(directory)
    manifest.write(document, directory, set(document["files"]) - {"constitutive.pt"})
    with pytest.raises(ValueError, match="neither"):
        verify.verify(directory, n_points=10)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_compiled_file_is_among_the_runtimes_that_agree(tmp_path):
    """The C file of a law with networks: both entry points, with and without vectorisation."""
    law, about = untrained_law(1, 2), untrained_description(1, 2)
    rows = verify.verify_all(export_law(tmp_path / "law", law, about), n_points=300)
    names = {"c -O2", "c -O3 native", "c scalar -O2", "c scalar -O3 native"}
    assert {row.runtime for row in rows} == {"torch", "onnx", "torchscript"} | names
    assert all(row.agrees for row in rows), verify.table(rows)
