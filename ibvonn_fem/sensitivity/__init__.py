"""Gradients of a scalar of a run by the adjoint through its stored steps."""

from .gradient import parameter_gradient as parameter_gradient
