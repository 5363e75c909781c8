"""Names that entries of a manifest had in older exports, and the names that they have today.

This file stands in both packages, which do not import each other; a test keeps the two alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENTRIES = {"parity": "runtime_agreement"}
"""Former name → name of an entry of the manifest."""

ROWS = {"certificate": {"band": "acceptance_range"}, "errors": {"floor": "sampling_error"}}
"""Table of the manifest → former name → name of a key of its rows."""


def with_names_of_today(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with former names replaced, and everything else as it is."""
    return _renamed(document, ENTRIES, ROWS)


def with_former_names(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest as an older export wrote it: graphs of that time carry the hash of this."""
    rows = {place: _inverse(names) for place, names in ROWS.items()}
    return _renamed(document, _inverse(ENTRIES), rows)


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}


def _renamed(
    document: Mapping[str, Any], entries: Mapping[str, str], rows: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    result = _keys_renamed(document, entries)
    for place, names in rows.items():
        if isinstance(result.get(place), list):
            result[place] = [
                _keys_renamed(row, names) if isinstance(row, dict) else row for row in result[place]
            ]
    return result


def _keys_renamed(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename keys in place, but where both names are there: the schema refuses the former one."""
    return {key if names.get(key, key) in table else names[key]: table[key] for key in table}
