"""One line per result of the benchmarks, and where others are faster or cheaper."""

from __future__ import annotations

from typing import Any

Records = dict[str, dict[str, Any]]
MAIN_BATCH = "10000"


def table(records: Records) -> str:
    """Return what was measured: benchmark, quantity, value; when and under which load."""
    lines = []
    for name, rows in (
        ("langevin", langevin(records["langevin"])),
        ("training_time", training(records["training_time"])),
        ("law_update", law_update(records["law_update"])),
        ("microsphere", microsphere(records["microsphere"])),
        ("fe_step", step(records["fe_step"])),
        ("fe_scaling", scaling(records["fe_scaling"])),
    ):
        lines += [f"{name:<14} {quantity:<62} {value}" for quantity, value in rows]
        lines.append(f"{name:<14} {'measured':<62} {_when(records[name]['machine'])}")
    return "\n".join(lines)


def _when(machine: dict[str, Any]) -> str:
    date, load = (machine.get(key, "not recorded") for key in ("date", "load"))
    return f"{date}, load {load}, {machine['processor']}"


def speeds(record: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Replica-steps per second by engine and case."""
    return {
        (row["engine"], row["case"]): row["replica_steps_per_s"]
        for row in record["results"]
        if "replica_steps_per_s" in row
    }


def langevin(record: dict[str, Any]) -> list[tuple[str, str]]:
    measured = speeds(record)
    rows = []
    for (engine, case), speed in measured.items():
        ratio = measured["compiled", case] / speed
        note = "" if engine == "compiled" else f", C is {ratio:.2g} times as fast"
        rows.append((f"{engine}: {case.split(',')[0]}", f"{speed:.3g} replica-steps/s{note}"))
    for case, seconds in record["elsewhere_cpu_s"].items():
        speed = f"{record['replica_steps'][case] / seconds:.3g} replica-steps/s, another machine"
        rows.append((f"reference implementation (JAX): {case.split(',')[0]}", speed))
    return rows


def training(record: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = record["passes_published"]["lasting_cpu_s"]
    last = record["history"][-1]["error_percent"]
    kind = "whole" if record["finished"] else "interrupted"
    return [
        (
            f"trap: error stays below the published {record['published_percent']} % after",
            "never" if seconds is None else f"{seconds:.1f} CPU s",
        ),
        (
            "trap: published training (another machine)",
            f"{record['published_cpu_s'] / 3600:.0f} h",
        ),
        (
            f"trap: {kind} training, {record['training_cpu_s']:.0f} CPU s",
            f"{last:.4f} % (sampling error {record['sampling_error_percent']:.4f} %)",
        ),
    ]


def law_update(record: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for result in record["results"]:
        size = "{} strain, {} internal".format(*result["sizes"])
        series = result["ns_per_point"]
        ours = series["c"]
        most = max(ours, key=int)
        rows.append((f"{size}: C, 1e4 points", f"{ours[MAIN_BATCH]:.0f} ns per point"))
        growth = f"{ours[most] / ours[MAIN_BATCH]:.2f} (1 is linear)"
        rows.append((f"{size}: C, cost per point at {int(most):.0e} over 1e4 points", growth))
        others = ("jax", "torch.compile", "numpy", "torch eager", "onnx")
        ratios = ", ".join(
            f"{name} {series[name][MAIN_BATCH] / ours[MAIN_BATCH]:.1f}"
            for name in others
            if name in series
        )
        rows.append((f"{size}: others, times C at 1e4 points", ratios))
    return rows


def microsphere(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{row['internal']} internal: {row['case']}", f"{row['cold_us']:.1f} µs per point")
        for row in record["rows"]
    ]


def step(record: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        (
            f"Newton iteration, {row['name']}",
            f"{row['total']:.2f} µs per point, law {row['share_percent']:.0f} %",
        )
        for row in record["newton_iteration_microseconds_per_point"]
    ]
    return [*rows, ("law, from one rank to two", f"{record['law_speed_up']:.2f} times as fast")]


def scaling(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"exponent of CPU time: {name}", f"{value:.3f} (1 is linear)")
        for name, value in record["exponents"].items()
    ]


def losses(records: Records) -> str:
    """Return where another implementation is better, from the same results."""
    lines = []
    rates = speeds(records["langevin"])
    for case in records["langevin"]["replica_steps"]:
        for engine in ("numpy", "jax", "torchsde"):
            ratio = rates.get((engine, case), 0.0) / rates["torch", case]
            if ratio > 1.0:
                lines.append(
                    f"{case.split(',')[0]}: {engine} is {ratio:.2f} times as fast as our engine in "
                    "torch, which runs any other system."
                )
    one, onnx = (_smallest(records, name) for name in ("c", "onnx"))
    lines.append(
        f"One point per call costs {one['1'] / one[MAIN_BATCH]:.0f} times what a point of a batch "
        f"costs in C ({one['1'] / 1000:.0f} µs): the call from Python."
    )
    numpy = _smallest(records, "numpy")
    if onnx[MAIN_BATCH] > numpy[MAIN_BATCH]:
        lines.append(
            f"ONNX Runtime takes {onnx[MAIN_BATCH] / one[MAIN_BATCH]:.0f} times the C kernel's "
            f"time and {onnx[MAIN_BATCH] / numpy[MAIN_BATCH]:.1f} times that of NumPy by hand: "
            "every safeguarded pass goes over all points."
        )
    rows = {
        row["name"]: row for row in records["fe_step"]["newton_iteration_microseconds_per_point"]
    }
    ours, ufl = rows["six strains (exact_sls)"], rows["six strains written in UFL"]
    ratio = ours["total"] / ufl["total"]
    lines.append(
        f"A standard linear solid written in UFL takes {ufl['total']:.2f} µs per point and Newton "
        f"iteration, the same solid as a law {ours['total']:.2f} ({ratio:.2f} times)."
    )
    fibres = rows["microsphere 55"]
    lines.append(
        f"A microsphere of 55 directions takes {fibres['total'] / ufl['total']:.1f} times the "
        f"iteration of that solid; {fibres['share_percent']:.0f} % of it is the law."
    )
    return "\n".join(f"- {line}" for line in lines)


def _smallest(records: Records, name: str) -> dict[str, float]:
    """Nanoseconds per point of the law with one strain and one internal variable."""
    series: dict[str, float] = records["law_update"]["results"][0]["ns_per_point"][name]
    return series
