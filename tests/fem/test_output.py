"""Files for ParaView hold the fields of the simulation."""

import h5py
import numpy as np
import pytest

from ibvonn_fem import FieldWriter

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
        with pytest.raises(OSError, match=r"bar.xdmf: the frame of time 0.5 .*Make room"):
            fields.write(0.5)
