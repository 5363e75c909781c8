"""A body with laws at its quadrature points: state, residual, solver, energy balance."""
