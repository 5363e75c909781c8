"""Settings against three dimensions, at a point: plane strain, plane stress, symmetry, bars."""

from pathlib import Path

import numpy as np
import pytest
from derivatives import EPS, assert_is_derivative
from scipy.spatial.transform import Rotation
from solid_laws import Point, TwoWells, linear_law, smooth_law

from ibvonn_fem import load_model
from ibvonn_fem.kinematics import (
    Axisymmetric,
    Directions,
    FullStrain,
    LogarithmicVolumetric,
    Microcircle,
    Microsphere,
    PlaneStrain,
    PlaneStress,
    QuadraticVolumetric,
    UniaxialStress,
    around_axis,
)
from ibvonn_fem.kinematics.condensation import TOLERANCE
from ibvonn_fem.kinematics.settings import MANDEL, PLANE_STRAIN, SPACE
from ibvonn_fem.kinematics.volume_change import VolumeChange

pytestmark = pytest.mark.fem

EXPORTED = Path(__file__).parents[2] / "exported_models"
EXACT_SLS = EXPORTED / "exact_sls"


def small(**options):
    return Microsphere(25, **options)


def finite(**options):
    return Microsphere(25, finite=True, volumetric=LogarithmicVolumetric(0.6), **options)


def tensor_law(**options):
    return FullStrain(6, **options)


@pytest.fixture(scope="module")
def sls():
    return load_model(EXACT_SLS)


MATERIALS = {
    "small": (smooth_law, small),
    "finite": (smooth_law, finite),
    "two wells": (lambda: TwoWells().model(), small),
    "two wells, finite": (lambda: TwoWells().model(), finite),
    "learned trap": (lambda: load_model(EXPORTED / "trap"), small),
    "learned unfolding chain": (lambda: load_model(EXPORTED / "unfolding_chain"), small),
    "learned unfolding chain, finite": (lambda: load_model(EXPORTED / "unfolding_chain"), finite),
    "tensor": (lambda: load_model(EXACT_SLS), tensor_law),
    "tensor, finite": (
        lambda: load_model(EXACT_SLS),
        lambda: FullStrain(6, finite=True, volumetric=QuadraticVolumetric(0.3)),
    ),
}


@pytest.fixture(params=MATERIALS)
def material(request):
    """A law and a factory of the solid in space."""
    law, solid = MATERIALS[request.param]
    return law(), solid


def positions(kinematics):
    """Of the components of the measure among those of space (six Mandel, or nine of H)."""
    if kinematics.finite:
        return [3 * i + j for i, j in kinematics.setting.gradients]
    return list(kinematics.setting.strains)


def embedded(kinematics, measure):
    """A measure of the setting among the components of space."""
    result = np.zeros(9 if kinematics.finite else 6)
    result[positions(kinematics)] = measure
    return result


def history(kinematics, steps=4, seed=1):
    """Measures along a path, condensed components 0."""
    rng = np.random.default_rng(seed)
    path = 0.05 * np.cumsum(rng.normal(size=(steps, *kinematics.shape)), axis=0)
    path[:, list(kinematics.condensed)] = 0.0
    return path


@pytest.mark.parametrize("setting", [PlaneStrain, PlaneStress, Axisymmetric, UniaxialStress])
def test_every_setting_is_the_solid_in_space_with_the_strains_it_has(material, setting):
    law, solid = material
    kinematics = setting(solid())
    here, there = Point(law, kinematics), Point(law, solid())
    kept = positions(kinematics)
    for measure in history(kinematics):
        answer = here.step(measure, 0.2)
        expected = there.step(embedded(kinematics, answer.measure[0]), 0.2)
        scale = np.abs(expected.tangent).max()
        # Condensed stresses are zero to the tolerance; the others are corrected for the rest.
        tolerance = (TOLERANCE if kinematics.condensed else 20.0 * EPS) * scale
        assert np.abs(answer.stress[0] - expected.stress[0, kept]).max() < tolerance
        out = np.setdiff1d(np.arange(len(expected.stress[0])), kept)
        assert np.abs(expected.stress[0, out]).max(initial=0.0) < 20.0 * EPS * scale
        assert abs(answer.energy - expected.energy) < 20.0 * EPS * scale
        assert abs(answer.dissipation - expected.dissipation) < 20.0 * EPS * scale


