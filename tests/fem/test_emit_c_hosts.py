"""The emitted file as other codes call it: through ``umat_`` and as MGIS loads a behaviour.

MGIS itself is not run: its loader is imitated, symbol by symbol and struct by struct.
"""

from __future__ import annotations

import subprocess
import sys

import cffi
import law_reference as reference
import numpy as np
import pytest
from host_points import ROOT, Behaviour, Umat, declarations, strings
from model_directory import EXPORTED, write_model

from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.files.c_compiler import find_compiler

LAW = reference.random_parameters(1, 2, seed=5, width=8)
ELEMENTS = {"space": (3, 3, 0), "plane strain": (3, 1, 1), "plane stress": (2, 1, 2)}
# Mandel positions of the host's components by element
PLACES = {"space": [0, 1, 2, 3, 4, 5], "plane strain": [0, 1, 2, 3], "plane stress": [0, 1, 3]}


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    emit_c(write_model(folder / "two", LAW, strain=[0.2], stress=[-0.3]), folder, directions=25)
    library = folder / "libtwo.so"
    subprocess.run(
        [find_compiler(), "-O2", "-DLAW_STOP()=(void)0", "-fPIC", "-shared", "-o", library,
         folder / "constitutive.c", "-lm"],
        check=True,
    )  # fmt: skip
    ffi = cffi.FFI()
    ffi.cdef(declarations("two"))
    return ffi, ffi.dlopen(str(library))


def solid(emitted, kind, strain, old, states, dt, scales=(1.0, 0.0, 1.0)):
    ffi, functions = emitted
    size = len(strain)
    stress, tangent, new, numbers = np.zeros(size), np.zeros((size, size)), 0 * states, np.zeros(4)
    code = functions.two_solid(
        kind, *scales, *(ffi.from_buffer("double[]", a) for a in (strain, old, states)), dt,
        *(ffi.from_buffer("double[]", a) for a in (stress, new, tangent)),
        *(ffi.from_buffer("double[]", numbers) + i for i in range(4)),
    )  # fmt: skip
    assert code == 0
    return stress, tangent, new, numbers


@pytest.mark.parametrize("element", ELEMENTS)
def test_umat_speaks_engineering_shear_and_accumulates_energies(emitted, element):
    """Two steps against the solid in Mandel components, with all three constants."""
    ndi, nshr, kind = ELEMENTS[element]
    components, props = PLACES[element], (2.0, 0.5, 4.0)
    count = emitted[1].two_solid_states(kind)
    point = Umat(emitted, ndi, nshr, count + 1, props)
    factor = np.array([1.0 if a < 3 else ROOT for a in components])
    size = 6 if kind == 0 else 4
    states, old, dissipated = np.zeros(count), np.zeros(size), 0.0
    rng, stran = np.random.default_rng(0), np.zeros(len(components))
    for _ in range(2):
        dstran = 0.1 * rng.normal(size=len(components))
        strain = np.zeros(size)
        strain[components] = (stran + dstran) / factor
        stress, tangent, states, numbers = solid(emitted, kind, strain, old, states, 0.8, props)
        point(stran, dstran, 0.8)
        dissipated += numbers[1]
        block = tangent[np.ix_(components, components)]
        close = {"rtol": 1e-13, "atol": 1e-15}
        np.testing.assert_allclose(point.stress, stress[components] / factor, **close)
        np.testing.assert_allclose(point.ddsdde, block / np.outer(factor, factor), **close)
        np.testing.assert_allclose(point.statev[:count], states, **close)
        assert point.statev[count] == numbers[3]
        assert point.sse[0] == pytest.approx(numbers[0], rel=1e-14)
        assert point.spd[0] == pytest.approx(dissipated, rel=1e-14)
        assert point.pnewdt[0] == 1.0
        stran, old = stran + dstran, strain


def test_ddsdde_is_the_derivative_with_respect_to_engineering_strain(emitted):
    strain, h = np.array([0.1, -0.05, 0.02, 0.08, -0.03, 0.06]), 1e-5
    point = Umat(emitted, 3, 3, 50)
    point(np.zeros(6), strain, 0.3)
    for c in range(6):
        stresses = []
        for sign in (1, -1):
            moved = Umat(emitted, 3, 3, 50)
            moved(np.zeros(6), strain + sign * h * np.eye(6)[c], 0.3)
            stresses.append(moved.stress)
        difference = (stresses[0] - stresses[1]) / (2 * h)
        np.testing.assert_allclose(difference, point.ddsdde[c], atol=1e-7)


