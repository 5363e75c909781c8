"""The fields of an ensemble, and the sizes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .drive_records import Drive, StrainDriven
from .element_classes import ClassSymmetry
from .histogram import Histogram

FloatArray = npt.NDArray[np.float64]

DISPENSABLE = ("seed", "time_step")
"""What a record may lack; audits that need it are not available then."""
STEPS_OF_UNKNOWN = 10
"""Steps that stand for the shortest stored interval where the integrator's own are not known.

A law is then integrated in continuous time, by steps that are stable whatever the interval.
"""


@dataclass(frozen=True, eq=False)
class EnsembleFields:
    """Replicas of a microscopic system under several protocols of one duration.

    A *material point* has one strain and one stress. Its *elements* (springs, bonds, particles) are
    of one or more classes of like elements; a *site* is one class of one point, number
    point · n_class + class. A *replica* is independent of all others; it has one or more samples of
    each site.

    Attributes:
        time: Stored instants, ``(n_time,)`` [time].
        strain: ε, ``(n_protocol, n_time, n_point, n_ε)``.
        stress: σ, the measured mean, same shape, conjugate to ε per unit reference volume.
        microstate: Samples, dimensionless, ``(n_protocol, n_time, n_site, n_sample, n_x)``, the
            samples of one replica side by side; or None where there is a histogram.
        system: Name of the microscopic system.
        strain_kind: "controlled" (the decoder describes x) or "averaged" (ε = ⟨x⟩ and the decoder
            describes x − ε).
        parameters: Physical parameters, see `ensemble_checks.PARAMETER_KEYS`.
        time_step: The integrator's step [time].
        seed: Of the simulation.
        units: Unit of each quantity.
        drive: What drove the record, by default the strain.
        histogram: In place of ``microstate``.
        samples_per_replica: Samples of a site that belong to one replica, as the springs of a cell.
        energy: Mean energy per unit reference volume, ``(n_protocol, n_time, n_point)``, or None.
        stress_variance: Variance of the stress between replicas, shape of ``stress``, or None.
        strain_names, stress_names: Names of the components, in their order.
        strain_measure: In words: order, Mandel factors, reference of the strain.
        classes: Names of the classes of like elements.
        symmetry: Group of the material: permutations of the classes with what they do to strain.
        strain_basis: A, ``(n_class, q, n_ε)``: the strain that a class sees is A_a ε.
        reference_volume: Volume, area or length that energies are divided by.
        not_recorded: Those of "seed" and "time_step" that the source of the record does not say;
            their values here stand in for them, see :data:`STEPS_OF_UNKNOWN`.
    """

    time: FloatArray
    strain: FloatArray
    stress: FloatArray
    microstate: npt.NDArray[np.floating[Any]] | None
    system: str
    strain_kind: str
    parameters: dict[str, Any]
    time_step: float
    seed: int
    units: dict[str, str] = field(default_factory=dict)
    drive: Drive = field(default_factory=StrainDriven)
    histogram: Histogram | None = None
    samples_per_replica: int = 1
    energy: FloatArray | None = None
    stress_variance: FloatArray | None = None
    strain_names: tuple[str, ...] = ()
    stress_names: tuple[str, ...] = ()
    strain_measure: str = ""
    classes: tuple[str, ...] = ("element",)
    symmetry: tuple[ClassSymmetry, ...] = ()
    strain_basis: FloatArray = field(default_factory=lambda: np.empty((0, 0, 0)))
    reference_volume: float = 0.0
    not_recorded: tuple[str, ...] = ()

    @property
    def samples(self) -> npt.NDArray[np.floating[Any]]:
        """The microstates.

        Raises:
            ValueError: If the record has a histogram of them instead.
        """
        if self.microstate is None:
            raise ValueError(
                f"the record of {self.system!r} must hold samples of the microstates for this; it "
                'holds histograms. Simulate the set with record = "samples".'
            )
        return self.microstate

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """(n_protocol, n_time, n_site)."""
        if self.histogram is not None:
            return self.histogram.shape
        protocols, instants, sites = self.samples.shape[:3]
        return protocols, instants, sites

    @property
    def protocols(self) -> int:
        """Number of protocols."""
        return len(self.strain)

    @property
    def points(self) -> int:
        """Number of material points."""
        return int(self.strain.shape[2])

    @property
    def sites(self) -> int:
        """Number of sites: points times classes."""
        return self.state_shape[2]

    @property
    def replicas(self) -> int:
        """Number of independent replicas of each protocol."""
        if self.histogram is not None:
            return self.histogram.replicas
        return int(self.samples.shape[3]) // self.samples_per_replica

    @property
    def elements(self) -> int:
        """Samples of a site that belong to one replica."""
        if self.histogram is not None:
            return self.histogram.samples_per_replica
        return self.samples_per_replica

    @property
    def microstate_size(self) -> int:
        """n_x."""
        if self.histogram is not None:
            return int(self.histogram.nodes.shape[1])
        return int(self.samples.shape[4])

    @property
    def stride(self) -> int:
        """Steps of the integrator in the longest interval between stored instants."""
        return max(self.strides, default=1)

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps of the integrator in each interval between stored instants, at least one."""
        steps = np.rint(np.diff(self.time) / self.time_step)
        return tuple(int(count) for count in np.maximum(steps, 1))

    def small_datasets(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that a file holds beside the microstates."""
        names = ("time", "strain", "stress", "energy", "stress_variance", "strain_basis")
        arrays = {name: getattr(self, name) for name in names}
        given = {name: array for name, array in arrays.items() if array is not None}
        return {**given, **self.drive.datasets()}
