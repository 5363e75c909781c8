"""What statistical mechanics says of a microscopic system: energies, equilibrium, free energy."""
