"""An exported model as the evaluation sees it: encoder, law and decoder of a directory."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..export import manifest as manifests
from ..export.constitutive_law import ConstitutiveLaw
from ..export.from_training import export_trained
from ..export.runtimes.onnx_session import session
from ..files.model_directory import read_arrays, read_listed
from ..files.state_bounds import bounds_of, groups_of
from ..law.free_energy import MicroscopicEnergy
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from ..training.trained_model import TrainedModel
from .interface import FloatArray

logger = logging.getLogger(__name__)

MICROSTATES_AT_ONCE = 200_000
"""Graphs of encoder and decoder hold some tens of numbers for each microstate at a time."""


class ExportedLaw:
    """Graphs of an exported directory, run by ONNX Runtime.

    Everything that is evaluated of a model is evaluated through this class, so what is certified is
    what crosses to the finite-element side.

    Args:
        directory: An exported model of format 2.
        energy: e(x, ε) per unit reference length of a system that is not known here.
        training_normalisation: Of α over the training set; a directory does not know it.

    Raises:
        FileNotFoundError: If the directory holds no manifest.
        ValueError: If the directory is not a complete, unaltered model.
    """

    def __init__(
        self,
        directory: str | Path,
        energy: MicroscopicEnergy | None = None,
        training_normalisation: Normalisation[FloatArray] | None = None,
    ) -> None:
        self.directory = Path(directory)
        path = self.directory / "manifest.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{directory}: not an exported model, it has no manifest.json. Write one with "
                "`ibvonn export`."
            )
        self.training_normalisation = training_normalisation
        self._energy = energy
        self.manifest: dict[str, Any] = manifests.read(self.directory)
        self.name: str = self.manifest["name"]
        self.averaged = self.manifest["strain"]["kind"] == "averaged"
        self.strain_size = len(self.manifest["strain"]["components"])
        self.internal_size = len(self.manifest["internal"]["components"])
        self.classes = len(self.manifest["classes"])
        self.internal_scale = np.asarray(self.manifest["internal"]["scale"], dtype=float)

    @cached_property
    def strain_reference(self) -> FloatArray:
        """Strain of the data that the law calls zero, ``(n_ε,)``."""
        stored = self.manifest["strain"].get("reference")
        if stored is not None:
            return np.asarray(stored, dtype=float)
        if not self.averaged:
            return np.zeros(self.strain_size)
        logger.info(
            "%s: its manifest, of an older version, has no strain.reference, the strain of the "
            "data that the law calls zero; it is computed by the encoder. Export the model again.",
            self.directory,
        )
        strain, _ = self.encode(np.zeros((1, 1, self.strain_size)))
        assert strain is not None  # noqa: S101 (the law is averaged)
        zero: FloatArray = 0.0 - strain[0]
        return zero

    @property
    def envelope(self) -> FloatArray:
        """Training range of each component of (ε, α), shape ``(n_ε + n_α, 2)``."""
        box = self.manifest["envelope"]
        return np.array([*box["strain"], *box["statev"]], dtype=float)

    @property
    def bounds(self) -> FloatArray:
        """Lowest and highest value of each α, ``(n_α, 2)``: of fractions; infinite for means."""
        return bounds_of(self.manifest["internal"]["variables"])

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Rows of the first component of a population and its number of states."""
        return groups_of(self.manifest["internal"]["variables"])

    @property
    def has_decoder(self) -> bool:
        """Whether the model can say how microstates are distributed."""
        return "decoder_log_density.onnx" in self.manifest["files"]

    @cached_property
    def physics(self) -> Physics | None:
        """What the manifest says of the microscopic system, or None."""
        micro = self.manifest["microscopic"]
        if micro is None:
            return None
        thermal = {key: micro[key] for key in ("thermal_energy", "effective_thermal_energy")}
        return physics_of(micro["system"], {**thermal, **micro["parameters"]}, self._energy)

    @property
    def system(self) -> str | None:
        """Name of the microscopic system, where the manifest has one."""
        micro = self.manifest["microscopic"]
        return None if micro is None else str(micro["system"])

    @cached_property
    def potentials(self) -> ConstitutiveLaw | None:
        """Potentials f and φ as torch modules, of a model that has parameters."""
        if "parameters.npz" not in self.manifest["files"]:
            return None
        arrays = read_arrays(self.directory, self.manifest, "parameters.npz")
        return ConstitutiveLaw.of_arrays(arrays)

    @property
    def has_potentials(self) -> bool:
        """Whether the model has f and φ themselves, not only the graphs of its rates."""
        return self.potentials is not None

    def _run(self, graph: str, **inputs: FloatArray) -> list[FloatArray]:
        opened = self._sessions.get(graph)
        if opened is None:
            opened = self._sessions[graph] = session(
                read_listed(self.directory, self.manifest, f"{graph}.onnx")
            )
        names = {entry.name for entry in opened.get_inputs()}
        feed = {
            key: np.ascontiguousarray(value, dtype=np.float64)
            for key, value in inputs.items()
            if key in names
        }
        values: list[FloatArray] = opened.run(None, feed)
        return values

    def _run_in_parts(self, graph: str, **inputs: npt.NDArray[Any]) -> list[FloatArray]:
        """Run over a few states at a time; the first input holds their microstates."""
        first = next(iter(inputs.values()))
        count = max(1, MICROSTATES_AT_ONCE // max(1, first[0].size))
        parts = [
            self._run(graph, **{key: v[at : at + count] for key, v in inputs.items()})
            for at in range(0, len(first), count)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    @cached_property
    def _sessions(self) -> dict[str, Any]:
        return {}

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ, g, α̇ for ε ``(n, n_ε)`` and α ``(n, n_α)``."""
        energy, stress, force, rate = self._run(
            "rates", strain=np.asarray(strain), statev=np.asarray(internal)
        )
        return Rates(energy[:, 0], stress, force, rate)

    def dual_dissipation(
        self, force: npt.ArrayLike, strain: npt.ArrayLike, internal: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ ``(n,)`` and ∂²φ/∂g² ``(n, n_α, n_α)``; needs ``parameters.npz``."""
        if self.potentials is None:
            raise ValueError(f"{self.name}: only models with parameters.npz give φ itself.")
        g, eps, alpha = (
            torch.tensor(np.asarray(v, dtype=float)) for v in (force, strain, internal)
        )
        dissipation = self.potentials.dissipation
        with torch.no_grad():
            value, _, hessian = dissipation.derivatives(g, *dissipation.prepare(eps, alpha))
        return value.numpy()[:, 0], hessian.numpy()

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)², ``(n, d, d)``; needs ``parameters.npz``."""
        if self.potentials is None:
            raise ValueError(f"{self.name}: only models with parameters.npz give the Hessian of f.")
        eps, alpha = (torch.tensor(np.asarray(v, dtype=float)) for v in (strain, internal))
        with torch.no_grad():
            _, _, hessian = self.potentials.energy.derivatives(eps, alpha)
        return hessian.numpy()

    def update(
        self, strain: FloatArray, strain_old: FloatArray, internal: FloatArray, dt: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return σ ``(n, n_ε)`` and α ``(n, n_α)`` after the implicit step of the exported update.

        Args:
            strain: ε at its end, ``(n, n_ε)``.
            strain_old: ε at its start.
            internal: α at its start, ``(n, n_α)``.
            dt: Its length, ``(n,)``.
        """
        stress, internal_new, *_ = self._run(
            "constitutive",
            strain=strain,
            strain_old=strain_old,
            statev=internal,
            dt=dt[:, None],
        )
        return stress, internal_new

    def encode(
        self, microstate: npt.NDArray[np.floating[Any]]
    ) -> tuple[FloatArray | None, FloatArray]:
        """Return ε (None if controlled) and α of ensembles ``(..., n_replica, n_x)``.

        With several classes of elements the microstates are ``(..., n_class, n_replica, n_x)``.
        """
        if "encoder.onnx" not in self.manifest["files"]:
            raise ValueError(
                f"{self.directory}: has no encoder, so that ensembles of microstates say nothing "
                "of its α. Judge a learned law, or drive this one with `ibvonn-fem run-point`."
            )
        axes = 2 if self.classes == 1 else 3
        lead = microstate.shape[:-axes]
        rows = microstate.reshape(-1, *microstate.shape[-axes:])
        columns = [c.reshape(*lead, -1) for c in self._run_in_parts("encoder", microstate=rows)]
        return (columns[1] if self.averaged else None), columns[0]

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q, ``(n_state, n_sample)``, of microstates ``(n_state, n_sample, n_x)``.

        With several classes there is an axis of classes behind that of states.
        """
        return self._run_in_parts(
            "decoder_log_density", microstate=microstate, strain=strain, statev=internal
        )[0]

    def sample(self, noise: FloatArray, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return microstates of the shape of ``noise``."""
        return self._run_in_parts("decoder_sample", noise=noise, strain=strain, statev=internal)[0]


def open_law(path: str | Path, energy: MicroscopicEnergy | None = None) -> ExportedLaw:
    """Open an exported directory, or a training's result (exported to a temporary folder).

    Args:
        path: A directory with a manifest, a `model.pt`, or the folder of one.
        energy: e(x, ε) per unit reference length of a system that is not known here.

    Raises:
        FileNotFoundError: If the path is neither.
    """
    source = Path(path)
    if (source / "manifest.json").is_file():
        return ExportedLaw(source, energy)
    if not (source.is_file() or (source / "model.pt").is_file()):
        raise FileNotFoundError(
            f"{source}: {'holds' if source.is_dir() else 'there is no such folder:'} neither an "
            "exported model (manifest.json) nor a trained one (model.pt). Give the folder that "
            "`ibvonn export` or `ibvonn train` wrote."
        )
    model = TrainedModel.load(source)
    folder = Path(tempfile.mkdtemp(prefix="ibvonn-"))
    # The export is shifted so that α = 0 at rest.
    rest, trained = model.equilibrium(np.zeros(model.strain_size)), model.normalisation
    normalisation = Normalisation(trained.shift - rest, trained.matrix)
    law = ExportedLaw(export_trained(model, folder / "model"), energy, normalisation)
    weakref.finalize(law, shutil.rmtree, folder, ignore_errors=True)
    return law
