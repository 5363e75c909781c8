"""Laws of three and six strains in other codes: UMAT, MGIS, batches, Fortran, against the kernel.

The plane lattices that are shipped, learned and with a table of rates, and laws of six populations
with random weights, one of them with a population of three states, whose tangent is not symmetric.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cffi
import numpy as np
import pytest
from host_points import ROOT, Behaviour, Umat, declarations, strings
from model_directory import EXPORTED
from untrained_description import untrained_description

from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.files.c_compiler import find_compiler
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import export_law
from ibvonn_train.export.folding import with_zero_energy

pytestmark = pytest.mark.export

DRIVERS = Path(__file__).parents[2] / "demos" / "other_codes"
RANDOM = {"six": (2,) * 6, "skew": (3, 2, 2, 2, 2)}
# NDI, NSHR, and the places of the host's components among Mandel's; -1: a sheet has none
ELEMENTS = {
    "lattice": {
        "plane strain": (3, 1, [0, 1, -1, 2]),
        "plane stress": (2, 1, [0, 1, 2]),
        "brick of a plane element": (3, 3, [0, 1, -1, 2, -1, -1]),
    },
    "lattice_mean_field": {"plane stress": (2, 1, [0, 1, 2])},
    "six": {"space": (3, 3, [0, 1, 2, 3, 4, 5]), "plane strain": (3, 1, [0, 1, 2, 3])},
    "skew": {"space": (3, 3, [0, 1, 2, 3, 4, 5]), "plane strain": (3, 1, [0, 1, 2, 3])},
}
SHIPPED = ("lattice", "lattice_mean_field")
CASES = [(law, element) for law, elements in ELEMENTS.items() for element in elements]


class Emitted:
    """A law as a compiled C file, and the kernel beside it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        directory = EXPORTED / name if name in SHIPPED else random_law(name, folder / "law")
        self.manifest = read_manifest(directory)
        self.sources = emit_c(directory, folder)
        self.kernel = CLibraryKernel(self.manifest.read_arrays("parameters.npz"))
        self.library = folder / f"lib{name}.so"
        subprocess.run(
            [find_compiler(), "-O2", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow",
             "-Werror", "-DLAW_STOP()=(void)0", "-fPIC", "-shared", "-o", self.library,
             self.sources[0], "-lm"],
            check=True,
        )  # fmt: skip
        self.ffi = cffi.FFI()
        self.ffi.cdef(declarations(name))
        self.functions = self.ffi.dlopen(str(self.library))
        self.hosted = (self.ffi, self.functions)
        self.strains = self.manifest.strain_size
        self.internals = len(self.manifest.internal_components)
        self.rest_stress = np.array(self.manifest.initial_state.stress)

    def solid_states(self, kind: int) -> int:
        return int(getattr(self.functions, f"{self.name}_solid_states")(kind))

    def strain(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Strains well inside the envelope, ``(count, strains)``."""
        low, high = np.array(self.manifest.envelope.strain).T
        return rng.uniform(0.5 * low, 0.5 * high, (count, self.strains))

    def batch(self, kind, strain, old, states, dt, scales=(1.0, 0.0, 1.0)):
        """Code, and stress, states, tangent, energy, dissipation, residual, validity."""
        n, size = strain.shape
        shapes = ((n, size), states.shape, (n, size, size), n, n, n, n)
        outputs = [np.zeros(shape) for shape in shapes]
        pointers = [
            self.ffi.from_buffer("double[]", np.ascontiguousarray(a))
            for a in (strain, old, states, dt, *outputs)
        ]
        call = getattr(self.functions, f"{self.name}_solid_batch")
        return call(kind, n, *scales, *pointers), outputs


def random_law(name: str, folder: Path) -> Path:
    law = with_zero_energy(untrained_populations(6, RANDOM[name]))
    about = untrained_description(6, law.internal_size, name=name, strain_order="mandel")
    return export_law(folder, law, about)


@pytest.fixture(scope="module")
def laws(tmp_path_factory):
    return {name: Emitted(name, tmp_path_factory.mktemp(name)) for name in ELEMENTS}


@pytest.mark.parametrize(("name", "element"), CASES)
def test_umat_is_the_kernel_in_the_order_of_the_host(laws, name, element):
    """Three steps with all three constants: stress, DDSDDE, states, energies, validity."""
    law = laws[name]
    ndi, nshr, places = ELEMENTS[name][element]
    density, time, dt = 2.0, 4.0, 40.0 if name in SHIPPED else 0.8
    point = Umat(law.hosted, ndi, nshr, law.internals + 1, (density, 0.0, time))
    shear = np.array([0.0] * ndi + [1.0] * nshr) > 0.0
    seen = np.array(places) >= 0
    own = np.array(places)[seen]
    factor = np.where(shear, ROOT, 1.0)
    stran, old = np.zeros(len(places)), np.zeros(law.strains)
    statev, dissipated = np.zeros(law.internals), 0.0
    for target in law.strain(np.random.default_rng(0), 3):
        strain = np.zeros(law.strains)
        strain[own] = target[own]
        dstran = np.zeros(len(places))
        dstran[seen] = strain[own] * factor[seen] - stran[seen]
        point(stran, dstran, dt)
        right = law.kernel.update(strain[None], old[None], statev[None], dt / time)
        stress = density * (right.stress[0] - law.rest_stress)
        tangent = density * right.tangent.reshape(law.strains, law.strains)
        dissipated += density * right.dissipation[0]
        energy = density * (right.energy[0] - law.rest_stress @ strain)
        close = {"rtol": 1e-10, "atol": 1e-12 * np.abs(tangent).max()}
        np.testing.assert_allclose(point.stress[seen], stress[own] / factor[seen], **close)
        outer = np.outer(factor[seen], factor[seen])
        # DDSDDE lies column by column
        ddsdde = point.ddsdde.T[np.ix_(seen, seen)]
        np.testing.assert_allclose(ddsdde, tangent[np.ix_(own, own)] / outer, **close)
        np.testing.assert_allclose(point.statev[:-1], right.statev_new[0], **close)
        assert point.statev[-1] == pytest.approx(right.validity[0], abs=1e-12)
        assert point.sse[0] == pytest.approx(energy, rel=1e-9, abs=1e-14)
        assert point.spd[0] == pytest.approx(dissipated, rel=1e-9, abs=1e-14)
        assert point.pnewdt[0] == 1.0
        stran, old, statev = stran + dstran, strain, right.statev_new[0].copy()
    across = point.ddsdde[~seen][:, ~seen]
    expected = point.ddsdde[0, 0] if element == "brick of a plane element" else 0.0
    np.testing.assert_array_equal(across, expected * np.eye(len(across)))
    np.testing.assert_array_equal(point.stress[~seen], 0.0)
    np.testing.assert_array_equal(point.ddsdde[seen][:, ~seen], 0.0)
    if name == "skew" and element == "space":
        assert np.abs(ddsdde - ddsdde.T).max() > 1e-4 * np.abs(ddsdde).max()


@pytest.mark.parametrize("name", ["six", "skew"])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 1), (2, 1)])
def test_ddsdde_is_the_derivative_also_where_it_is_not_symmetric(laws, name, sizes):
    law, n, h = laws[name], sum(sizes), 1e-5
    count = law.internals + (1 if sizes == (2, 1) else 0)
    strain = np.linspace(0.3, -0.2, n)

    def stress(moved):
        point = Umat(law.hosted, *sizes, count)
        point(np.zeros(n), moved, 0.8)
        return point.stress, point.ddsdde.T.copy(), point.statev

    _, ddsdde, statev = stress(strain)
    for c in range(n):
        up, down = (stress(strain + sign * h * np.eye(n)[c])[0] for sign in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * h), ddsdde[:, c], atol=3e-7)
    if sizes == (2, 1):  # the strain across makes the stress across vanish
        full = np.zeros(6)
        full[[0, 1, 2, 3]] = [strain[0], strain[1], statev[-1], strain[2] / ROOT]
        zero = np.zeros((1, 6))
        right = law.kernel.update(full[None], zero, np.zeros((1, law.internals)), 0.8)
        assert abs(right.stress[0, 2] - law.rest_stress[2]) < 1e-9


@pytest.mark.parametrize("place", [2, 4, 5])
def test_a_sheet_refuses_strains_across_it_in_words(laws, capfd, place):
    strain = np.array([0.01, 0.0, 0.0, 0.02, 0.0, 0.0])
    point = Umat(laws["lattice"].hosted, 3, 3, 3)
    point(np.zeros(6), strain, 3.0)
    assert point.stress.any()
    # as far as a host's round-off goes, and then beyond
    for size, refused in ((1e-12, False), (1e-4, True), (np.nan, False)):
        point = Umat(laws["lattice"].hosted, 3, 3, 3)
        point(np.zeros(6), strain + size * np.eye(6)[place], 3.0)
        assert ("there are strains across" in capfd.readouterr().err) == refused
        assert point.stress.any() == (size == 1e-12)
        assert point.pnewdt[0] == (0.5 if np.isnan(size) else 1.0)


def test_a_sheet_refuses_rotational_symmetry_in_words(laws, capfd):
    point = Umat(laws["lattice"].hosted, 3, 1, 3)
    point(np.zeros(4), np.array([0.01, 0.02, 0.01, 0.0]), 3.0)
    assert "use elements of plane strain or plane stress" in capfd.readouterr().err
    assert not point.stress.any()


@pytest.mark.parametrize(
    ("name", "kind"), [("lattice", 1), ("lattice", 2), ("six", 0), ("six", 1), ("six", 2)]
)
def test_a_batch_of_solids_is_its_points(laws, name, kind):
    """More points than the kernel takes at a time, with all three constants."""
    law, n, size = laws[name], 150, 6 if kind == 0 else 4
    rng, scales = np.random.default_rng(1), (2.0, 0.5, 4.0)
    strain, old = 0.05 * rng.normal(size=(2, n, size))
    # Random populations soften in long steps, and plane stress then has no or several solutions.
    dt = rng.uniform(0.1, 0.5 if kind == 2 else 10.0, n)
    states = np.zeros((n, law.solid_states(kind)))
    code, together = law.batch(kind, strain, old, states, dt, scales)
    assert code == 0
    for i in range(0, n, 29):
        one = slice(i, i + 1)
        outputs = [np.zeros_like(a[one]) for a in together]
        solid = getattr(law.functions, f"{name}_solid")
        arguments = [
            law.ffi.from_buffer("double[]", np.ascontiguousarray(a[one]))
            for a in (strain, old, states)
        ]
        results = [law.ffi.from_buffer("double[]", a) for a in outputs]
        assert solid(kind, *scales, *arguments, dt[i], *results) == 0
        for k, (alone, all_) in enumerate(zip(outputs, together, strict=True)):
            if k != 5:  # residuals are round-off
                np.testing.assert_allclose(alone, all_[one], rtol=1e-9, atol=1e-11)
    strain[40, 0] = np.nan
    code, together = law.batch(kind, strain, old, states, dt, scales)
    assert code == 1
    assert not together[5][40] <= 1e-10


def test_batches_of_what_the_law_cannot_be_are_refused(laws):
    law, six = laws["lattice"], np.zeros((1, 6))
    for kind, scales, code in ((0, (1.0, 0.0, 1.0), -2), (3, (1.0, 0.0, 1.0), -2),
                               (1, (0.0, 0.0, 1.0), -4)):  # fmt: skip
        assert law.batch(kind, six, six, np.zeros((1, 3)), np.ones(1), scales)[0] == code


def test_the_added_modulus_of_a_sheet_acts_on_its_area(laws):
    law = laws["lattice"]
    strain = np.array([[0.01, 0.02, 0.7, 0.005]])
    zero, states, dt = 0 * strain, np.zeros((1, 3)), np.ones(1)
    plain = law.batch(1, strain, zero, states, dt)[1]
    added = law.batch(1, strain, zero, states, dt, (1.0, 0.5, 1.0))[1]
    np.testing.assert_allclose(added[0] - plain[0], [[0.015, 0.015, 0.0, 0.0]], atol=1e-15)
    assert added[3][0] - plain[3][0] == pytest.approx(0.25 * 0.03**2, rel=1e-9)


def test_mgis_finds_the_hypotheses_that_the_law_has(laws):
    ffi, f = laws["lattice"].hosted
    listed = strings(
        ffi, f.lattice_PlaneStress_InternalStateVariables,
        f.lattice_PlaneStress_nInternalStateVariables,
    )  # fmt: skip
    assert listed == ["alpha_1", "alpha_2", "alpha_3", "Validity"]
    for missing in ("Tridimensional", "Axisymmetrical", "GeneralisedPlaneStrain"):
        with pytest.raises(AttributeError):
            getattr(f, f"lattice_{missing}")
    ffi, f = laws["six"].hosted
    count = f.six_Tridimensional_nInternalStateVariables
    names = [f"alpha_{i}" for i in range(6)]
    assert strings(ffi, f.six_Tridimensional_InternalStateVariables, count) == [*names, "Validity"]
    plane = f.six_PlaneStress_nInternalStateVariables
    listed = strings(ffi, f.six_PlaneStress_InternalStateVariables, plane)
    assert listed == [*names, "AxialStrain", "Validity"]


@pytest.mark.parametrize(
    ("name", "hypothesis", "kind"),
    [("lattice", "PlaneStrain", 1), ("lattice", "PlaneStress", 2), ("six", "Tridimensional", 0),
     ("skew", "Tridimensional", 0), ("six", "PlaneStress", 2)],
)  # fmt: skip
def test_behaviour_integrates_the_law(laws, name, hypothesis, kind):
    law, size = laws[name], 6 if kind == 0 else 4
    count = law.solid_states(kind)
    point = Behaviour(law.hosted, f"{name}_{hypothesis}", size, count + 1)
    strain = 0.05 * np.random.default_rng(3).normal(size=(1, size))
    point.s1["gradients"][:] = strain[0]
    _, right = law.batch(
        kind, strain, 0 * strain, np.zeros((1, count)), np.array([0.8]), (2.0, 0.5, 4.0)
    )
    assert point(4.0, 0.8) == 1
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(point.s1["thermodynamic_forces"], right[0][0], **close)
    np.testing.assert_allclose(point.arrays["K"].reshape(size, size), right[2][0], **close)
    states = [*right[1][0], right[6][0]]
    np.testing.assert_allclose(point.s1["internal_state_variables"], states, **close)


@pytest.mark.skipif(shutil.which("gfortran") is None, reason="needs gfortran")
@pytest.mark.parametrize("name", ["lattice", "six"])
def test_fortran_calls_a_batch_of_solids(laws, name, tmp_path):
    law = laws[name]
    kind, size, n = (1, 4, 2) if name == "lattice" else (0, 6, 2)
    count = law.solid_states(kind)
    (tmp_path / "main.f90").write_text(
        "program main\n"
        "  use, intrinsic :: iso_c_binding, only: c_int64_t\n"
        f"  use {name}_law, only: dp, solid_batch, solid_states\n"
        "  implicit none\n"
        f"  real(dp) :: e({size},2), z({size},2) = 0, a({count},2) = 0, b({count},2), dt(2)\n"
        f"  real(dp) :: s({size},2), c({size},{size},2), f(2), d(2), r(2), v(2)\n"
        "  integer :: i\n"
        f"  if (solid_states({kind}) /= {count}) error stop 1\n"
        f"  e = reshape([(0.003_dp*i, i = 1, {2 * size})], [{size}, 2]); dt = [1._dp, 20._dp]\n"
        f"  if (solid_batch({kind}, 2_c_int64_t, 2._dp, 0._dp, 4._dp, e, z, a, dt, s, b, c, &\n"
        "                  f, d, r, v) /= 0) error stop 2\n"
        "  print '(*(es25.16))', s\n"
        "end program\n"
    )
    subprocess.run(
        ["gfortran", "-std=f2008", "-Wall", "-Werror", "-J", tmp_path, "-o", tmp_path / "program",
         law.folder / "constitutive.f90", tmp_path / "main.f90", law.library,
         f"-Wl,-rpath,{law.folder}"],
        check=True,
    )  # fmt: skip
    run = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
    strain = 0.003 * np.arange(1, 2 * size + 1).reshape(n, size)
    _, right = law.batch(
        kind, strain, 0 * strain, np.zeros((n, count)), np.array([1.0, 20.0]), (2.0, 0.0, 4.0)
    )
    printed = np.array(run.stdout.split(), float)
    np.testing.assert_allclose(printed, right[0].reshape(-1), rtol=1e-12, atol=1e-15)


def test_laws_without_weights_in_c_are_refused_in_words(tmp_path):
    with pytest.raises(ExportedModelError, match=r"of family 'graph'. Use its constitutive.onnx"):
        emit_c(EXPORTED / "kramers_chain", tmp_path)
    assert not list(tmp_path.iterdir())
