"""Command line ``ibvonn``: simulate, train, evaluate, export."""

from .parser import main as main
