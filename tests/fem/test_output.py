"""Files for ParaView hold the fields of the simulation."""

from pathlib import Path
from types import SimpleNamespace

from mpi4py import MPI

import basix.ufl
import h5py
import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from scripts import run_script

from ibvonn_fem import FieldWriter, FullStrain, InternalVariableLaw, PlaneStrain, load_model
from ibvonn_fem.fields import _plain

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"

pytestmark = pytest.mark.fem


def test_an_xdmf_file_holds_nodal_displacement_and_cell_averages(zener, bar, tmp_path):
    body = bar(zener(), body_force=0.2)
    path = tmp_path / "out put é" / "bar.xdmf"
    path.parent.mkdir()
    with FieldWriter(path, body.law, body.u) as fields:
        for i in range(2):
            body.elongation.value = 0.3 * (i + 1)
            body.problem.solve(0.1)
            body.problem.commit()
            fields.write(0.1 * i)
    with h5py.File(path.with_suffix(".h5")) as file:
        names = set(file["Function"])
        stress = file["Function/zener_stress/0_10000000000000001"][:, 0]
        displacement = file["Function/displacement/0_10000000000000001"][:, 0]
        alpha = file["Function/zener_alpha/0_10000000000000001"][:, 0]
    assert names == {
        "displacement",
        "zener_stress",
        "zener_alpha",
        "zener_energy",
        "zener_dissipated",
        "zener_validity",
    }
    points = body.law.points
    np.testing.assert_allclose(
        stress, points.cell_average(body.stress[:, np.newaxis], body.law.volumes)[:, 0]
    )
    np.testing.assert_allclose(
        alpha, points.cell_average(body.law.internal[:, 0], body.law.volumes)[:, 0]
    )
    assert np.isclose(displacement.max(), 0.6)
    assert len(displacement) == 6  # vertices of five cells, though u is quadratic


def test_an_unknown_ending_is_refused(zener, bar, tmp_path):
    body = bar(zener())
    with pytest.raises(ValueError, match=r"must end in \.xdmf or \.pvd; found '\.vtk'"):
        FieldWriter(tmp_path / "bar.vtk", body.law, body.u)


def test_a_frame_that_cannot_be_written_is_named(zener, bar, tmp_path, monkeypatch):
    def full(time):
        raise RuntimeError("Failed to write HDF5")

    body = bar(zener())
    with FieldWriter(tmp_path / "bar.xdmf", body.law, body.u) as fields:
        fields.write(0.0)
        monkeypatch.setattr(fields, "_append", full)
        with pytest.raises(OSError, match=r"bar.xdmf: the frame of time 0.5 .* has space"):
            fields.write(0.5)


def curved(order):
    """The unit square with one bent side, of triangles whose edges are polynomials."""
    flat = mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    space = fem.functionspace(flat, ("Lagrange", order, (2,)))
    position = fem.Function(space)
    position.interpolate(lambda x: np.array([x[0] + 0.1 * x[1] ** 2, x[1]]))
    element = basix.ufl.element("Lagrange", "triangle", order, shape=(2,))
    return mesh.create_mesh(
        MPI.COMM_SELF,
        cells=space.dofmap.list.astype(np.int64),
        x=position.x.array.reshape(-1, 2).copy(),
        e=ufl.Mesh(element),
    )


def strained(body, degree):
    """A law and a quadratic displacement on a body."""
    u = fem.Function(fem.functionspace(body, ("Lagrange", 2, (2,))))
    u.interpolate(lambda x: np.array([0.01 * x[0] ** 2, 0.02 * x[1]]))
    model = load_model(EXPORTED / "exact_sls")
    return InternalVariableLaw(model, PlaneStrain(FullStrain(6)), u, degree), u


@pytest.mark.parametrize("suffix", ["xdmf", "pvd"])
def test_a_curved_body_is_written_with_its_own_nodes(suffix, tmp_path):
    law, u = strained(curved(2), 2)
    path = tmp_path / f"curved.{suffix}"
    with FieldWriter(path, law, u) as fields:
        fields.write(0.0)
    if suffix == "pvd":
        assert "curved000000.pvtu" in path.read_text()
        return
    with h5py.File(path.with_suffix(".h5")) as file:
        nodes = file["Mesh/mesh/geometry"][()]
        displacement = file["Function/displacement/0"][()]
    assert len(nodes) == 25
    np.testing.assert_allclose(displacement[:, 1], 0.02 * nodes[:, 1], atol=1e-14)
    np.testing.assert_allclose(displacement[:, 0], 0.01 * nodes[:, 0] ** 2, atol=1e-14)


def test_a_geometry_that_xdmf_does_not_know_is_sent_to_pvd(tmp_path):
    law, u = strained(curved(3), 2)
    with pytest.raises(ValueError, match=r"cubic.xdmf must end in \.pvd.*geometry of order 3"):
        FieldWriter(tmp_path / "cubic.xdmf", law, u)
    with FieldWriter(tmp_path / "cubic.pvd", law, u) as fields:
        fields.write(0.0)
    assert "cubic000000.pvtu" in (tmp_path / "cubic.pvd").read_text()


def test_two_laws_of_one_name_are_refused(zener, bar, tmp_path):
    body = bar(zener())
    with pytest.raises(ValueError, match=r"different names.*found 'zener' 2 times.*name="):
        FieldWriter(tmp_path / "bar.xdmf", [body.law, body.law], body.u)


