"""The model card says what the manifest says, in whatever state the manifest is."""

import json
from pathlib import Path

import pytest
from untrained_description import untrained_description

from ibvonn_fem.model.exported_model import load_model
from ibvonn_train.cli import main
from ibvonn_train.closed_form.exact_models import export_trap
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import export_law
from ibvonn_train.export.model_card import markdown
from ibvonn_train.studies.tables import require_one_training

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.parent for path in (ROOT / "exported_models").glob("*/manifest.json"))

pytestmark = pytest.mark.export

AUDIT = {
    "audit": "f against F_flow",
    "value": 0.25,
    "acceptance_range": [0.0, 0.5],
    "verdict": "pass",
    "detail": "sd(f − F_flow) | all states",
}
SEED = {
    "ensemble": "test",
    "quantity": "spring force",
    "seeds": 3,
    "median": 0.5,
    "lowest": 0.25,
    "highest": 0.75,
}


def read(directory):
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def manifest():
    return read(ROOT / "exported_models" / "exact_trap")


def rows(text, heading):
    """Cells of the table under a heading, without header and rule."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_card_of_a_closed_form_claims_no_audit_and_no_data(manifest):
    text = markdown({**manifest, "runtime_agreement": None})
    assert text.startswith("# exact_trap\n")
    assert "no audit of this model is on record" in text
    assert "Learned" not in text
    for absent in ("## Errors", "## Spread", "## Runtimes", "!["):
        assert absent not in text


def test_every_audit_is_a_row_with_value_band_and_verdict(manifest):
    failed = {**AUDIT, "audit": "Jarzynski equality", "verdict": "fail", "value": 3.0}
    unknown = {**AUDIT, "value": None, "verdict": "not available", "acceptance_range": [None, 0.5]}
    failed["reason"] = "It is not in equilibrium."
    reported = {**AUDIT, "verdict": "reported", "acceptance_range": [None, None]}
    text = markdown({**manifest, "certificate": [AUDIT, failed, unknown, reported]})
    assert "4 audits: 1 pass, 1 fail, 1 not available, 1 reported." in text
    assert "\n\nWhy audits fail:\n\n- *Jarzynski equality*: It is not in equilibrium.\n" in text
    assert "Why audits fail" not in markdown({**manifest, "certificate": [AUDIT, unknown]})
    outcome = rows(text, "Certificate")
    assert [row[:4] for row in outcome] == [
        ["pass", "f against F_flow", "0.25", "0 to 0.5"],
        ["fail", "Jarzynski equality", "3", "0 to 0.5"],
        ["not available", "f against F_flow", "-", "… to 0.5"],
        ["reported", "f against F_flow", "0.25", "-"],
    ]
    assert r"F_flow) \| all" in text  # a bar in a cell does not end it


def test_errors_and_seeds_have_tables_where_the_manifest_has_them(manifest):
    errors = [
        {"ensemble": "test", "quantity": "spring force", "error": 0.5, "sampling_error": None}
    ]
    text = markdown({**manifest, "errors": errors, "seeds": [SEED]})
    assert rows(text, "Errors of trajectories") == [["test", "spring force", "0.5", "-"]]
    assert rows(text, "Spread over seeds") == [
        ["test", "spring force", "3", "0.5", "0.25", "0.75", "-"]
    ]


def test_a_law_with_stress_at_rest_says_so(manifest):
    start = {**manifest["initial_state"], "stress": [-0.125]}
    assert "stress at rest is not zero" not in markdown(manifest)
    assert "largest component is 0.125" in markdown({**manifest, "initial_state": start})


def test_python_of_a_card_runs_and_gives_the_shapes_of_the_law(tmp_path, monkeypatch):
    directory = export_law(tmp_path / "law", untrained_law(6, 2), untrained_description(6, 2))
    document = read(directory)
    document["name"] = "law"
    block = next(
        part.split("\n```", 1)[0]
        for part in markdown(document).split("```python\n")
        if "onnxruntime" in part
    )
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "card", "exec"), names)
    assert names["tangent"].shape == (1, 6, 6)
    assert names["statev"].shape == (1, 2)


def result(directory, seed, *, name=None, sha256="a" * 64, trained_on=None, **ensembles):
    """What `ibvonn evaluate --json` writes, as far as the card reads it."""
    return {
        "model": f"run{seed}",
        "name": read(directory)["name"] if name is None else name,
        "seed": seed,
        "training_data_sha256": trained_on,
        "ensembles": {key: {"sha256": sha256, **value} for key, value in ensembles.items()},
    }


def errors_of(value):
    return {"errors_percent": {"controlled/stress": value}, "potentials_percent": {}}


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"name": "trap"}, "results must be of exact_trap; found those of trap"),
        ({"seed": 0}, "one seed was given 2 times (0)"),
        ({"seed": None, "value": 1.0}, "one result was given 2 times"),
        ({"sha256": "b" * 64}, "same ensembles; test has sha256 aaaaaaaaaaaa"),
        ({"trained_on": "c" * 64}, "are of a law trained on other data than exact_trap"),
    ],
)
def test_seeds_of_what_does_not_belong_together_are_refused(tmp_path, capsys, second, words):
    directory = export_trap(tmp_path / "trap")
    value = second.pop("value", 2.0)
    options = {"seed": 1, **second}
    results = [
        result(directory, 0, test=errors_of(1.0)),
        result(directory, options.pop("seed"), test=errors_of(value), **options),
    ]
    paths = [tmp_path / f"{i}.json" for i in range(2)]
    for path, content in zip(paths, results, strict=True):
        path.write_text(json.dumps(content))
    assert main(["card", str(directory), "--seeds", *map(str, paths)]) == 1
    assert words in capsys.readouterr().err
    assert "seeds" not in read(directory)


def test_the_model_itself_is_one_of_the_seeds(tmp_path):
    directory = export_trap(tmp_path / "trap")
    document = read(directory)
    document["provenance"]["seed"] = 3
    records = [result(directory, seed, test=errors_of(seed)) for seed in (1, 2)]
    with pytest.raises(ValueError, match=r"\(seed 3\) must be one of the laws; found .* \[1, 2\]"):
        require_one_training(records, document)
    require_one_training([*records, result(directory, 3, test=errors_of(3.0))], document)


def test_card_verb_draws_adds_seeds_and_leaves_a_model_that_loads(tmp_path):
    directory = export_trap(tmp_path / "trap")
    before = read(directory)
    results = []
    for seed, error in enumerate((0.5, 0.25, 0.75)):
        # Mean 4 and standard deviation 0.08 at each of two instants: 2 %.
        stress = {"controlled/stress": [[4.0 + 0.08 * (seed - 1)], [4.0 - 0.08 * (seed - 1)]]}
        numbers = {"errors_percent": {"controlled/stress": error}, "potentials_percent": {}}
        numbers["predicted_stress"] = stress
        results.append(tmp_path / f"{seed}.json")
        results[-1].write_text(json.dumps(result(directory, seed, test=numbers)))
    assert main(["card", str(directory), "-q", "--seeds", *map(str, results)]) == 0
    after = read(directory)
    (row,) = after.pop("seeds")
    assert row.pop("spread") == pytest.approx(2.0)
    assert row == {**SEED, "quantity": "stress"}
    assert after == before
    assert 5_000 < (directory / "response.png").stat().st_size < 150_000
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert card == markdown(read(directory), "response.png")
    assert "response.png" not in after["files"]
    load_model(directory)  # neither the card nor the figure is checked by the loader


def test_seeds_of_one_law_or_of_other_ensembles_are_refused(tmp_path, capsys):
    directory = export_trap(tmp_path / "trap")
    numbers = {"errors_percent": {"controlled/stress": 1.0}, "potentials_percent": {}}
    paths = []
    for seed, name in enumerate(("test", "linear")):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(result(directory, seed, **{name: numbers})))
    assert main(["card", str(directory), "--seeds", str(paths[0])]) == 1
    assert "at least 2 laws" in capsys.readouterr().err
    assert main(["card", str(directory), "--seeds", *map(str, paths)]) == 1
    assert "evaluated on the same ensembles" in capsys.readouterr().err
    assert "seeds" not in read(directory)


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: path.name)
def test_shipped_cards_are_those_of_their_manifests(directory):
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert card == markdown(read(directory), "response.png")
    assert (directory / "response.png").stat().st_size < 150_000
