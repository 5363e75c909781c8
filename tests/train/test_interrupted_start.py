"""Ctrl-C while the command line still imports its libraries, which takes seconds."""

from __future__ import annotations

import sys

import pytest

import ibvonn_train.cli
from ibvonn_train.cli import main

VERBS = "ibvonn_train.cli.verbs"


class Interrupting:
    """A finder of modules at which the user presses Ctrl-C."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Look for a module."""
        if name == VERBS:
            raise KeyboardInterrupt


def test_an_interruption_while_libraries_load_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, VERBS, raising=False)
    monkeypatch.delattr(ibvonn_train.cli, "verbs", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    try:
        code = main(["card", "none"])
    except KeyboardInterrupt:  # would end pytest, and no test would have failed
        pytest.fail("the interruption was not caught")
    assert code == 130
    assert capsys.readouterr().err == "ibvonn: interrupted.\n"
