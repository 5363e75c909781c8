"""Integration of a law in time, at a point or in a chain."""
