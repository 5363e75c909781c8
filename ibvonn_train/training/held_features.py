"""Whether the features ψ of the means stay as they are encoded."""

from __future__ import annotations

from ..law.learned_law import LearnedLaw


def holds_features(law: LearnedLaw) -> bool:
    """Return whether ψ stays what *encode* has made it, polynomials of the microstate.

    Of means of a microstate of several components under an imposed strain. The drift of ⟨x⟩ is the
    mean force over the friction, whatever the energy, and that of ⟨x⊗x⟩ is nearly as simple. Free
    functions over a plane have no such law, and nothing in the data asks for them: a particle in
    two degrees of freedom ends at two to four times the error where ψ is trained along.
    """
    encoder = law.encoder
    free = encoder.net is not None and encoder.centred_net is None
    return free and not law.variables.populations and encoder.input_centre.numel() > 1
