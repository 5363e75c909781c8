"""The strain of the data that an exported law calls zero: written by one side, read by both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from short_training import short
from small_ensembles import small_ensemble

from ibvonn_fem import load_model
from ibvonn_fem.model.microstates import strain_reference
from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.evaluation.law_rollouts import strain_of
from ibvonn_train.export.from_training import export_trained
from ibvonn_train.export.manifest import check
from ibvonn_train.export.model_card import markdown
from ibvonn_train.simulation import TetheredParticle
from ibvonn_train.simulation.protocols import ramp
from ibvonn_train.training import TrainedModel, train

EXPORTED = Path(__file__).parents[2] / "exported_models"
SHORT = short()


def pulled() -> TrajectoryEnsemble:
    """The trap under a ramp."""
    return small_ensemble(TetheredParticle(), [ramp(3.0), ramp(-1.0)], duration=0.2, replicas=40)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory) -> tuple[TrainedModel, ExportedLaw]:
    """An untrained law of the trap, and its export whose zero is a strain of 0.3."""
    folder = tmp_path_factory.mktemp("shifted")
    model = train(SHORT, pulled(), folder / "run", progress=False)
    return model, ExportedLaw(export_trained(model, folder / "model", initial_strain=0.3))


def test_a_controlled_law_is_judged_from_the_strain_that_it_calls_zero(
    shifted: tuple[TrainedModel, ExportedLaw],
) -> None:
    """The zero was taken for that of the data wherever strain is controlled."""
    model, law = shifted
    data = pulled()
    assert law.manifest["strain"]["reference"] == [0.3]
    alpha = model.encode(data.microstate)
    _, internal = law.encode(data.microstate)
    expected = model.rates(data.strain.reshape(-1, 1), alpha.reshape(-1, model.internal_size))
    rows = internal.reshape(-1, model.internal_size)
    result = law.rates(strain_of(law, data).reshape(-1, 1), rows)
    np.testing.assert_allclose(result.stress, expected.stress, rtol=1e-10, atol=1e-12)
    without = law.rates(data.strain.reshape(-1, 1), rows)
    assert np.abs(without.stress - expected.stress).max() > 1e-4
    assert "Its zero strain is 0.3 in the data." in markdown(law.manifest)


@pytest.mark.parametrize("name", ["kramers_chain", "kramers_unfolding", "unfolding_chain", "trap"])
def test_the_zero_of_older_manifests_is_the_one_that_is_stored_now(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    law = ExportedLaw(EXPORTED / name)
    model = load_model(EXPORTED / name)
    stored = law.strain_reference
    np.testing.assert_array_equal(strain_reference(model), stored)
    del law.manifest["strain"]["reference"], model.manifest.raw["strain"]["reference"]
    del law.strain_reference  # it is remembered
    with caplog.at_level("INFO"):
        np.testing.assert_allclose(law.strain_reference, stored, rtol=1e-15, atol=0)
        np.testing.assert_allclose(strain_reference(model), stored, rtol=1e-15, atol=0)
    notes = [message for message in caplog.messages if "has no strain.reference" in message]
    assert len(notes) == (2 if law.averaged else 0)


def test_the_zero_has_one_number_for_each_strain_component() -> None:
    manifest = json.loads((EXPORTED / "exact_sls" / "manifest.json").read_text())
    check(manifest)
    manifest["strain"]["reference"] = [0.0]
    with pytest.raises(ValueError, match="strain/reference must have 6 entries"):
        check(manifest)
