"""Six strains are Mandel's only where their names do not say otherwise."""

from __future__ import annotations

import json

import law_reference as reference
import numpy as np
import pytest
from model_directory import write_model

pytest.importorskip("dolfinx")

from ibvonn_fem import FullStrain, Microsphere, PlaneStrain
from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.model import mandel_matrix
from ibvonn_fem.model.mandel import ABAQUS, TENSOR, misplaced
from ibvonn_fem.model.mandel import VOIGT as VOIGT_ORDER
from ibvonn_fem.model.manifest import read_manifest

MANDEL = [f"strain_{axes}" for axes in ("xx", "yy", "zz", "xy", "xz", "yz")]
PLANE = [f"strain_{axes}" for axes in ("xx", "yy", "xy")]
VOIGT = [f"strain_{axes}" for axes in ("xx", "yy", "zz", "yz", "xz", "xy")]
ENGINEERING = [*MANDEL[:3], "gamma_xy", "gamma_xz", "gamma_yz"]


@pytest.mark.parametrize(
    ("names", "measure", "words"),
    [
        (MANDEL, "small strain, Mandel order: factor √2 on the shear components", ""),
        (MANDEL[:4], "", ""),
        (["e11", "e22", "e12"], "", ""),  # no separator: nothing is said
        (["e_11", "e_22", "e_12"], "", ""),
        (["e_11", "e_22", "e_21"], "", ""),
        ([f"strain_{i}" for i in range(6)], "", ""),
        (["strain"], "", ""),
        (VOIGT, "", "component 3 must be xy and is strain_yz"),
        (["e_11", "e_12", "e_22"], "", "component 1 must be yy and is e_12"),
        (ENGINEERING, "", "gamma_xy names an engineering shear strain"),
        (MANDEL, "engineering strains", "described as 'engineering strains'"),
    ],
)
def test_names_that_contradict_the_order_are_found(names, measure, words):
    message = misplaced(names, measure)
    assert words in message
    assert bool(message) == bool(words)


def law_of(folder, names):
    law = reference.random_parameters(len(names), 2, seed=1, width=4)
    path = write_model(folder, law) / "manifest.json"
    document = json.loads(path.read_text())
    document["strain"]["components"] = list(names)
    path.write_text(json.dumps(document))
    return folder


class Mesh:
    """As much of a mesh as the check of a kinematics looks at."""

    def __init__(self, dimension):
        self.topology = self.geometry = self
        self.dim = dimension


@pytest.mark.parametrize(("names", "right"), [(MANDEL, True), (VOIGT, False), (ENGINEERING, False)])
def test_a_solid_takes_no_other_order_for_mandels(tmp_path, names, right):
    manifest = read_manifest(law_of(tmp_path / "law", names))
    for solid, dimension in ((FullStrain(6), 3), (PlaneStrain(FullStrain(6)), 2)):
        if right:
            solid.check(Mesh(dimension), manifest)
            continue
        with pytest.raises(ValueError, match=r"needs strains in Mandel order \(xx, yy, zz, xy"):
            solid.check(Mesh(dimension), manifest)


def test_a_law_of_one_strain_has_no_order(tmp_path):
    manifest = read_manifest(law_of(tmp_path / "law", ["gamma_xy"]))
    Microsphere(25).check(Mesh(3), manifest)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (MANDEL[:2], "they need a law of 1, 3, 4 or 6 strains, and this one has 2"),
        (MANDEL[:3], "they need strains in Mandel order, and component 2 must be xy"),
        (PLANE, ""),
        (VOIGT, "they need strains in Mandel order, and component 3 must be xy"),
        (MANDEL, ""),
    ],
)
def test_a_c_file_without_umat_is_announced(tmp_path, caplog, names, words):
    emit_c(law_of(tmp_path / "law", names), tmp_path)
    text = (tmp_path / "constitutive.c").read_text()
    assert ("void LAW_UMAT" in text) == (not words)
    assert words in caplog.text
    assert bool(caplog.text) == bool(words)
    assert ("other codes: none; " + words[:20] in text) == bool(words)


def symmetric(components):
    """Mandel's six components as a tensor, written out."""
    xx, yy, zz, xy, xz, yz = components
    r = np.sqrt(2.0)
    return np.array([[xx, xy / r, xz / r], [xy / r, yy, yz / r], [xz / r, yz / r, zz]])


def test_components_of_another_code_follow_from_one_matrix():
    """σ_h = M σ, ε = Mᵀ ε_h, C_h = M C Mᵀ, in three orders, from the tensors themselves."""
    rng = np.random.default_rng(3)
    strain, stress = rng.normal(size=(2, 6))
    tangent = rng.normal(size=(6, 6))
    E, S = symmetric(strain), symmetric(stress)
    for host in (ABAQUS, VOIGT_ORDER, TENSOR):
        matrix = mandel_matrix(6, host)
        listed_once = len(host) == 6
        places = [("xyz".index(i), "xyz".index(j)) for i, j in host]
        own_strain = [E[i, j] * (2.0 if listed_once and i != j else 1.0) for i, j in places]
        np.testing.assert_allclose(matrix @ stress, [S[i, j] for i, j in places])
        np.testing.assert_allclose(matrix.T @ own_strain, strain)
        assert (matrix @ stress) @ own_strain == pytest.approx(np.tensordot(S, E))
        mapped = matrix @ tangent @ matrix.T @ own_strain
        np.testing.assert_allclose(mapped, matrix @ (tangent @ strain))


def test_strains_that_a_host_does_not_have_are_zero_and_stresses_of_no_law_too():
    plane = mandel_matrix(6, ("xx", "yy", "xy"))  # a law of space in plane strain
    np.testing.assert_allclose(plane.T @ [1, 2, 3], [1, 2, 0, 3 / np.sqrt(2), 0, 0])
    in_space = mandel_matrix(3)  # a law of the plane in a code of six components
    np.testing.assert_allclose(in_space @ [1, 2, np.sqrt(8)], [1, 2, 0, 2, 0, 0])


@pytest.mark.parametrize(
    ("size", "host", "words"),
    [(2, ABAQUS, "6, 4 or 3 strain components; found 2"), (6, ("11", "xx"), "found 11. Name")],
)
def test_orders_that_are_none_are_refused(size, host, words):
    with pytest.raises(ValueError, match=words):
        mandel_matrix(size, host)
