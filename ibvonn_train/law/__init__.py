"""The learned law: encoder, decoder, free energy and dissipation potential."""
