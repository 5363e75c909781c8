"""A certificate that is made again belongs to the same law, and keeps what people wrote."""

from pathlib import Path

import pytest

from ibvonn_train.audits import acceptance_ranges
from ibvonn_train.audits.reasons import REASONS
from ibvonn_train.closed_form.exact_models import export_trap
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.export.stamp import stamp
from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.studies.recertify import recertify

pytestmark = pytest.mark.export
NAME = "stress at encoded states"


def test_certificate_is_made_again_and_written_reasons_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = export_trap(tmp_path / "trap")
    data = simulate(
        TetheredParticle(), trap_of_paper().test[::4], duration=1.0, time_step=0.01, replicas=500,
        seed=5, engine="torch", progress=False,
    )  # fmt: skip
    assert {entry["verdict"] for entry in recertify(directory, data) if entry["audit"] == NAME} == {
        "pass"
    }
    monkeypatch.setattr(acceptance_ranges, "STRESS", (1.0, None))
    recertify(directory, data)
    assert _stress(directory)["reason"] == REASONS[NAME]
    own = {**_stress(directory), "reason": "The trap was loose."}
    stamp(directory, {"certificate": [own]})
    recertify(directory, data)
    assert _stress(directory)["reason"] == "The trap was loose."
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert f"- *{NAME}*: The trap was loose." in card


def _stress(directory):
    """Read through the law: graphs of another manifest are refused."""
    law = ExportedLaw(directory)
    assert law.rates([[0.5]], [[0.1]]).stress == pytest.approx(0.4)
    return next(entry for entry in law.manifest["certificate"] if entry["audit"] == NAME)
