"""What ``ibvonn VERB --help`` says of each verb."""

from __future__ import annotations

DESCRIPTION = """\
Learn constitutive laws from Langevin microsimulations and export them to
finite-element codes.

a first run, in an empty folder:
  ibvonn init trap                     write trap.toml
  ibvonn simulate trap.toml            write data/train.h5, data/test.h5, ...
  ibvonn train trap.toml data/train.h5 --out run
  ibvonn evaluate run --ensemble data/test.h5 --training data/train.h5
  ibvonn export run trap_law           write the model that finite-element codes read
  ibvonn verify trap_law               compare ONNX, TorchScript and C with torch
  ibvonn card trap_law                 write its README.md again

One TOML holds the whole study: [simulation] or [import], and [training].
exit codes: 0 all well; 1 the command failed (or the law did, with --strict);
2 wrong arguments; 130 interrupted.
"""

SIMULATE = """\
Simulate the sets of protocols that the [simulation] table of CONFIG names, each into
OUT/NAME.h5 (HDF5; axes and units in CONVENTIONS.md). A system FILE.py:CLASS is a Python file
that is RUN: read it before you simulate from a TOML that you have not written.

example:
  ibvonn simulate trap.toml --set test
"""

IMPORT = """\
Turn the trajectories of another simulator into one data file. Their formats are found by their
names: text dumps of LAMMPS, H5MD (.h5), GSD, DCD, XTC, TRR, NetCDF, and plain CSV and NPZ; tables
of fix ave/time or of OpenMM's StateDataReporter stand beside them. The [import] table of STUDY says
what trajectories lack: replicas, microstates, strain, stress or energy, friction, temperature,
units (docs/how-to/own_trajectories.md). What was understood is printed. Files that contradict
themselves or the description are refused. Files may be larger than the memory.

examples:
  ibvonn import fast_*.dump --describe study.toml --out data/fast.h5
  ibvonn import run.gsd --describe study.toml --out data/run.h5
"""

TRAIN = """\
Train a law on ensembles, one file for each duration. A TOML among the files says with its
[training] table what is learned; without one, the data decide and the law is named after the
first file. OUT receives model.pt, checkpoint.pt, config.json, log.csv, report.npz and four
figures: slow features, history, roll-outs of the validation protocols, errors of all protocols.
Ctrl-C finishes the step and writes the checkpoint; --resume goes on from it and gives the same
numbers as a run that was never interrupted.

At its end the training says whether the law can be trusted: the roll-outs on the protocols that it
has held out and on those that it has seen, beside the sampling error of the data.

If the TOML has a [simulation] table whose system is FILE.py:CLASS, that Python file is RUN, for
its microscopic energy: read it before you train from a TOML that you have not written.

examples:
  ibvonn train data/train.h5
  ibvonn train data/fast.h5 data/slow.h5 --internal populations=2 --strict
  ibvonn train trap.toml --data data/train.h5 --out run --resume
"""

EVALUATE = """\
Evaluate a law on ensembles that its training has not seen: print the errors of its roll-outs
beside the sampling error of the ensembles, and the audits of its potentials.

MODEL is an exported directory, or what `ibvonn train` wrote. Errors are 100 ‖a − b‖/‖b‖
pooled over protocols, times and sites; roll-outs start from the encoded first state in
the data's own forward-Euler convention. Internal variables are compared as they are normalised
over the training set (zero mean, unit variance, uncorrelated). An exported directory does not
know this normalisation: give --training, or else it is taken over the ensemble itself.

example:
  ibvonn evaluate run --ensemble data/test.h5 --training data/train.h5 \\
      --slow data/slow.h5 --json result.json --figures figures
"""

EXPORT = """\
Write a trained law as the directory that finite-element codes read. With --ensemble, the
certificate of its audits on these unseen data and the errors of its roll-outs go into the
manifest. With --verify, so does the table that compares the runtimes. The model card
(README.md) is made of the manifest.

example:
  ibvonn export run trap_law --ensemble data/test.h5 --slow data/slow.h5
"""

