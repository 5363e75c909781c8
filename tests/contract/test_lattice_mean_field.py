"""The mean-field law of a lattice: formula, rates, rest, fitted friction, exported model."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ibvonn_fem import load_model
from ibvonn_train.closed_form.kramers import escape_rate
from ibvonn_train.closed_form.lattice_mean_field import AFFINE, mean_field_law, mean_field_share
from ibvonn_train.evaluation import mean_field_model, open_law
from ibvonn_train.evaluation.encoded_records import encode_record
from ibvonn_train.evaluation.errors import relative_error
from ibvonn_train.evaluation.implicit_rollout import implicit
from ibvonn_train.evaluation.mean_field_model import export_mean_field, fitted_friction
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload

pytestmark = pytest.mark.export

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice_mean_field"
LATTICE = PeriodicLattice()
ENVELOPE = np.array([[-0.06, 0.17]] * 3 + [[0.0, 1.0]] * 3)
THIRD = 1.0 / 3.0


def law_of(share=THIRD, friction=1.0):
    return mean_field_law(LATTICE, friction=friction, envelope=ENVELOPE, share=share)


def states(law, count=50):
    low, high = ENVELOPE.T
    x = low + (high - low) * np.random.default_rng(0).uniform(0.02, 0.98, (count, 6))
    strain, p = x[:, :3], x[:, 3:]
    return strain, p, torch.tensor(strain), torch.tensor(p - rest_of(law))


def rest_of(law):
    return -law.kinetics.populations.bounds[:, 0]


def formula(strain, p, share=THIRD):
    """Return f and G in k_BT per node, with elongations over z_h."""
    k, hard, jump, thermal = 1.0, 7.0, 0.1, 0.001
    kappa, offset = k * hard / (k + hard) * jump**2 / thermal, 0.005 / thermal
    half, root = 0.5, math.sqrt(0.75)
    bonds = np.array([[1.0, 0.0], [half, root], [-half, root]])
    tensors = strain[:, [0, 2, 2, 1]].reshape(-1, 2, 2) * [[1, 0.5**0.5], [0.5**0.5, 1]]
    e = np.einsum("ai,nij,aj->na", bonds, tensors, bonds) / jump
    mixing = p * np.log(p) + (1 - p) * np.log(1 - p)
    own = kappa / 2 * (e - p) ** 2 + offset * p + share * kappa / 2 * p * (1 - p)
    return (own + mixing).sum(1), kappa * (e - p) - offset - share * kappa / 2 * (1 - 2 * p)


@pytest.mark.parametrize("share", [THIRD, AFFINE])
def test_free_energy_is_that_of_the_formula_to_round_off(share):
    """κ/2 |e − p|² + mixing entropy + D Σp + κ/6 Σp(1−p), up to the constant at rest."""
    law = law_of(share)
    strain, p, *state = states(law)
    result = law.rates()(*state)[0][:, 0].numpy() * LATTICE.reference_volume / 0.001
    rest, _ = formula(np.zeros((1, 3)), rest_of(law)[None], share)
    expected = formula(strain, p, share)[0] - rest
    np.testing.assert_allclose(result, expected, rtol=0.0, atol=1e-11)
    other = formula(strain, p, share + 0.1)[0] - formula(np.zeros((1, 3)), rest_of(law)[None])[0]
    assert np.abs(result - other).max() > 0.1


def test_stress_is_the_mean_tension_of_the_bonds():
    law = law_of()
    strain, p, *state = states(law)
    basis = LATTICE.lattice.strain_basis
    tension = 0.875 * (strain @ basis.T - 0.1 * p)
    expected = tension @ basis / LATTICE.reference_volume
    np.testing.assert_allclose(law.rates()(*state)[1].numpy(), expected, rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("share", [THIRD, AFFINE])
def test_rate_is_that_of_escapes_over_the_cusp_with_detailed_balance(share):
    """ṗ = k₁₂ (1−p) − k₂₁ p, k₁₂/k₂₁ = exp(G/k_BT); both wells of the stiffness K + k_c."""
    law = law_of(share, friction=2.0)
    strain, p, *state = states(law, 20)
    result = law.rates()(*state)[3].numpy()
    held = share * 0.875 * 7.0 / (7.0 - share * 0.875)
    half = 0.5 * 0.1 * 7.0 / math.sqrt((7.0 + held) * 0.001)
    relaxation = (7.0 + held) / (2.0 * LATTICE.inner_friction)
    for drive, fraction, rate in zip(
        formula(strain, p, share)[1].ravel(), p.ravel(), result.ravel(), strict=True
    ):
        near, far = half - abs(drive) / (2 * half), half + abs(drive) / (2 * half)
        assert (far**2 - near**2) / 2 == pytest.approx(abs(drive))
        fast = relaxation * escape_rate(near) * min(1.0, far / (2 * half))
        slow = fast * math.exp(-abs(drive))
        opening, closing = (fast, slow) if drive > 0 else (slow, fast)
        expected = opening * (1 - fraction) - closing * fraction
        assert abs(rate - expected) < 3e-6 * (opening * (1 - fraction) + closing * fraction)


def test_held_by_its_neighbours_a_bond_costs_what_flipping_it_costs():
    """K and k_c in series give c κ, the energy of an open bond among folded ones."""
    for share in (THIRD, 0.5, AFFINE):
        held = share * 0.875 * 7.0 / (7.0 - share * 0.875)
        assert 7.0 * held / (7.0 + held) == pytest.approx(share * 0.875)
    assert AFFINE * 0.875 * 7.0 / (7.0 - AFFINE * 0.875) == pytest.approx(1.0)  # k itself


def test_share_is_what_the_displacements_of_the_cell_leave():
    """The diagonal of the projector without uniform elongations is c (1 − 1/N)."""
    lattice = PeriodicLattice(cells=5)
    bonds, nodes = 75, 25
    projector = lattice.spins().projector
    uniform = np.kron(np.eye(3), np.full((nodes, nodes), 1.0 / nodes))
    own = np.diag(projector - uniform)
    assert own.shape == (bonds,)
    np.testing.assert_allclose(own, mean_field_share(lattice) * (1 - 1 / nodes), atol=1e-12)
    assert mean_field_share(PeriodicLattice(geometry="fcc")) == 0.5


def test_lattices_without_one_share_or_without_wells_are_refused():
    with pytest.raises(ValueError, match="2 of 4 directions are alike"):
        mean_field_share(PeriodicLattice(geometry="square_with_diagonals"))
    with pytest.raises(ValueError, match="plain ones"):
        mean_field_law(PeriodicLattice(series=False), friction=1.0, envelope=ENVELOPE, share=THIRD)


def test_relaxed_stress_is_near_that_of_sampled_spins_and_that_of_affine_bonds_is_not():
    strain = np.array([[0.1, 0.1, 0.0], [0.14, 0.0, 0.0], [0.0, 0.12, -0.08]])
    _, sampled, _ = PeriodicLattice(cells=6).spins().relaxed(strain, replicas=64, sweeps=60, seed=1)
    away = {share: relative_error(relaxed_stress(law_of(share), strain), sampled)
            for share in (THIRD, AFFINE)}  # fmt: skip
    assert away[THIRD] < 8.0
    assert away[AFFINE] > 16.0


def relaxed_stress(law, strain):
    """Stress where every fraction is that of equilibrium: ṗ = 0, by steps without end."""
    eps, alpha = torch.tensor(strain), torch.zeros(len(strain), 3, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(30):
            result = law.update()(eps, eps, alpha, torch.full((len(strain), 1), 1e6).double())
            alpha = result[1]
        stress, force = law.rates()(eps, alpha)[1:3]
    assert float(force.abs().max()) < 1e-9
    return stress.numpy()


def test_law_is_at_rest_without_strain():
    zero = torch.zeros(1, 3, dtype=torch.float64)
    energy, _, force, rate = law_of().rates()(zero, zero)
    assert abs(float(energy)) < 1e-18
    assert float(force.abs().max()) < 1e-14
    assert float(rate.abs().max()) < 1e-15


def test_steps_converge_with_symmetric_tangents_and_never_produce_energy():
    law = law_of()
    rng = np.random.default_rng(1)
    old = rng.uniform(ENVELOPE[0, 0], ENVELOPE[0, 1], (2000, 3))
    p = np.where(rng.uniform(size=old.shape) < 0.5, rng.uniform(size=old.shape), 1e-9)
    dt = 10.0 ** rng.uniform(-1.0, 4.0, (2000, 1))
    inputs = old + 0.02 * rng.normal(size=old.shape), old, p - rest_of(law), dt
    with torch.no_grad():
        result = law.update()(*(torch.tensor(x) for x in inputs))
    assert bool((result[5] <= 1e-10).all())
    assert bool((result[4] >= 0.0).all())
    assert float((result[2] - result[2].transpose(1, 2)).abs().max()) < 1e-12


@pytest.fixture(scope="module")
def record():
    """Pulled far and fast in three directions, so short that most bonds stay as they are."""
    targets = [[0.17, 0.0, 0.0], [0.12, 0.12, 0.0], [0.0, 0.12, -0.08]]
    return simulate(
        PeriodicLattice(cells=4), load_hold_unload(60.0, targets), duration=60.0, time_step=0.1,
        stride=100, replicas=2, record="samples", seed=1, progress=False,
    )  # fmt: skip


def test_fit_finds_the_friction_of_which_stresses_were_made(record, tmp_path, monkeypatch):
    monkeypatch.setattr(mean_field_model, "FRICTIONS", (2.0, 5.0))
    law = open_law(export_mean_field(tmp_path / "law", [record], friction=3.0))
    start = encode_record(law, record)[:, 0]
    internal = implicit(law, 100.0 * record.time, record.strain, start)
    stress = law.rates(record.strain.reshape(-1, 3), internal.reshape(-1, 3)).stress
    made = dataclasses.replace(
        record, time=100.0 * record.time, stress=stress.reshape(record.stress.shape),
        drive=type(record.drive)(),
    )  # fmt: skip
    assert fitted_friction([made]) == pytest.approx(3.0, rel=0.03)


def test_encoder_counts_open_bonds(record, tmp_path):
    law = open_law(export_mean_field(tmp_path / "law", [record], friction=1.0))
    opened = (record.samples[..., 1] > LATTICE.crossing).mean(-1)
    np.testing.assert_allclose(
        encode_record(law, record)[:, :, 0] - law.bounds[:, 0], opened, atol=1e-12
    )
    assert opened.max() > 0.02


def test_other_records_are_refused(record, tmp_path):
    other = dataclasses.replace(record, system="own_lattice")
    with pytest.raises(ValueError, match="own_lattice"):
        export_mean_field(tmp_path / "law", [other], friction=1.0)


def test_committed_model_is_this_law_with_the_friction_that_it_names():
    model, opened = load_model(MODEL, kernel="onnx"), open_law(MODEL)
    friction = opened.manifest["microscopic"]["parameters"][mean_field_model.FITTED]
    law = law_of(friction=friction)
    _, _, *state = states(law)
    expected = [value.numpy() for value in law.rates()(*state)]
    result = opened.rates(*(x.numpy() for x in state))
    for name, value in zip(("stress", "driving_force", "rate"), expected[1:], strict=True):
        np.testing.assert_allclose(getattr(result, name), value, rtol=1e-11, atol=1e-14)
    other = law_of(friction=1.01 * friction).rates()(*state)[3].numpy()
    assert relative_error(result.rate, other) > 0.5
    assert model.manifest.family == "populations"
    np.testing.assert_allclose(opened.bounds, np.stack([-rest_of(law), 1 - rest_of(law)], 1))
