"""The law as modules that trace into graphs: potentials, update, encoder, decoder."""