def test_truss_is_the_law_less_its_stress_at_rest(emitted):
    ffi, functions = emitted
    point = Umat(emitted, 1, 0, 3, (2.0,))
    point([0.1], [0.05], 0.3)
    strain, old, outputs = np.array([0.35]), np.array([0.3]), np.zeros(8)
    pointer = ffi.from_buffer("double[]", outputs)
    code = functions.two_update_point(
        *(ffi.from_buffer("double[]", a) for a in (strain, old, np.zeros(2))), 0.3,
        pointer, pointer + 1, *(pointer + i for i in range(3, 8)),
    )  # fmt: skip
    assert code == 0
    stress, *states, tangent, energy, dissipation, _, validity = outputs
    actual = [point.stress[0], point.ddsdde[0, 0], point.sse[0], point.spd[0], *point.statev]
    stress, energy = stress + 0.3, energy + 0.3 * 0.15  # σ₀ = -0.3 at ε₀ = 0.2
    right = [2.0 * stress, 2.0 * tangent, 2.0 * energy, 2.0 * dissipation, *states, validity]
    np.testing.assert_allclose(actual, right, rtol=1e-13)


@pytest.mark.parametrize("bad", ["strain", "increment", "time", "long"])
@pytest.mark.parametrize("sizes", [(1, 0, 2), (3, 3, 50), (2, 1, 31)])
def test_umat_asks_for_a_cut_where_an_input_is_refused(emitted, sizes, bad):
    ndi, nshr, count = sizes
    n, nan = ndi + nshr, np.nan
    point = Umat(emitted, ndi, nshr, count)
    stran, dstran = np.zeros(n), np.full(n, 1e-3)
    dtime = {"time": nan, "long": 1e308}.get(bad, 0.3)
    (stran if bad == "strain" else dstran)[0] += nan if bad in ("strain", "increment") else 0.0
    point(stran, dstran, dtime)
    assert point.pnewdt[0] == 0.5
    assert not point.stress.any()
    assert not point.ddsdde.any()


@pytest.mark.parametrize("pnewdt", [1.0, -1.0, 0.9, 0.1])
def test_umat_leaves_the_next_step_to_the_host_after_convergence(emitted, pnewdt):
    point = Umat(emitted, 3, 3, 50)
    point.pnewdt[:] = pnewdt
    point(np.zeros(6), np.full(6, 1e-3), 0.3)
    assert point.stress.any()
    assert point.pnewdt[0] == pnewdt


def test_umat_reports_once_that_an_initial_stress_is_dropped(emitted, capfd):
    strain, stresses = np.full(6, 1e-3), []
    for initial in (2.0, 2.0, 0.0):
        point = Umat(emitted, 3, 3, 50)
        point.stress[:] = initial
        point(np.zeros(6), strain, 0.3)
        stresses.append(point.stress)
    assert capfd.readouterr().err.count("initial stress of element 1 (and of others) is drop") == 1
    np.testing.assert_array_equal(stresses[0], stresses[2])


@pytest.mark.parametrize("pnewdt", [1.0, -1.0, 0.9], ids=["Abaqus", "CalculiX", "asked before"])
@pytest.mark.parametrize("sizes", [(1, 0, 2), (3, 3, 50), (3, 1, 30), (2, 1, 31)])
def test_umat_asks_for_a_smaller_step_and_touches_nothing_else(emitted, sizes, pnewdt):
    ndi, nshr, count = sizes
    point = Umat(emitted, ndi, nshr, count)
    point.stress[:], point.statev[:], point.sse[:], point.pnewdt[:] = 1.0, 0.25, 3.0, pnewdt
    point(np.zeros(ndi + nshr), np.full(ndi + nshr, 1e200), 0.3)
    assert point.pnewdt[0] == 0.5
    assert np.all(point.stress == 1.0)
    assert np.all(point.statev == 0.25)
    assert point.sse[0] == 3.0
    assert not point.ddsdde.any()


