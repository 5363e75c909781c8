"""The model card: the README of an exported directory, made of its manifest and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..simulation.systems.registry import SYSTEMS

Manifest = Mapping[str, Any]

KINEMATICS = {1: "Uniaxial", 6: "FullStrain"}
"""Kinematics of `ibvonn_fem` that fit a number of strain components; else the name is left open."""


CAPTION = (
    "A cycle of the first strain component at three rates; the others stay zero. Dotted where the "
    "state is outside the envelope."
)


def markdown(manifest: Manifest, figure: str | None = None) -> str:
    """Return the card of a model.

    Args:
        manifest: ``manifest.json`` of format 1, with or without its optional entries.
        figure: Name of the figure of the response in the same directory, or None.

    Returns:
        Text in GitHub's Markdown, ending with a newline.
    """
    sections = [
        _head(manifest),
        "" if figure is None else f"![response]({figure})\n\n{CAPTION}",
        _origin(manifest),
        _variables(manifest),
        _envelope(manifest),
        _certificate(manifest),
        _errors(manifest),
        _seeds(manifest),
        _parity(manifest),
        _use(manifest),
        _limits(manifest),
        _provenance(manifest),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(manifest: Manifest) -> str:
    return (
        f"# {manifest['name']}\n\n{manifest['description']}\n\n"
        f"Licence: {manifest['licence']}. Written by `ibvonn` from `manifest.json`; "
        "`ibvonn card DIRECTORY` writes it again."
    )


def _origin(manifest: Manifest) -> str:
    found = manifest["microscopic"]
    if found is None:
        return "## What was simulated\n\nNothing: this law is known in closed form."
    learned = manifest["provenance"]["config"] is not None
    known = SYSTEMS.get(found["system"])
    system = (known and known.kind.sentence) or f"the system `{found['system']}`"
    how = "Learned from ensembles of" if learned else "In closed form for"
    step = "" if found["time_step"] is None else f", integrated with Δt = {_n(found['time_step'])}"
    lines = [f"{how} {system}{step}.", ""]
    nominal, effective = found["thermal_energy"], found["effective_thermal_energy"]
    rows = [
        [f"`{key}`", _any(value)]
        for key, value in sorted(found["parameters"].items())
        if not key.endswith("thermal_energy")
    ]
    rows += [["k_BT", _n(nominal)], ["k_BT of the integrator's finite step", _n(effective)]]
    lines.append(_table(["parameter", "value"], rows))
    return "## What was simulated\n\n" + "\n".join(lines)


def _variables(manifest: Manifest) -> str:
    strain, stress, internal = manifest["strain"], manifest["stress"], manifest["internal"]
    start, units = manifest["initial_state"], manifest["units"]
    rows = [
        ["strain", _words(strain["components"]), f"{strain['kind']}: {strain['measure']}"],
        ["stress", _words(stress["components"]), stress["measure"]],
        ["internal variables", _words(internal["components"]), internal["meaning"]],
    ]
    named = ", ".join(f"{key} {value}" for key, value in units.items() if value != "1")
    if "1" in units.values():
        named += "; the others are dimensionless" if named else "all are dimensionless"
    if manifest["microscopic"] is not None:
        named += ", in the system of units of the parameters above"
    sign = ""
    if manifest["provenance"]["config"] is not None:
        sign = " Sign and scale of a learned internal variable are arbitrary; σ does not see them."
    reference = strain.get("reference", [0.0])
    zero = f" Its zero strain is {_list(reference)} in the data." if any(reference) else ""
    return (
        f"## Variables\n\n{_table(['', 'components', 'measure'], rows)}\n\n"
        f"Units: {named}.{sign} At the start strain and internal variables are zero, "
        f"the stress is {_list(start['stress'])}, the energy {_n(start['energy'])}.{zero}"
    )


def _envelope(manifest: Manifest) -> str:
    ranges = manifest["envelope"]
    labels = {
        "strain": manifest["strain"]["components"],
        "statev": manifest["internal"]["components"],
    }
    labels["strain_rate"] = [f"rate of {name}" for name in labels["strain"]]
    rows = [
        [name, _n(low), _n(high)]
        for key, names in labels.items()
        for name, (low, high) in zip(names, ranges[key], strict=True)
    ]
    rows.append(["time step", *(_n(end) for end in ranges["time_step"])])
    learned = manifest["provenance"]["config"] is not None
    source = "Ranges of the training data." if learned else "Ranges that the closed form declares."
    return (
        f"## Envelope\n\n{source} The output `validity` is zero inside those of strain and "
        "internal variables, and the excursion in half widths outside.\n\n"
        + _table(["component", "from", "to"], rows)
    )


def _certificate(manifest: Manifest) -> str:
    audits = manifest["certificate"]
    if audits is None:
        return "## Certificate\n\nNone: no audit of this model is on record."
    verdicts = [audit["verdict"] for audit in audits]
    count = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    rows = [
        [
            audit["verdict"],
            audit["audit"],
            _n(audit["value"]),
            _band(audit["band"]),
            audit["detail"],
        ]
        for audit in audits
    ]
    return f"## Certificate\n\n{len(audits)} audits: {count}.\n\n" + _table(
        ["verdict", "audit", "value", "band", "on what"], rows
    )


def _errors(manifest: Manifest) -> str:
    errors = manifest.get("errors")
    if not errors:
        return ""
    rows = [
        [row["ensemble"], row["quantity"], _n(row["error"]), _n(row["floor"])] for row in errors
    ]
    return (
        "## Errors of trajectories\n\nRoll-outs against ensembles that the training has not seen, "
        "relative L2 in per cent. *Floor* is what a perfect law shows against the same finite "
        "ensemble.\n\n" + _table(["ensemble", "quantity", "error", "floor"], rows)
    )


def _seeds(manifest: Manifest) -> str:
    rows = manifest.get("seeds")
    if not rows:
        return ""
    table = [
        [r["ensemble"], r["quantity"], str(r["seeds"]), *(_n(r.get(k)) for k in SEED_COLUMNS)]
        for r in rows
    ]
    return (
        "## Spread over seeds\n\nErrors in per cent of laws trained alike from several seeds; this "
        "model is one of them. *Spread of the stress*: standard deviation over the seeds of the "
        "predicted value itself, in per cent: the law's own uncertainty.\n\n"
        + _table(["ensemble", "quantity", "seeds", *SEED_COLUMNS.values()], table)
    )


SEED_COLUMNS = {
    "median": "median",
    "lowest": "lowest",
    "highest": "highest",
    "spread": "spread of the stress",
}


def _parity(manifest: Manifest) -> str:
    rows = manifest.get("parity")
    if not rows:
        return ""
    judge = "torch" if manifest["family"] == "convex_potentials" else "the TorchScript file"
    table = [
        [r["runtime"], r["states"], str(r["points"]), str(r["refused"])]
        + [f"{r[key]:.0e}" for key in ("stress", "statev_new", "tangent")]
        + ["yes" if r["agrees"] else "**no**"]
        for r in rows
    ]
    return (
        f"## Runtimes\n\nLargest relative differences from {judge} on the stored reference steps, "
        "on random steps inside the envelope and on steps that reach beyond it. *Refused* steps do "
        "not converge in any runtime.\n\n"
        + _table(
            ["runtime", "steps", "points", "refused", "stress", "state", "tangent", "agrees"], table
        )
    )


def _use(manifest: Manifest) -> str:
    name, files = manifest["name"], manifest.get("files", {})
    sizes = [len(manifest[key]["components"]) for key in ("strain", "internal")]
    parts = [
        _USE_FEM.format(name=name, kinematics=KINEMATICS.get(sizes[0], "Kinematics")),
        _USE_ONNX.format(name=name, strain=sizes[0], statev=sizes[1]),
    ]
    if "parameters.npz" in files:
        parts.append(_USE_C.format(name=name))
    parts.append(_USE_LIBTORCH.format(name=name))
    return "## Use it\n\nRun from the folder that holds this directory.\n\n" + "\n\n".join(parts)


_USE_FEM = """DOLFINx (`u` is the displacement, `bcs` the boundary conditions):

