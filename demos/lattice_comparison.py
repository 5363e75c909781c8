"""Kinds of finite elements against a lattice that was simulated whole: errors and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpi4py import MPI

import lattice_bodies as bodies
from lattice_elements import Elements, Response, elastic_stiffness, run_elements
from lattice_meshes import Grid
from lattice_reference import Reference, Size, amplitude_of, shown_instant
from tabulate import tabulate

import ibvonn_fem

CELLS = {2: "triangles", 3: "tetrahedra"}


@dataclass(frozen=True)
class Row:
    """One line of the table: errors in per cent for each duration, on rank 0.

    Attributes:
        name: Of the law.
        cells: Triangles or tetrahedra, in words.
        felt: Error of what the grips feel.
        opened: Error of the open fractions on patches.
        seconds: Processor time of all durations.
        validity: Largest excursion from the range of the training, in half widths.
    """

    name: str
    cells: str
    felt: list[float]
    opened: list[float]
    seconds: float = 0.0
    validity: float = 0.0


@dataclass(frozen=True)
class Variant:
    """A kind of finite elements."""

    name: str
    model: ibvonn_fem.ExportedModel
    cells: str
    grid: Grid
    drag: bool = True


class Comparison:
    """All kinds of finite elements against the lattice.

    Args:
        experiment: The body.
        references: Its lattice, for each duration.
        size: Resolution.
    """

    def __init__(
        self, experiment: bodies.Experiment, references: Sequence[Reference], size: Size
    ) -> None:
        self.experiment, self.references, self.size = experiment, references, size
        self.bonds = bodies.bonds_on_patches(experiment, size.patches)
        self.patches = [
            bodies.patches_of_bonds(experiment, each.opened.mean(0), size.patches)
            for each in references
        ]
        self.rows: list[Row] = []
        self.responses: dict[tuple[str, str], list[Response]] = {}

    def add_sampling_error(self) -> None:
        """The line of the lattice itself."""
        felt, opened = [], []
        for each in self.references:
            halves = [each.felt[:, k::2].mean(1) for k in (0, 1)]
            felt.append(0.5 * bodies.percent(halves[0], halves[1]))
            patches = [
                bodies.patches_of_bonds(self.experiment, half, self.size.patches)
                for half in each.opened
            ]
            opened.append(0.5 * bodies.percent(patches[0], patches[1], self.bonds))
        seconds = sum(each.seconds for each in self.references)
        self.rows.append(Row("sampling error of the lattice", "", felt, opened, seconds))

    def add(self, variant: Variant) -> Row:
        """Run one kind of finite elements for all durations. Collective."""
        responses = []
        for each in self.references:
            body = Elements(variant.model, self.experiment, variant.grid, drag=variant.drag)
            amplitude = amplitude_of(self.experiment, each.duration)
            shown = shown_instant(self.size)
            responses.append(run_elements(body, amplitude, each.time, shown, self.size.steps))
        self.responses[variant.name, variant.cells] = responses
        row = self._row(variant, responses)
        self.rows.append(row)
        if MPI.COMM_WORLD.rank == 0:
            errors = ", ".join(f"{error:.2f}" for error in row.felt)
            print(f"{row.name}, {row.cells}: {errors} %, {row.seconds:.0f} s", flush=True)
        return row

    def add_elastic(self, variant: Variant) -> None:
        """The line of bonds that stay as they are at rest. Collective."""
        body = Elements(variant.model, self.experiment, variant.grid, drag=False)
        stiffness = elastic_stiffness(body)
        felt = [
            bodies.percent(
                stiffness * amplitude_of(self.experiment, each.duration)(each.time), each.mean
            )
            for each in self.references
        ]
        nothing = [100.0] * len(self.references)
        self.rows.append(Row("elastic", variant.cells, felt, nothing))

    def _row(self, variant: Variant, responses: list[Response]) -> Row:
        felt, opened = [], []
        if MPI.COMM_WORLD.rank == 0:
            pairs = zip(responses, self.references, self.patches, strict=True)
            for response, reference, patches in pairs:
                felt.append(bodies.percent(response.felt, reference.mean))
                of_elements = bodies.patches_of_cells(
                    self.experiment, response.corners, response.opened, self.size.patches
                )
                opened.append(bodies.percent(of_elements, patches, self.bonds))
        return Row(
            variant.name,
            variant.cells,
            felt,
            opened,
            sum(each.seconds for each in responses),
            max(each.validity for each in responses),
        )

    def table(self) -> str:
        """The lines."""
        quantity = "moment" if self.experiment.bends else "force"
        times = [f"{each.duration:g}" for each in self.references]
        header = [
            "law",
            CELLS[self.experiment.size],
            *(f"{quantity} %, T = {t}" for t in times),
            *(f"open fractions %, T = {t}" for t in times),
            "CPU s",
        ]
        lines = [
            [row.name, row.cells, *row.felt, *row.opened, row.seconds or None] for row in self.rows
        ]
        formats = ("", "", *[".2f"] * len(times), *[".1f"] * len(times), ".1f")
        return tabulate(lines, header, floatfmt=formats)

    def check(self, bound: float, finest: str | None = None) -> None:
        """The learned law agrees with the lattice, and nothing that was left out does.

        Args:
            bound: Largest error of what the grips feel, in per cent.
            finest: The cells for which it holds, where coarser ones are there for comparison only.
        """
        rows = {(row.name, row.cells): row for row in self.rows}
        learned = [row for row in self.rows if row.name == "learned law"]
        elastic = next(row for row in self.rows if row.name == "elastic")
        for row in learned:
            if finest in (None, row.cells):
                assert max(row.felt) < bound, f"{row.cells}: {row.felt} %"
            assert max(row.felt) < 0.5 * max(elastic.felt), "bonds that open must matter"
        undragged = [row for (name, _), row in rows.items() if name == "no drag"]
        for row in undragged:
            same = rows["learned law", row.cells]
            assert row.felt[0] > 1.2 * same.felt[0], "drag must matter at the faster rate"
        first, last = self.references[0], self.references[-1]
        assert first.mean.max() > last.mean.max(), "the faster load must need the larger force"


def cost_line(comparison: Comparison, row: Row) -> str:
    """Seconds of the lattice and of one kind of finite elements."""
    references = comparison.references
    lattice = sum(each.seconds for each in references)
    rate = sum(each.node_steps for each in references) / lattice
    replicas = references[0].felt.shape[1]
    return (
        f"cost: the lattice takes {lattice:.0f} s of processor time for {replicas} replicas "
        f"({rate / 1e9:.2f}e9 node updates per second), finite elements with "
        f"{CELLS[comparison.experiment.size]} {row.cells} {row.seconds:.0f} s."
    )
