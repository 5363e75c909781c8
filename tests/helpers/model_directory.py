"""Exported directories with laws of the test's own, written without the training package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from ibvonn_fem.files.former_format import MANDEL, ONE_CLASS, identity, one_class
from ibvonn_fem.files.state_bounds import means

EXPORTED = Path(__file__).parents[2] / "exported_models"


def write_model(folder: Path, law: dict, *, strain=None, stress=None, **changes) -> Path:
    """Write a directory with a manifest (after that of ``exact_trap``) and ``parameters.npz``.

    Args:
        folder: New directory.
        law: Content of ``parameters.npz``.
        strain: Declared initial strain (default: zeros).
        stress: Declared initial stress (default: zeros).
        **changes: Entries of the manifest to replace.
    """
    n_strain, n_internal = int(law["strain_size"]), int(law["internal_size"])
    folder.mkdir(parents=True)
    np.savez(folder / "parameters.npz", **law)
    content = (folder / "parameters.npz").read_bytes()
    document = json.loads((EXPORTED / "exact_trap" / "manifest.json").read_text())
    document["name"] = folder.name
    document["strain"]["components"] = [f"strain_{i}" for i in range(n_strain)]
    document["stress"]["components"] = [f"stress_{i}" for i in range(n_strain)]
    document["internal"]["components"] = [f"internal_{i}" for i in range(n_internal)]
    document["strain"]["reference"] = [0.0] * n_strain
    order = "scalar" if n_strain == 1 else "mandel" if n_strain in MANDEL else "other"
    document["strain"]["order"] = order
    document["classes"], document["symmetry"] = one_class(n_strain), identity(n_strain)
    document["internal"]["variables"] = means(document["internal"]["components"], ONE_CLASS)
    document["internal"]["scale"] = [float(s) for s in law["internal_scale"]]
    document["initial_state"] = {
        "strain": [0.0] * n_strain if strain is None else list(strain),
        "statev": [0.0] * n_internal,
        "stress": [0.0] * n_strain if stress is None else list(stress),
        "energy": 0.0,
    }
    box = np.asarray(law["envelope"]).tolist()
    document["envelope"] |= {"strain": box[:n_strain], "statev": box[n_strain:]}
    document["envelope"]["strain_rate"] = [[-1.0, 1.0]] * n_strain
    document["files"] = {
        "parameters.npz": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    }
    document |= changes
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder
