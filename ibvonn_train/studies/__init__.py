"""Whole studies: several seeds, several numbers of internal variables, tables."""