@pytest.mark.parametrize("setting", [PlaneStress, UniaxialStress])
def test_condensed_stresses_vanish(material, setting):
    law, solid = material
    kinematics = setting(solid())
    point = Point(law, kinematics)
    for measure in history(kinematics):
        answer = point.step(measure, 0.2)
        scale = np.abs(answer.stress).max()
        assert np.abs(answer.stress[0, list(kinematics.condensed)]).max() < 1e-6 * scale


@pytest.mark.parametrize("setting", [PlaneStrain, PlaneStress, Axisymmetric, UniaxialStress])
def test_the_tangent_of_every_setting_is_the_derivative_of_its_stress(material, setting):
    law, solid = material
    kinematics = setting(solid())
    point = Point(law, kinematics)
    *path, measure = history(kinematics)
    for before in path:
        point.step(before, 0.2)
    free = [i for i in range(len(measure)) if i not in kinematics.condensed]
    answer = point.respond(measure, 0.3)
    tangent = answer.tangent[0][np.ix_(free, free)]

    def stress(values):
        changed = measure.copy()
        changed[free] = values
        return point.respond(changed, 0.3).stress[0, free]

    # The tangent is taken at condensed strains that are off by at most TOLERANCE.
    expected_error = 100.0 * TOLERANCE * np.abs(tangent).max() if kinematics.condensed else 0.0
    assert_is_derivative(tangent, stress, measure[free], slack=expected_error)
    assert np.abs(tangent - tangent.T).max() < 20.0 * EPS * np.abs(answer.tangent).max()


def test_mirror_directions_are_one_direction():
    counts = {n: PlaneStrain(Microsphere(n)).direction_count for n in (25, 55, 97)}
    assert counts == {25: 15, 55: 31, 97: 53}
    assert UniaxialStress(Microsphere(55)).direction_count == 19
    for wrapped in (PlaneStrain(Microsphere()), UniaxialStress(Microsphere())):
        np.testing.assert_allclose(wrapped.strain_map.weights.sum(), 1.0, rtol=1e-14)


def test_a_bar_and_a_plate_that_is_free_to_contract_agree():
    """Two routes to uniaxial stress: two condensed strains, or one and ε_yy given by the other."""
    law = smooth_law()
    bar, plate = Point(law, UniaxialStress(small())), Point(law, PlaneStress(small()))
    for strain in (0.02, 0.08, 0.05):
        first = bar.step([strain, 0.0, 0.0], 0.3)
        second = plate.step([strain, first.measure[0, 1], 0.0, 0.0], 0.3)
        np.testing.assert_allclose(second.stress[0, 0], first.stress[0, 0], rtol=1e-9)
        np.testing.assert_allclose(second.measure[0, 2], first.measure[0, 2], rtol=1e-6)
        assert abs(second.stress[0, 1]) < 1e-8 * abs(second.stress[0, 0])


def test_uniaxial_stress_of_the_linear_network_has_the_known_modulus():
    point = Point(linear_law(), UniaxialStress(Microsphere(density=6.0)))
    answer = point.respond([0.5, 0.0, 0.0], 0.0)
    np.testing.assert_allclose(answer.stress[0, 0], 0.5, rtol=1e-14)
    np.testing.assert_allclose(answer.measure[0, 1:], -0.125, rtol=1e-14)


def test_condensation_finds_its_way_from_far(material):
    """Ten per cent in one step, from the undeformed state."""
    law, solid = material
    for setting in (PlaneStress, UniaxialStress):
        kinematics = setting(solid())
        measure = np.zeros(kinematics.shape)
        measure[0] = 0.1
        answer = Point(law, kinematics).respond(measure, 10.0)
        assert (answer.measure[0, list(kinematics.condensed)] < 0.0).all()


def test_what_condensation_leaves_is_removed_to_first_order(monkeypatch):
    """Stopped early, the thickness strain is off by some 1e-2; the stress by far less than C δ."""
    kinematics, law = PlaneStress(small()), TwoWells().model()
    measure = [0.2, 0.05, 0.0, 0.1]
    exact = Point(law, kinematics).respond(measure, 0.5)
    monkeypatch.setattr("ibvonn_fem.kinematics.condensation.TOLERANCE", 0.3)
    rough = Point(law, kinematics).respond(measure, 0.5)
    left = abs(rough.measure[0, 2] - exact.measure[0, 2])
    assert left > 1e-3
    coupling = Point(law, small()).respond(embedded(kinematics, rough.measure[0]), 0.5)
    uncorrected = np.abs(coupling.tangent[0, [0, 1], 2]).max() * left
    assert np.abs(rough.stress - exact.stress)[0, [0, 1, 3]].max() < 0.05 * uncorrected


