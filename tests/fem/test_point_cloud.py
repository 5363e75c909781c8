"""The values at quadrature points: arrays on rank 0, and VTKHDF files that VTK itself reads."""

from mpi4py import MPI

import h5py
import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    Microcircle,
    TimeStepping,
)
from ibvonn_fem.stepping import PointCloudWriter, point_cloud

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

WORLD, ALONE = MPI.COMM_WORLD, MPI.COMM_SELF
TIMES = np.linspace(0.0, 1.0, 4)


@pytest.fixture
def folder(tmp_path):
    """The same folder on all ranks."""
    return WORLD.bcast(tmp_path)


def plate(model, comm):
    """A plate under uneven strain whose springs creep, and where its points are."""
    body = mesh.create_unit_square(comm, 3, 2)
    space = fem.functionspace(body, ("Lagrange", 2, (2,)))
    u, pulled = fem.Function(space), fem.Constant(body, np.zeros(2))
    bcs = [
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[1], a)), space
        )
        for value, a in ((fem.Constant(body, np.zeros(2)), 0.0), (pulled, 1.0))
    ]
    law = InternalVariableLaw(model, Microcircle(3, density=2.0), u, 2)
    problem = InternalVariableProblem(law, u, bcs)

    def loading(time):
        pulled.value[:] = 0.1 * time, 0.3 * time

    return law, TimeStepping(problem, loading)


def test_the_cloud_holds_the_values_of_all_points(zener):
    law, stepping = plate(zener(), WORLD)
    stepping.run(TIMES)
    cloud = point_cloud(law)
    stored, dissipated = law.stored_energy(), WORLD.allreduce(float(law.dissipated @ law.volumes))
    assert (cloud is None) == (WORLD.rank > 0)
    if cloud is None:
        return
    assert np.array_equal(cloud.point, np.arange(12 * law.points.per_cell))
    assert cloud.fields["alpha"].shape == (len(cloud.point), 3)  # a component for each direction
    assert np.isclose(cloud.volume.sum(), 1.0)
    np.testing.assert_allclose(cloud.volume @ cloud.fields["energy"][:, 0], stored, rtol=1e-13)
    np.testing.assert_allclose(
        cloud.volume @ cloud.fields["dissipated"][:, 0], dissipated, rtol=1e-13
    )
    edge = np.abs(cloud.position[:, 1] - 1.0) < 0.1
    assert np.abs(cloud.fields["displacement"][edge, 1] - 0.3).max() < 0.1  # control of positions
    assert np.abs(cloud.fields["displacement"][~edge, 1] - 0.3).max() > 0.1


def test_the_cloud_is_the_same_on_any_number_of_ranks(zener):
    clouds = []
    for comm in (WORLD, ALONE):
        law, stepping = plate(zener(), comm)
        stepping.run(TIMES)
        clouds.append(point_cloud(law))
    if WORLD.rank == 0:
        together, alone = clouds
        assert np.array_equal(together.point, alone.point)
        np.testing.assert_allclose(together.position, alone.position, atol=1e-14)
        for name, values in alone.fields.items():
            np.testing.assert_allclose(together.fields[name], values, rtol=1e-11, atol=1e-13)


def test_vtk_reads_every_frame(zener, folder):
    vtk_hdf = pytest.importorskip("vtkmodules.vtkIOHDF")
    numpy_support = pytest.importorskip("vtkmodules.util.numpy_support")
    law, stepping = plate(zener(), WORLD)
    path, clouds = folder / "plate é.vtkhdf", []
    with PointCloudWriter(path, law) as points:

        def frame(step):
            points.write(step.time)
            clouds.append(point_cloud(law))

        stepping.run(TIMES, frame)
    if WORLD.rank > 0:
        return
    reader = vtk_hdf.vtkHDFReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert reader.GetNumberOfSteps() == len(TIMES) == len(clouds)
    for number, cloud in enumerate(clouds):
        reader.SetStep(number)
        reader.Update()
        grid = reader.GetOutput()
        assert grid.GetNumberOfCells() == grid.GetNumberOfPoints() == len(cloud.point)
        assert grid.GetCellType(0) == 1  # a vertex
        position = numpy_support.vtk_to_numpy(grid.GetPoints().GetData())
        np.testing.assert_allclose(position[:, :2], cloud.position, atol=1e-14)
        data = grid.GetPointData()
        read = {
            name: numpy_support.vtk_to_numpy(data.GetArray(name))
            for name in ("stress", "strain", "alpha", "energy", "dissipated", "displacement")
        }
        for name, values in read.items():
            expected = cloud.fields[name]
            np.testing.assert_array_equal(
                values.reshape(len(expected), -1)[:, : expected.shape[1]], expected
            )
        assert not np.array_equal(read["alpha"], clouds[number - 1].fields["alpha"])  # control
    pipeline = pytest.importorskip("vtkmodules.vtkCommonExecutionModel")
    key = pipeline.vtkStreamingDemandDrivenPipeline.TIME_STEPS()
    instants = reader.GetOutputInformation(0).Get(key)
    np.testing.assert_allclose(instants, [0.0, *TIMES[1:]], atol=1e-300)


def test_a_jump_has_two_frames_and_times_do_not_go_back(zener, folder):
    law, _ = plate(zener(), WORLD)
    with PointCloudWriter(folder / "a.vtkhdf", law) as points:
        points.write(0.5)
        points.write(0.5)
        with pytest.raises(ValueError, match=r"not decrease; found 0\.25 after 0\.5"):
            points.write(0.25)
    with pytest.raises(ValueError, match=r"no frame can be added after close\(\)"):
        points.write(1.0)
    if WORLD.rank == 0:
        with h5py.File(folder / "a.vtkhdf") as file:
            assert np.array_equal(file["VTKHDF/Steps/Values"][()], [0.5, np.nextafter(0.5, np.inf)])


def test_wrong_arguments_are_refused(zener, folder):
    law, _ = plate(zener(), WORLD)
    with pytest.raises(ValueError, match=r"must end in \.vtkhdf; found '\.vtu'"):
        PointCloudWriter(folder / "a.vtu", law)
    with pytest.raises(TypeError, match="one InternalVariableLaw; found list"):
        PointCloudWriter(folder / "a.vtkhdf", [law])
    with pytest.raises(OSError, match=r"cannot be begun .* Check that its folder exists"):
        PointCloudWriter(folder / "nowhere" / "a.vtkhdf", law)


def test_a_frame_that_cannot_be_written_is_named_on_all_ranks(zener, folder):
    law, _ = plate(zener(), WORLD)
    points = PointCloudWriter(folder / "a.vtkhdf", law)
    points.write(0.0)
    WORLD.barrier()
    if WORLD.rank == 0:
        (folder / "a.vtkhdf").write_bytes(b"")
    WORLD.barrier()
    with pytest.raises(OSError, match=r"a\.vtkhdf: the frame of time 0\.5 cannot be written"):
        points.write(0.5)
