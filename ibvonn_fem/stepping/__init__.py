"""Stepping in time: step control, histories, checkpoints."""