```python
from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, {kinematics}, load_model

law = InternalVariableLaw(load_model("{name}"), {kinematics}(), u, quadrature_degree=1)
problem = InternalVariableProblem(law, u, bcs)
```"""

_USE_ONNX = """ONNX Runtime, from any of its languages; one call is one time step at many points:

```python
import numpy as np
import onnxruntime

law = onnxruntime.InferenceSession("{name}/constitutive.onnx")
strain, statev = np.zeros((1, {strain})), np.zeros((1, {statev}))
inputs = {{"strain": strain, "strain_old": strain, "statev": statev, "dt": np.array([[0.1]])}}
stress, statev, tangent, energy, dissipation, residual, validity = law.run(None, inputs)
```"""

_USE_C = """C, Fortran, Abaqus, CalculiX, MGIS: one C99 file without dependencies, with a UMAT and
the symbols of MFront's generic behaviour in it:

```
ibvonn-fem emit-c {name}
cc -O3 -shared -fPIC -o liblaw.so {name}/constitutive.c -lm
```"""

_USE_LIBTORCH = """libtorch: the same tensors in the same order.

```cpp
torch::jit::Module law = torch::jit::load("{name}/constitutive.pt");
auto out = law.forward({{strain, strain_old, statev, dt}}).toTuple();
```"""


def _limits(manifest: Manifest) -> str:
    found, learned = manifest["microscopic"], manifest["provenance"]["config"] is not None
    limits = ["It is pointwise: it knows no gradients and no size of the body."]
    if found is not None:
        limits.append(
            f"It holds at one temperature, k_BT = {_n(found['effective_thermal_energy'])}."
        )
    if learned:
        limits.append(
            "Outside the envelope it is an extrapolation. The second law still holds there by "
            "construction; the numbers have no support."
        )
        limits.append(
            "Its internal variables are learned features. What is not in them is forgotten: the "
            "audit *Markov residual*, where it was made, says how much that was."
        )
    if manifest["strain"]["kind"] == "averaged":
        springs = (found or {}).get("parameters", {}).get("springs", "N")
        limits.append(
            f"It was learned from chains of {springs} springs. The law of an infinite chain "
            "differs from that of N springs by O(1/N)."
            if learned
            else "It describes many springs: a chain of N differs from it by O(1/N)."
        )
    if len(manifest["strain"]["components"]) == 1 and found is not None:
        limits.append(
            "In two and three dimensions it acts along directions that follow the deformation "
            "affinely (`Microcircle`, `Microsphere`): an assumption, not a result of its training."
        )
    if manifest["certificate"] is None and learned:
        limits.append("Nothing in this file says how accurate it is.")
    scale = max(map(abs, manifest["initial_state"]["stress"]))
    if scale > 1e-12:
        limits.append(
            f"Its own stress at rest is not zero: the largest component is {_n(scale)}. "
            "Bodies in `ibvonn_fem` subtract it, and so does the UMAT."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in limits)


def _provenance(manifest: Manifest) -> str:
    found = manifest["provenance"]
    data = found["data_sha256"]
    rows = [["created", found["created"]], ["seed", _any(found["seed"])]]
    if isinstance(data, str):
        rows.append(["training data, sha256", f"`{data}`"])
    elif data is not None:
        rows += [[f"training data {name}, sha256", f"`{each}`"] for name, each in data.items()]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    rows.append(["versions", versions])
    text = "## Provenance\n\n" + _table(["", ""], rows)
    if found["config"] is not None:
        text += "\n\nThe resolved configuration is in `manifest.json` under `provenance/config`."
    return text


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _n(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _any(value: Any) -> str:
    if value is None:
        return "-"
    return _n(value) if isinstance(value, float) else str(value)


def _list(values: Sequence[float]) -> str:
    return _n(values[0]) if len(values) == 1 else f"({', '.join(map(_n, values))})"


def _words(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _band(band: Sequence[float | None]) -> str:
    low, high = ("…" if end is None else f"{end:g}" for end in band)
    return f"{low} to {high}"
