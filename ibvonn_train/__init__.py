"""Learn inelastic constitutive laws from ensembles of Langevin microsimulations."""