@pytest.mark.parametrize(
    ("sizes", "props", "message"),
    [
        ((3, 3, 49), (), "needs 50 state variables"),
        ((2, 1, 30), (), "needs 31 state variables"),
        ((2, 2, 60), (), "this law has no such element"),
        ((1, 1, 60), (), "this law has no such element"),
        ((3, 3, 50), (0.0,), "density and time must be positive"),
        ((3, 3, 50), (1.0, -1.0), "density and time must be positive"),
        ((3, 3, 50), (1.0, 0.0, np.nan), "density and time must be positive"),
        ((3, 3, 50), (np.inf,), "density and time must be positive"),
        ((3, 3, 50), (1.0, 0.0, np.inf), "density and time must be positive"),
        ((3, 3, 50), (1.0, 0.0, 1.0, 5.0), "at most 3 constants"),
    ],
)
def test_umat_refuses_a_wrong_set_up_with_a_message(emitted, capfd, sizes, props, message):
    point = Umat(emitted, *sizes, props)
    n = sizes[0] + sizes[1]
    point(np.zeros(n), np.full(n, 0.1), 0.3)
    assert message in capfd.readouterr().err
    assert not point.stress.any()


def test_umat_refuses_large_displacements_with_a_message(emitted, capfd):
    point = Umat(emitted, 3, 3, 50)
    point.drot = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    point(np.zeros(6), np.full(6, 0.1), 0.3)
    assert "switch off large displacements" in capfd.readouterr().err
    assert not point.stress.any()


@pytest.mark.export
def test_umat_reads_the_step_of_hosts_that_pass_jstep(tmp_path, capfd):
    """JSTEP(3) = 1 says NLGEOM; only with -DLAW_JSTEP, because older hosts pass one number."""
    emit_c(EXPORTED / "exact_sls", tmp_path)
    for flags, refused in (((), False), (("-DLAW_JSTEP",), True)):
        library = tmp_path / f"lib{len(flags)}.so"
        subprocess.run(
            [find_compiler(), "-O1", "-DLAW_STOP()=(void)0", *flags, "-fPIC", "-shared", "-o",
             library, tmp_path / "constitutive.c", "-lm"],
            check=True,
        )  # fmt: skip
        ffi = cffi.FFI()
        ffi.cdef(declarations("exact_sls"))
        point = Umat((ffi, ffi.dlopen(str(library))), 3, 3, 6)
        point.jstep = [1, 1, 1, 0]
        point(np.zeros(6), np.full(6, 0.1), 0.3)
        assert ("switch off large displacements" in capfd.readouterr().err) == refused
        assert point.stress.any() != refused


