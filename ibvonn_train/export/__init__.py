"""Write a law as a directory that finite-element codes read (format 1 of CONVENTIONS.md)."""
