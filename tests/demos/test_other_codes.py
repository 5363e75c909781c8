"""Laws in other codes and in DOLFINx: the same numbers (also: make demo-calculix)."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import load_model

pytestmark = [pytest.mark.demo, pytest.mark.fem, pytest.mark.export]

FOLDER = Path(__file__).resolve().parents[2] / "demos" / "other_codes"
HOSTS = {
    "scikit-fem": "skfem",
    "FElupe": "felupe",
    "NGSolve": "ngsolve",
    "SfePy": "sfepy",
    "torch-fem": "torchfem",
    "Akantu": "akantu",
}


def run(script, *arguments, folder):
    """Run a script of the folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, FOLDER / script, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_other_codes_agree_with_dolfinx_and_the_closed_form(tmp_path):
    pytest.importorskip("skfem")
    printed = run("compare.py", "--steps", "16", folder=tmp_path)
    assert {"C", "scikit-fem", "DOLFINx"} <= {line.split()[0] for line in printed.splitlines()}


@pytest.mark.slow
def test_paths_of_several_strains_agree_with_the_kernel(tmp_path):
    printed = run("compare_paths.py", folder=tmp_path)
    assert {"lattice", "fcc_bonds"} <= {line.split()[0] for line in printed.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("code", HOSTS)
def test_a_law_of_three_strains_in_another_code_agrees_with_dolfinx(tmp_path, code):
    if importlib.util.find_spec(HOSTS[code]) is None:
        pytest.skip(f"{code} is not installed here (pip install {code.lower()})")
    printed = run("compare_hosts.py", "--steps", "8", "--codes", code, folder=tmp_path)
    laws = {line.split()[0] for line in printed.splitlines() if f" {code} " in line}
    assert laws == {"lattice", "lattice_mean_field"}


@pytest.mark.slow
def test_three_ways_in_fenicsx_give_one_force(tmp_path):
    ways = {"dolfinx_problem", "dolfinx_own_form"}
    if importlib.util.find_spec("dolfinx_external_operator") is not None:
        ways |= {"dolfinx_operator"}
    printed = run("compare_dolfinx.py", folder=tmp_path)
    assert ways <= {line.split()[0] for line in printed.splitlines()}


def calculix():
    """The program that ``build_ccx.sh`` made, if it has."""
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    root = Path(os.environ.get("IBVONN_CACHE", Path(cache) / "ibvonn"))
    built = sorted(root.glob("calculix/ccx-*/ccx"))
    if not built:
        pytest.skip("CalculiX with external behaviours is not built here (make demo-calculix)")
    return built[-1]


@pytest.mark.slow
def test_calculix_takes_laws_of_three_and_of_six_strains(tmp_path):
    printed = run("calculix/tensor_laws.py", calculix(), "--steps", "8", folder=tmp_path)
    names = {line.split()[0] for line in printed.splitlines()}
    assert {"block_turned", "plane_strain_turned", "plane_stress_turned"} <= names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
def test_calculix_takes_a_law_whose_tangent_is_not_symmetric(tmp_path, monkeypatch):
    """It takes the symmetric part, which costs iterations and no accuracy."""
    program = calculix()
    from untrained_description import untrained_description

    from ibvonn_train.closed_form.random_law import untrained_populations
    from ibvonn_train.export import export_law
    from ibvonn_train.export.folding import with_zero_energy

    for folder in (FOLDER, FOLDER / "calculix"):
        monkeypatch.syspath_prepend(str(folder))
    tensor_laws = importlib.import_module("tensor_laws")
    law = with_zero_energy(untrained_populations(6, (3, 2, 2, 2, 2)))
    about = untrained_description(6, law.internal_size, name="skew", strain_order="mandel")
    directory = export_law(tmp_path / "skew", law, about)
    tensor_laws.compile_law(directory, tmp_path, "SKEW")
    problem = tensor_laws.Problem("skew", "C3D10", (0.3, 0.2, 0.1), (0.2, 0.6, 0.8), np.eye(3))
    tensor_laws.write_deck(problem, "SKEW", law.internal_size, 8, tmp_path / "skew.inp")
    forces = tensor_laws.forces(program, "skew", tmp_path)[:, 1:] / tensor_laws.DENSITY
    right = tensor_laws.in_dolfinx(problem, directory, 8)[:, 1:]
    assert np.abs(forces - right).max() < 1e-6 * np.abs(right).max()


@pytest.mark.parametrize(
    ("program", "most"),
    [
        ("c/ramp_and_hold.c", 40),
        ("c/strain_path.c", 50),
        ("fortran/ramp_and_hold.f90", 40),
        ("fortran/strain_path.F90", 40),
        ("scikit_fem_bar_and_plate.py", 80),
        ("scikit_fem_lattice.py", 90),
        ("felupe_lattice.py", 90),
        ("ngsolve_lattice.py", 90),
        ("sfepy_lattice.py", 95),
        ("torch_fem_lattice.py", 90),
        ("akantu_lattice.py", 90),
        ("dolfinx_problem.py", 50),
        ("dolfinx_own_form.py", 65),
        ("dolfinx_operator.py", 70),
    ],
)
def test_the_programs_are_short(program, most):
    assert len((FOLDER / program).read_text().splitlines()) <= most


@pytest.mark.slow
def test_the_program_of_the_page_gives_the_numbers_of_the_kernel(tmp_path):
    """docs/how-to/one_step.cpp with the library of the wheel; its headers are in Debian 13."""
    folders = [os.environ.get("ONNXRUNTIME_INCLUDE"), "/usr/include/onnxruntime"]
    header = [Path(f) for f in folders if f and (Path(f) / "onnxruntime_cxx_api.h").is_file()]
    if not header or shutil.which("g++") is None:
        pytest.skip("needs g++ and the headers of ONNX Runtime (Debian 13: libonnxruntime-dev)")
    ort = pytest.importorskip("onnxruntime")
    (library,) = (Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    root = FOLDER.parents[1]
    compile_it = ["g++", "-std=c++17", "-I", header[0], root / "docs/how-to/one_step.cpp"]
    subprocess.run([*compile_it, "libonnxruntime.so.1", "-o", "one_step"], cwd=tmp_path, check=True)
    model = root / "exported_models" / "trap"
    done = subprocess.run(
        [tmp_path / "one_step", model / "constitutive.onnx"],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    printed = np.array([line.split() for line in done.stdout.splitlines()], float)
    strain = np.array([[0.1], [0.2], [0.3]])
    step = load_model(model, kernel="c").update(strain, 0 * strain, 0 * strain, 0.05)
    expected = np.hstack([step.stress, step.statev_new, step.tangent[:, :, 0]])
    np.testing.assert_allclose(printed, expected, rtol=1e-12)