@pytest.mark.export
def test_a_refusal_stops_the_host(tmp_path):
    """Without the override that these tests compile with."""
    emit_c(EXPORTED / "exact_trap", tmp_path, directions=7)
    library = tmp_path / "libtrap.so"
    subprocess.run(
        [find_compiler(), "-O1", "-fPIC", "-shared", "-o", library, tmp_path / "constitutive.c",
         "-lm"],
        check=True,
    )  # fmt: skip
    code = (
        "import ctypes\n"
        f"u = ctypes.CDLL({str(library)!r}).umat_\n"
        "z = (ctypes.c_double * 100)(); one = ctypes.byref(ctypes.c_int(1))\n"
        "u(*[z] * 18, b'', *[one] * 4, z, one, *[z] * 6, *[one] * 6, 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "exact_trap: UMAT: NTENS must be NDI + NSHR; found 1.\n"


def test_loader_finds_every_symbol_it_reads(emitted):
    ffi, f = emitted
    assert ffi.string(f.two_mfront_interface) == b"Generic"
    assert (f.two_mfront_mkt, f.two_api_version) == (1, 1)
    assert (f.two_BehaviourType, f.two_BehaviourKinematic) == (1, 1)
    assert (f.two_SymmetryType, f.two_ElasticSymmetryType) == (0, 0)
    assert (f.two_requiresStiffnessTensor, f.two_requiresThermalExpansionCoefficientTensor) == (
        0,
        0,
    )
    assert (f.two_ComputesInternalEnergy, f.two_ComputesDissipatedEnergy) == (1, 1)
    # MGIS takes 1 to mean that the temperature was the first external state variable
    assert f.two_TemperatureRemovedFromExternalStateVariables == 0
    assert strings(ffi, f.two_Gradients, f.two_nGradients) == ["Strain"]
    assert strings(ffi, f.two_ThermodynamicForces, f.two_nThermodynamicForces) == ["Stress"]
    assert (f.two_GradientsTypes[0], f.two_ThermodynamicForcesTypes[0]) == (1, 1)
    blocks = strings(ffi, f.two_TangentOperatorBlocks, f.two_nTangentOperatorBlocks)
    assert blocks == ["Stress", "Strain"]
    properties = strings(ffi, f.two_MaterialProperties, f.two_nMaterialProperties)
    assert properties == ["Density", "BulkModulus", "TimeScale"]
    assert (f.two_nExternalStateVariables, f.two_nParameters) == (0, 0)
    space = strings(
        ffi,
        f.two_Tridimensional_InternalStateVariables,
        f.two_Tridimensional_nInternalStateVariables,
    )
    assert len(space) == 51
    assert space[:3] == ["internal_0_1", "internal_1_1", "internal_0_2"]
    assert space[-1] == "Validity"
    assert all(f.two_Tridimensional_InternalStateVariablesTypes[i] == 0 for i in range(51))
    plane = strings(
        ffi, f.two_PlaneStress_InternalStateVariables, f.two_PlaneStress_nInternalStateVariables
    )
    assert plane[-2:] == ["AxialStrain", "Validity"]
    assert len(plane) == 32


@pytest.mark.parametrize(
    ("hypothesis", "kind"),
    [("Tridimensional", 0), ("PlaneStrain", 1), ("Axisymmetrical", 1),
     ("GeneralisedPlaneStrain", 1), ("PlaneStress", 2)],
)  # fmt: skip
def test_behaviour_integrates_the_solid(emitted, hypothesis, kind):
    size, count = (6 if kind == 0 else 4), emitted[1].two_solid_states(kind)
    point = Behaviour(emitted, f"two_{hypothesis}", size, count + 1)
    rng = np.random.default_rng(4)
    point.s1["gradients"][:] = 0.1 * rng.normal(size=size)
    point.s0["dissipated_energy"][0] = 7.0
    scales = (2.0, 0.5, 4.0)
    stress, tangent, states, numbers = solid(
        emitted, kind, point.s1["gradients"], np.zeros(size), np.zeros(count), 0.8, scales
    )
    assert point(4.0, 0.8) == 1
    np.testing.assert_allclose(point.s1["thermodynamic_forces"], stress, rtol=1e-13)
    np.testing.assert_allclose(point.arrays["K"].reshape(size, size), tangent, rtol=1e-14)
    np.testing.assert_allclose(point.s1["internal_state_variables"], [*states, numbers[3]])
    assert point.s1["stored_energy"][0] == pytest.approx(numbers[0], rel=1e-14)
    assert point.s1["dissipated_energy"][0] == pytest.approx(7.0 + numbers[1], rel=1e-14)
    assert not point.s0["internal_state_variables"].any()


def test_what_is_wanted_decides_what_is_computed(emitted):
    gradient = np.array([0.1, 0.0, -0.05, 0.02, 0.0, 0.03])
    elastic = solid(emitted, 0, gradient, gradient, np.zeros(50), 0.0, (2.0, 0.5, 4.0))[1]
    at_rest = solid(emitted, 0, 0 * gradient, 0 * gradient, np.zeros(50), 0.0, (2.0, 0.5, 4.0))[1]

    def ask(wanted):
        point = Behaviour(emitted, "two_Tridimensional", 6, 51)
        point.s1["gradients"][:] = gradient
        assert point(wanted, 0.8) == 1
        return point

    none = ask(0.0)
    assert none.s1["thermodynamic_forces"].any()
    assert not none.arrays["K"].any()
    prediction = ask(-1.0)
    assert not prediction.s1["thermodynamic_forces"].any()
    np.testing.assert_allclose(prediction.arrays["K"], at_rest.reshape(-1), rtol=1e-13)
    end = ask(1.0)
    assert end.s1["thermodynamic_forces"].any()
    assert np.abs(end.arrays["K"] - elastic.reshape(-1)).max() < 0.2 * elastic[0, 0]
    consistent = ask(4.0)
    assert consistent.arrays["K"][0] < end.arrays["K"][0]
    sound = ask(104.0)
    expected = np.sqrt(consistent.arrays["K"][0] / 3.0)
    assert sound.arrays["speed_of_sound"][0] == pytest.approx(expected, rel=1e-14)


def test_behaviour_refuses_with_a_message_and_proposes_half_the_step(emitted):
    point = Behaviour(emitted, "two_Tridimensional", 6, 51)
    point.s1["gradients"][:] = 1e200
    assert point(4.0, 0.8) == -1
    assert b"did not converge" in emitted[0].string(point.message)
    assert point.arrays["rdt"][0] == 0.5
    assert not point.s1["thermodynamic_forces"].any()
    point.s1["gradients"][:] = 0.1
    point.arrays["properties"][0] = 0.0
    assert point(4.0, 0.8) == -1
    assert b"must be positive" in emitted[0].string(point.message)
