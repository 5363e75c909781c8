"""Learned inelastic laws at the quadrature points of FEniCSx."""