VERIFY = """\
Compare all runtimes of an exported model on the same steps: torch, TorchScript, ONNX and
the C file (batched and scalar, two sets of compiler flags), on those of reference.npz
and on random ones inside the envelope and three times beyond it. The table goes into
manifest.json; the exit code is 1 where a runtime does not agree.

example:
  ibvonn verify trap_law
"""

CARD = """\
Write the model card of an exported directory again: README.md, made of manifest.json, and
response.png, a cycle of strain at three rates. With --seeds, the median and spread of the
errors of laws that were trained alike go into the manifest first.

examples:
  ibvonn card trap_law
  ibvonn card trap_law --seeds seed_0.json seed_1.json seed_2.json
"""

REPRODUCE = """\
Repeat studies with several seeds: the two examples of the paper and the other systems of this
project. Every seed simulates training data of its own and trains a law; all are evaluated on the
same test sets. One table shows published errors, those of the closed-form law, the sampling error
of the test sets, median and worst seed, and the errors that must be reached. What OUT holds
already is used again, so an interrupted run goes on. One process runs on each core; `all` takes
about an hour on two cores.

examples:
  ibvonn reproduce trap --seeds 5 --out build/reproduce --json build/trap.json
  ibvonn reproduce all --out build/reproduce
"""

SCAN = """\
Train the law of CONFIG with several kinds and numbers of internal variables and evaluate each on
unseen data: negative log-likelihood, information that the variables retain of a microstate (nats),
memory that they lack (Markov residual), errors of roll-outs. Take the fewest after which these
no longer improve.

example:
  ibvonn scan trap.toml --data data/train.h5 --ensemble data/validation.h5 --figure scan.png
"""

SPOT_CHECK = """\
Simulate the microscopic system of a law along the strain histories that a finite-element analysis
has recorded (TimeStepping(record=Histories(...))), and print how far the law was off, point by
point, with confidence intervals that hold for all points together. The column `time steps in %` is
the error of the analysis' own time steps. A point is off where its interval lies beyond the
tolerance, within where it lies below, and undecided otherwise.

example:
  ibvonn spot-check plate.h5 --model exported_models/lattice --replicas 64 --figure plate.png
"""

MICROSTATES = """\
Draw the microscopic configuration at a quadrature point and an instant of a recorded analysis
(TimeStepping(record=Histories(...))): a cell of the lattice with its open bonds, the springs of a
ring, particles in their trap. One picture is sampled from the decoder of the law, given the strain
and the internal variables that the analysis had there; the one beside it is the microscopic system,
simulated along the strain that the point has seen until then.

example:
  ibvonn microstates plate.h5 --model exported_models/lattice --point 17 --time 300 --out cell.png
"""

ERROR_FIELD = """\
Estimate the stress error of a law at every state of a recorded analysis. The microscopic system is
simulated again at points that fill the strains and internal variables of the analysis. A Gaussian
process over strain, internal variables and strain rate interpolates the errors, with a standard
deviation that is calibrated on points left out. StressErrors and FieldWriter of ibvonn_fem read
OUT. HISTORIES should hold every point: TimeStepping(record=Histories(FILE, EveryPoint())).

example:
  ibvonn error-field plate.h5 --model exported_models/lattice --points 24 --out plate_errors.npz
"""

LEARN_ON_DEMAND = """\
Run an analysis and simulate the microscopic system along the strain of chosen points. Where the law
is off, or was evaluated outside its training range, train it on these paths; repeat until the check
passes or the budget of [on_demand] is spent. The command of the analysis
that STUDY names is RUN: read it before you run a STUDY that you have not written. Every round keeps
its law, data and verdict in OUT; an interrupted run goes on where it was.

example:
  ibvonn learn-on-demand plate.toml --out plate_rounds
"""

INIT = """\
Write the files of a study to start from:
  trap    tethered particle in an optical trap: example 1 of the paper, minutes
  chain   chain of two-well springs: a reduced example 2 of the paper, minutes
  own     a system of your own: a potential in Python and its TOML
"""