def test_condensation_shortens_steps_that_go_too_far():
    """A stress that saturates, where Newton's method alone jumps from side to side for ever."""
    law = linear_law()

    def saturating(strain, strain_old, statev, dt, *, guess=None, out=None):
        ε = strain[:, 0]
        out.stress[:, 0] = np.arctan(50.0 * ε) + 0.01 * ε
        out.tangent[:, 0, 0] = 50.0 / (1.0 + (50.0 * ε) ** 2) + 0.01
        out.statev_new[...] = statev
        for values in (out.energy, out.dissipation, out.residual, out.validity):
            values[...] = 0.0
        return out

    law.kernel.update = saturating
    axes = Microsphere(Directions(np.eye(3), np.full(3, 1.0 / 3.0)))
    point = Point(law, PlaneStress(axes))
    measure = np.array([[0.3, 0.2, 0.3, 0.0]])  # the third is the first iterate; the root is 0
    response = point.evaluation(measure, 0.0 * measure, point.statev, 0.1)
    assert (response.law.residual == 0.0).all()
    assert abs(measure[0, 2]) < 1e-8


def test_condensation_goes_on_from_the_last_iterate():
    law = smooth_law()
    update, calls = law.kernel.update, []

    def counted(*arguments, **keywords):
        calls.append(None)
        return update(*arguments, **keywords)

    law.kernel.update = counted
    point = Point(law, PlaneStress(small()))
    measure = np.array([[0.1, 0.02, 0.0, 0.05]])
    point.evaluation(measure, 0.0 * measure, point.statev, 0.1)
    first = len(calls)
    assert first > 1
    point.evaluation(measure, 0.0 * measure, point.statev, 0.1)
    assert len(calls) == first + 1