def test_a_law_on_another_mesh_is_refused(zener, bar, tmp_path):
    body, other = bar(zener()), bar(zener())
    with pytest.raises(ValueError, match="law 'zener' is on another one"):
        FieldWriter(tmp_path / "bar.xdmf", other.law, body.u)


def test_names_are_words_that_every_reader_takes(zener, bar, tmp_path):
    body = bar(zener())
    body.law.name = "in the middle/äußen & <out>"
    with FieldWriter(tmp_path / "bar.xdmf", body.law, body.u) as fields:
        fields.write(0.0)
    with h5py.File(tmp_path / "bar.h5") as file:
        assert "in_the_middle_äußen____out__stress" in file["Function"]
    assert _plain("a b/c") == "a_b_c"


def test_an_internal_variable_that_is_called_energy_has_a_field_of_its_own(zener, bar, tmp_path):
    body = bar(zener())
    manifest = SimpleNamespace(internal_components=("energy",))
    body.law.start_from([0.25])
    stored = body.law.energy.x.array[0]
    body.law.model = SimpleNamespace(manifest=manifest)
    with FieldWriter(tmp_path / "bar.xdmf", body.law, body.u) as fields:
        fields.write(0.0)
    with h5py.File(tmp_path / "bar.h5") as file:
        assert file["Function/zener_internal_energy/0"][0, 0] == pytest.approx(0.25)
        assert file["Function/zener_energy/0"][0, 0] == pytest.approx(stored)
    assert stored != pytest.approx(0.25)


def test_frames_before_and_after_a_jump_are_kept_apart(zener, bar, tmp_path, capfd):
    body = bar(zener())
    with FieldWriter(tmp_path / "bar.xdmf", body.law, body.u) as fields:
        for elongation in (0.0, 0.5):
            body.u.x.array[:] = elongation
            fields.write(1.0)
        for time in (0.5, np.nan, np.inf):
            with pytest.raises(ValueError, match="must be finite and not decrease"):
                fields.write(time)
    with h5py.File(tmp_path / "bar.h5") as file:
        frames = file["Function/displacement"]
        assert sorted(float(frames[time][0, 0]) for time in frames) == [0.0, 0.5]
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match=r"no frame can be added after close\(\)"):
        fields.write(2.0)


@pytest.mark.parametrize("suffix", ["xdmf", "pvd"])
def test_a_folder_that_is_not_there_is_named_and_not_made(zener, bar, tmp_path, suffix):
    body = bar(zener())
    with pytest.raises(OSError, match=r"cannot be begun \(there is no folder .*nowhere"):
        FieldWriter(tmp_path / "nowhere" / f"bar.{suffix}", body.law, body.u)
    assert not (tmp_path / "nowhere").exists()


SCRIPT = f"""
from mpi4py import MPI
import numpy as np
import ibvonn_fem as ib
from dolfinx import fem, mesh

comm = MPI.COMM_WORLD
square = mesh.create_unit_square(comm, 4, 4)
owned = square.topology.index_map(2).size_local + square.topology.index_map(2).num_ghosts
cells = np.arange(owned, dtype=np.int32)
middle = mesh.compute_midpoints(square, 2, cells)
corner = (middle[:, 0] < 0.3) & (middle[:, 1] < 0.3)
tags = mesh.meshtags(square, 2, cells, np.where(corner, 1, 2).astype(np.int32))
space = fem.functionspace(square, ("Lagrange", 1, (2,)))
u = fem.Function(space)
clamp = fem.dirichletbc(
    np.zeros(2), fem.locate_dofs_geometrical(space, lambda x: np.isclose(x[0], 0.0)), space
)
model = ib.load_model("{EXPORTED}/exact_sls")
laws = [
    ib.InternalVariableLaw(
        model, ib.PlaneStrain(ib.FullStrain(6)), u, 0, subdomain=(tags, tag), name=name
    )
    for tag, name in ((1, "inclusion"), (2, "matrix"))
]
"""


@pytest.mark.parametrize("ranks", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))])
def test_a_rank_without_cells_of_a_material_writes_with_the_others(tmp_path, ranks):
    run = run_script(
        SCRIPT
        + """
stepping = ib.TimeStepping(ib.InternalVariableProblem(laws, u, [clamp]))
for end in ("xdmf", "pvd"):
    with ib.FieldWriter(f"two.{end}", laws, u) as fields:
        fields.write(0.0)
ib.write_checkpoint("two.h5.state", stepping, 0.0)
assert ib.read_checkpoint("two.h5.state", stepping) == 0.0
counts = comm.gather(laws[0].points.size)
totals = [law.range_report().total for law in laws]
if comm.rank == 0:
    assert 0 in counts  # a rank without the material
    print("written", totals, stepping.problem.statistics.sentence())
""",
        tmp_path,
        ranks=ranks,
        timeout=60.0,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "written [2, 30]" in run.stdout
    with h5py.File(tmp_path / "two.h5") as file:
        assert len(file["Function/inclusion_stress_0/0"]) == 32


def test_frames_of_a_program_that_was_killed_can_be_read(tmp_path):
    run = run_script(
        SCRIPT
        + """
import os, signal
fields = ib.FieldWriter("killed.xdmf", laws, u)
fields.write(0.0)
fields.write(0.5)
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path,
    )
    assert run.returncode == -9
    with h5py.File(tmp_path / "killed.h5") as file:
        assert set(file["Function/displacement"]) == {"0", "0_5"}
    assert (tmp_path / "killed.xdmf").read_text().rstrip().endswith("</Xdmf>")
