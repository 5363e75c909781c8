"""Microscopic systems: an energy, a start, and what is observed."""