def test_condensation_that_cannot_succeed_fails_the_point_and_only_it():
    law = linear_law()
    update = law.kernel.update

    def always_in_compression(strain, *arguments, **keywords):
        result = update(strain, *arguments, **keywords)
        beyond = np.repeat(np.abs(strain.reshape(2, -1)).max(axis=1) > 1.0, len(strain) // 2)
        result.stress[beyond] = -1.0
        return result

    law.kernel.update = always_in_compression
    point = Point(law, PlaneStress(small()), 2)
    measure = np.zeros((2, 4))
    measure[0, 0], measure[1, 0] = 0.1, 5.0
    response = point.evaluation(measure, 0.0 * measure, point.statev, 0.1)
    residual = response.law.residual.reshape(2, -1)
    assert (residual[0] <= 1e-10).all()
    assert np.isinf(residual[1]).all()


def test_an_orientation_must_be_symmetric_about_the_plane_of_plane_stress():
    skew = around_axis([1.0, 0.0, 1.0], 2.0)
    PlaneStrain(Microsphere(97, orientation=skew))
    with pytest.raises(ValueError, match="symmetric about the plane"):
        PlaneStress(Microsphere(97, orientation=skew))
    PlaneStress(Microsphere(97, orientation=around_axis([1.0, 1.0, 0.0], 2.0)))


# ---- Laws of the strain tensor ----------------------------------------------------------------


def test_a_tensor_law_at_small_strain_is_the_law_itself(sls):
    strain = 0.05 * np.random.default_rng(0).normal(size=6)
    answer = Point(sls, FullStrain()).respond(strain, 0.3)
    expected = sls.update(strain[np.newaxis], np.zeros((1, 6)), sls.initial_state(), 0.3)
    assert np.array_equal(answer.stress, expected.stress)
    assert np.array_equal(answer.tangent, expected.tangent)


def test_a_tensor_law_at_finite_strain_is_objective(sls):
    point = Point(sls, FullStrain(finite=True))
    gradient = 0.1 * np.random.default_rng(0).normal(size=9)
    rotation = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    turned = (rotation @ (np.eye(3) + gradient.reshape(3, 3)) - np.eye(3)).reshape(-1)
    here, there = point.respond(gradient, 0.2), point.respond(turned, 0.2)
    nominal = rotation @ here.stress.reshape(3, 3)
    assert np.abs(there.stress.reshape(3, 3) - nominal).max() < 1e-14
    assert np.abs(there.statev - here.statev).max() < 1e-14


def test_green_lagrange_strain_is_that_of_the_textbook():
    gradient = 0.3 * np.random.default_rng(0).normal(size=(1, 9))
    deformation = np.eye(3) + gradient.reshape(3, 3)
    expected = 0.5 * (deformation.T @ deformation - np.eye(3))
    response = FullStrain(finite=True)._green.strain(gradient)[0]
    for value, (i, j) in zip(response, MANDEL, strict=True):
        np.testing.assert_allclose(value, expected[i, j] * (1.0 if i == j else np.sqrt(2.0)))


@pytest.mark.parametrize("bulk", [QuadraticVolumetric(0.7), LogarithmicVolumetric(0.7)])
def test_energy_of_volume_change_is_that_of_the_determinant(bulk):
    solid = Microsphere(25, finite=True, volumetric=bulk)
    gradient = 0.2 * np.random.default_rng(3).normal(size=(1, 9))
    j = np.linalg.det(np.eye(3) + gradient.reshape(3, 3))
    expected = (
        0.35 * (j - 1.0) ** 2
        if isinstance(bulk, QuadraticVolumetric)
        else 0.175 * (j**2 - 1.0 - 2.0 * np.log(j))
    )
    np.testing.assert_allclose(solid._volume.energy(gradient), expected, rtol=1e-12)


def test_a_solid_turned_inside_out_is_not_a_number():
    with np.errstate(invalid="ignore"):
        values = LogarithmicVolumetric(1.0).derivatives(np.array([1.0, 0.0, -0.5]))
    for value in values:
        assert np.isfinite(value[0])
        assert np.isnan(value[1:]).all()


def test_arguments_that_do_not_fit_are_refused_with_a_message():
    with pytest.raises(ValueError, match="6, 4 or 3"):
        FullStrain(5)
    with pytest.raises(ValueError, match="Wrap the solid once"):
        PlaneStress(PlaneStrain(Microsphere()))
    with pytest.raises(ValueError, match="strain along z"):
        PlaneStrain(Microcircle())
    with pytest.raises(ValueError, match="strain along z"):
        PlaneStress(FullStrain(3))
    with pytest.raises(ValueError, match="thickness or area must be positive"):
        PlaneStress(Microsphere(), thickness=0.0)


def test_plane_laws_of_four_components_serve_all_plane_settings():
    for setting in (PlaneStrain, PlaneStress, Axisymmetric, UniaxialStress):
        kinematics = setting(FullStrain(4))
        assert kinematics.strain_map.law_strains == 4
        out = np.empty((1, 4))
        kinematics.strains(np.arange(1.0, 1.0 + kinematics.shape[0])[np.newaxis], out)
        expected = np.zeros(4)
        expected[: kinematics.shape[0]] = np.arange(1.0, 1.0 + kinematics.shape[0])
        assert np.array_equal(out[0], expected)


def test_components_are_named():
    assert FullStrain().components == ("xx", "yy", "zz", "xy", "xz", "yz")
    assert Axisymmetric(FullStrain()).components == ("rr", "zz", "tt", "rz")
    assert PlaneStrain(Microsphere(finite=True)).components == ("xx", "xy", "yx", "yy", "zz")
    assert Microcircle().components == ("xx", "yy", "xy")


def test_means_over_directions_carry_their_weights():
    """⟨n_x²⟩ = 1/3 and ⟨n_x⁴⟩ = 1/5, which plain means of 25 directions miss."""
    sphere = Microsphere(25)
    squares = (sphere.strain_map.directions.vectors**2)[np.newaxis]
    np.testing.assert_allclose(sphere.mean(squares**2), 0.2, rtol=1e-13)
    assert np.abs((squares**2).mean(axis=1) - 0.2).max() > 1e-3


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize("setting", [SPACE, PLANE_STRAIN], ids=["space", "plane strain"])
def test_the_volumetric_stress_is_the_derivative_of_its_energy(setting, finite):
    """And at small strain the energy is κ tr²/2: 0.7 · 0.3²/2 for a trace of 0.3."""
    part = VolumeChange(QuadraticVolumetric(0.7), setting, finite=finite)
    size = len(setting.components(finite=finite))
    measure = np.zeros(size)
    measure[[name[0] == name[1] for name in setting.components(finite=finite)]] = 0.1
    stress, tangent = np.zeros((1, size)), np.zeros((1, size * size))
    part.add(measure[np.newaxis], stress, tangent)
    assert_is_derivative(stress[0], lambda m: part.energy(m[np.newaxis]), measure)
    if not finite:
        np.testing.assert_allclose(part.energy(measure[np.newaxis]), 0.7 * 0.3**2 / 2, rtol=1e-13)
