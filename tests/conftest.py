"""What every test relies on."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_interrupts():
    """Shells start background jobs with SIGINT ignored; then no test of Ctrl-C would ever end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
