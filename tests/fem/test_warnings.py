"""Warnings reach the person who runs a script, also after DOLFINx has captured Python's own."""

from pathlib import Path

import pytest
from scripts import run_script

pytestmark = pytest.mark.fem

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"

CAPTURE = """
import logging
logging.captureWarnings(True)  # as some versions of FFCx do when they are imported
"""

PULLED_BAR = f"""
{CAPTURE}
from mpi4py import MPI
import numpy as np
import ibvonn_fem as ib
from dolfinx import fem, mesh

bar = mesh.create_interval(MPI.COMM_WORLD, 4, (0.0, 1.0))
space = fem.functionspace(bar, ("Lagrange", 1))
u, end = fem.Function(space), fem.Constant(bar, 0.0)
ends = [
    fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[0], a)) for a in (0.0, 1.0)
]
bcs = [fem.dirichletbc(0.0, ends[0], space), fem.dirichletbc(end, ends[1], space)]
# Times a hundred times longer than in the training, at strain rates a hundred times lower.
model = ib.Scaled(ib.load_model("{EXPORTED}/trap"), stress_scale=1.0, time_scale=100.0)
law = ib.InternalVariableLaw(model, ib.Uniaxial(), u, 0)
problem = ib.InternalVariableProblem(law, u, bcs)
stepping = ib.TimeStepping(problem, lambda t: setattr(end, "value", 0.2 * t))
"""

RUN = """
stepping.run([0.0, 6.75, 13.5, 18.6, 21.0, 24.0, 27.0, 30.0])
assert abs(law.measure[:, 0] - 6.0).max(initial=0.0) < 1e-12  # twice the training range
"""

SENTENCE = "EnvelopeWarning: trap: 4 of 4 points (100 %) are outside the range"


def test_a_warning_that_is_only_python_s_is_lost(tmp_path):
    """Guards the tests below."""
    run = run_script(CAPTURE + 'import warnings\nwarnings.warn("lost")\n', tmp_path, "-Walways")
    assert (run.returncode, run.stderr) == (0, "")


def test_a_body_outside_the_training_range_warns_on_standard_error(tmp_path):
    run = run_script(PULLED_BAR + RUN, tmp_path)
    assert run.returncode == 0, run.stderr
    assert SENTENCE in run.stderr
    assert "script.py:" in run.stderr  # the line of the person, not one of ours


def test_a_run_warns_when_it_leaves_the_range_and_when_the_excursion_has_doubled(tmp_path):
    run = run_script(PULLED_BAR + RUN, tmp_path, "-Walways")
    # strains 3.72, 4.2, 4.8, 5.4 and 6: 0.24, 0.4, 0.6, 0.8 and 1 half widths beyond 3
    assert run.stderr.count(SENTENCE) == 2
    assert "0.24 half widths" in run.stderr
    assert "0.6 half widths" in run.stderr


def test_a_filter_silences_a_warning_or_makes_it_an_error(tmp_path):
    silent = run_script(PULLED_BAR + RUN, tmp_path, "-Wignore")
    assert (silent.returncode, silent.stderr) == (0, "")
    control = "import warnings\n"
    control += PULLED_BAR + 'warnings.simplefilter("error", ib.EnvelopeWarning)\n'
    control += (
        "try:\n    stepping.run([0.0, 6.75, 13.5, 18.6])\nexcept ib.EnvelopeWarning as error:\n"
    )
    control += '    print("raised", error, law.measure[0, 0])\n'
    raised = run_script(control, tmp_path)
    assert "raised trap: 4 of 4" in raised.stdout
    assert float(raised.stdout.split()[-1]) == pytest.approx(
        2.7
    )  # the state of the last step inside


@pytest.mark.parametrize("loop", ["for _ in range(3):", "if True:"])
def test_a_line_gives_the_same_warning_once(tmp_path, loop):
    """With one pass, that it is said at all."""
    run = run_script(
        f"""
        import logging
        logging.captureWarnings(True)
        import ibvonn_fem as ib
        model = ib.load_model("{EXPORTED}/trap")
        {loop}
            model.update([[6.0]], [[0.0]], [[0.0]], 0.1)
        """,
        tmp_path,
    )
    assert run.stderr.count("EnvelopeWarning") == 1


def test_a_handler_of_the_program_hears_the_warning_alone(tmp_path):
    run = run_script(
        "import logging, sys\n"
        'logging.basicConfig(stream=sys.stdout, format="LOG %(message)s")\n' + PULLED_BAR + RUN,
        tmp_path,
    )
    assert run.stderr == ""
    assert "LOG " in run.stdout
    assert SENTENCE in run.stdout


def test_too_few_quadrature_points_are_reported(tmp_path):
    script = PULLED_BAR.replace('("Lagrange", 1)', '("Lagrange", 2)')
    run = run_script(script, tmp_path)
    assert "UserWarning: InternalVariableLaw: 'trap' has 1 quadrature point(s)" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_say_it_once_and_raise_together(tmp_path, ranks):
    run = run_script(PULLED_BAR + RUN, tmp_path, "-Walways", ranks=ranks)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(SENTENCE) == 2
    others = list((tmp_path / "ranks").glob("*.log"))
    assert len(others) == ranks - 1
    assert not any("EnvelopeWarning" in path.read_text() for path in others)
    script = "import warnings\n" + PULLED_BAR
    # A filter of the first rank alone: what it makes an error is one on all.
    script += 'if bar.comm.rank == 0:\n    warnings.simplefilter("error", ib.EnvelopeWarning)\n'
    script += "try:\n    stepping.run([0.0, 6.75, 13.5, 18.6])\n"
    script += "except ib.EnvelopeWarning:\n    raised = 1\n"
    script += "print('raised on', bar.comm.allreduce(raised))\n"
    run = run_script(script, tmp_path, ranks=ranks, timeout=60.0)
    assert f"raised on {ranks}" in run.stdout, run.stdout + run.stderr


@pytest.mark.slow
def test_messages_of_training_reach_a_program_that_has_imported_dolfinx(tmp_path):
    run = run_script(
        """
        import logging
        logging.captureWarnings(True)
        from mpi4py import MPI
        import dolfinx
        from ibvonn_train.simulation import simulate_ensemble
        from ibvonn_train.files.c_compiler import CompilerError
        def none():
            raise CompilerError("no compiler")
        simulate_ensemble.library = none
        from ibvonn_train.simulation import TetheredParticle, simulate
        from ibvonn_train.simulation.protocols import ramp
        simulate(TetheredParticle(), [ramp(1.0)], duration=0.1, time_step=0.01, replicas=2, seed=1,
                 progress=False)
        """,
        tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert "simulating with torch, which is slower: no compiler" in run.stderr
