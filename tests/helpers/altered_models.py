"""Copies of an exported model that are altered, and what both packages say of them."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.model.manifest import read_manifest
from ibvonn_train.export import manifest as manifests
from ibvonn_train.files.model_directory import ExportedModelError as ModelErrorOfTraining

EXACT_TRAP = Path(__file__).parents[2] / "exported_models" / "exact_trap"


def document_of(directory):
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def put(directory, document):
    (directory / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def replace_file(directory, name, content):
    """Write a file and make the table of files agree with it."""
    (directory / name).write_bytes(content)
    document = document_of(directory)
    digest = hashlib.sha256(content).hexdigest()
    document["files"][name] = {"sha256": digest, "bytes": len(content)}
    put(directory, document)


def refused(directory):
    """What both packages say of a directory; they must say the same."""
    with pytest.raises(ExportedModelError) as of_fem:
        read_manifest(directory).verify_files()
    with pytest.raises(ModelErrorOfTraining) as of_train:
        manifests.read(directory)
    assert str(of_fem.value).replace("ibvonn_fem", "ibvonn_train") == str(of_train.value)
    assert "\n" not in str(of_fem.value)
    return str(of_fem.value)


def archive_of(**arrays):
    memory = io.BytesIO()
    np.savez(memory, **arrays)
    return memory.getvalue()
