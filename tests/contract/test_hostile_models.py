"""Numbers, names, JSON and arrays of a model that was made to do harm are refused in a sentence."""

import io
import zipfile

import numpy as np
import pytest
from altered_models import archive_of, document_of, put, refused, replace_file

from ibvonn_fem.files.parsing import parse_arrays, parse_json
from ibvonn_train.cli.parser import main as main_train

pytestmark = pytest.mark.export


@pytest.mark.parametrize(
    ("entry", "key", "value"),
    [
        ("envelope", "strain", [[-1e300, 1e300]]),
        ("envelope", "time_step", [-1.0, 1.0]),
        ("envelope", "time_step", [2.0, 1.0]),
        ("envelope", "strain_rate", [[0.0, 1e300]]),
        ("envelope", "strain_rate", [[0.0, 1.0]] * 2),
        ("internal", "scale", [1e300]),
        ("internal", "scale", [1e-300]),
        ("tolerances", "residual", 1e300),
        ("tolerances", "reference", 1.0),
        ("initial_state", "energy", 1e300),
    ],
)
def test_numbers_of_a_manifest_are_bounded(copy, entry, key, value):
    document = document_of(copy)
    document[entry][key] = value
    put(copy, document)
    stamp_words = "manifest.json is not the one"
    assert stamp_words not in refused(copy)  # refused for what it is, whoever stamped it
    assert f"{entry}/{key}" in refused(copy)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "x\0", "x\n", "..", ".x", "manifest.json", "RATES.onnx"]
)
def test_names_of_files_stay_in_the_directory(copy, name):
    document = document_of(copy)
    document["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    put(copy, document)
    assert "files" in refused(copy)


def test_hostile_json_is_refused_in_a_sentence():
    for text in (
        '{"a": 1, "a": 2}',
        "[" * 100 + "]" * 100,
        "[" * 10**5,
        "NaN",
        "-Infinity",
        "9" * 5000,
    ):
        with pytest.raises(ValueError, match=r"twice|nested|not a number|Exceeds the limit"):
            parse_json(text.encode())
    assert parse_json(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_a_manifest_of_nothing_names_what_is_missing(copy):
    (copy / "manifest.json").write_text("{}")
    assert "is a required property" in refused(copy)
    for verb in ("card", "verify"):
        assert main_train([verb, str(copy)]) == 1


def test_arrays_are_read_from_bytes_that_are_there():
    stored = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.eye(3)),
        "c": np.int64(3),
    }
    result = parse_arrays(archive_of(**stored))
    for name, value in stored.items():
        np.testing.assert_array_equal(result[name], value)
    swapped = parse_arrays(archive_of(a=np.arange(3.0).astype(">f8")))
    np.testing.assert_array_equal(swapped["a"], [0.0, 1.0, 2.0])


def test_a_small_archive_that_unpacks_to_gigabytes_is_refused(copy):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb.npy", "w", force_zip64=True) as stream:
            for _ in range(300):
                stream.write(bytes(2**20))
    assert len(memory.getvalue()) < 2**20
    replace_file(copy, "parameters.npz", memory.getvalue())
    assert "at most 268435456 are allowed" in refused(copy)


def test_an_array_that_claims_more_than_it_has_is_refused():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)}
    )
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(80))
    with pytest.raises(ValueError, match="has 80 bytes of numbers"):
        parse_arrays(memory.getvalue())
