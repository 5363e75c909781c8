"""The kernel of ONNX Runtime: a batch is passed in blocks, whose size nobody may notice."""

import numpy as np
import pytest
from model_directory import EXPORTED

from ibvonn_fem.kernels import onnx
from ibvonn_fem.model.exported_model import load_model

OUTPUTS = ("stress", "statev_new", "tangent", "energy", "dissipation", "validity")


@pytest.mark.parametrize("n_points", [0, 1, 7, 8, 23])
def test_blocks_give_the_values_of_one_call(monkeypatch, n_points):
    kernel = load_model(EXPORTED / "exact_sls", "onnx").kernel
    rng = np.random.default_rng(0)
    strain, old, statev = rng.normal(size=(3, n_points, 6))
    dt = rng.uniform(size=n_points)
    whole = kernel.update(strain, old, statev, dt)
    law = kernel.rates(strain, statev)
    monkeypatch.setattr(onnx, "BLOCK", 8)
    pieces = kernel.update(strain, old, statev, dt)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-14)
    assert (pieces.residual <= 1e-10).all()
    again = kernel.rates(strain, statev)
    for name in ("energy", "stress", "driving_force", "rate"):
        np.testing.assert_allclose(getattr(again, name), getattr(law, name), rtol=1e-14)


def test_a_call_of_the_runtime_has_at_most_one_block_of_points(monkeypatch):
    kernel = load_model(EXPORTED / "exact_trap", "onnx").kernel
    lengths = []
    run = kernel._constitutive.run

    def counted(outputs, feed):
        lengths.append(len(feed["dt"]))
        return run(outputs, feed)

    monkeypatch.setattr(kernel._constitutive, "run", counted)
    n_points = 2 * onnx.BLOCK + 1
    zero = np.zeros((n_points, 1))
    kernel.update(zero, zero, zero, 0.1)
    assert sum(lengths) == n_points
    assert len(lengths) == 3
    assert max(lengths) <= onnx.BLOCK
