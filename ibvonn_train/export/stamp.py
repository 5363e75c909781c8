"""Write the manifest of a model into its graphs again, after words of the manifest were changed.

    python -m ibvonn_train.export.stamp DIRECTORY

Every graph carries the hash of its manifest, so that a manifest that was altered by accident is
refused. Whoever alters one on purpose says so with this. The numbers of the graphs stay as they
are; constants that nothing uses are dropped.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from ..files import model_directory
from ..files.plain_files import write_file
from . import manifest as manifests
from .directory import changed_directory
from .runtimes.onnx_writer import inputs_of


def stamp(directory: str | Path, changes: Mapping[str, Any] | None = None) -> None:
    """Make graphs and table of files agree with ``manifest.json`` as it stands.

    Sizes and checksums that the manifest lists are not compared with the files, but replaced. A
    manifest of an older format becomes one of today's.

    Args:
        directory: An exported model.
        changes: Entries of the manifest that are replaced first.

    Raises:
        ExportedModelError: If the manifest does not follow the schema, or a listed file is missing.
    """
    with changed_directory(directory) as folder:
        document = {**model_directory.read_document(folder), **(changes or {})}
        manifest = _of_today(directory, document)
        listed = list(manifest["files"])
        metadata = manifests.metadata(
            {k: v for k, v in manifest.items() if k not in model_directory.ADDED_LATER}
        )
        for name in listed:
            content = model_directory.read_listed(folder, manifest, name, verify=False)
            if name.endswith(".onnx"):
                write_file(folder / name, _stamped_onnx(content, metadata))
            elif name.endswith(".pt"):
                write_file(folder / name, _stamped_archive(content, metadata))
        manifests.write(manifest, folder, listed)


def _of_today(directory: str | Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest in the newest format; what it did not say has been filled in by reading."""
    if "reference" not in manifest["strain"]:
        raise ValueError(
            f"{directory}: its manifest has no strain.reference, which an older export left to the "
            "encoder. Write it into manifest.json (0 for controlled strain), or export again."
        )
    return {**manifest, "format": model_directory.FORMAT}


def _stamped_onnx(content: bytes, metadata: dict[str, str]) -> bytes:
    model = onnx.load_model_from_string(content)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    used = set(inputs_of(model.graph.node))
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    stamped: bytes = model.SerializeToString()
    return stamped


def _stamped_archive(content: bytes, metadata: dict[str, str]) -> bytes:
    """TorchScript's archive with other extra files; its other entries are copied."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for entry in old.infolist():
            if not entry.filename.startswith(f"{root}/extra/"):
                new.writestr(entry, old.read(entry), compress_type=entry.compress_type)
        for key, value in metadata.items():
            entry = zipfile.ZipInfo(f"{root}/extra/{key}")  # of 1980: nothing of today's clock
            new.writestr(entry, value.encode())
    return result.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.export.stamp``."""
    parser = argparse.ArgumentParser(description="Write a changed manifest into a model's graphs.")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args(arguments).directory
    stamp(directory)
    sys.stdout.write(f"stamped {directory}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
