"""What a failed audit says of a law: one sentence each, for the certificate and the model card.

Each says what has been measured and no cause. Whoever has measured more of a model writes a
sentence of its own into the manifest (``certificate``, ``reason``), and marks a cause that is
argued as not tested.
"""

from __future__ import annotations

UNEXPLAINED = "The value lies outside its acceptance range."

REASONS = {
    "dissipation sign": "Somewhere the internal variables move against their force, which the "
    "structure of the law excludes: the export is damaged.",
    "convexity of f in α": "Somewhere f bends down along the internal variables, so that a step "
    "may have several solutions or gain energy.",
    "convexity on the cube": "f bends down somewhere between all folded and all open, so that a "
    "step may have several solutions.",
    "symmetry": "Turned or mirrored like the lattice, the law gives another answer.",
    "φ at g = 0": "Internal variables would move without a force: the export is damaged.",
    "stress at encoded states": "∂f/∂ε at the encoded states is not the measured mean force.",
    "energy of the decoder": "The decoder spreads the microstates of a state too far or too "
    "little.",
    "f against F_flow": "f is not the free energy of the microstates that the decoder "
    "gives to its states.",
    "g against F_flow": "The slope of f by α is not that of the decoder's free energy.",
    "f against the exact f": "f is not the free energy that statistical mechanics gives to the "
    "measured states.",
    "g against the exact g": "The slope of f along the internal variables is not that of the exact "
    "free energy.",
    "f against single elements": "f is farther from the measured energy with the mixing entropy "
    "of its fractions than the correlation of neighbours explains.",
    "g against fluxes": "Elements open and fold in another proportion than exp(g/k_BT).",
    "mobility against 1/η": "φ has another mobility than the friction of the particle gives.",
    "dissipated work": "The work of g along the measured states is not what the system dissipates.",
    "entropy production": "What the law dissipates from measured states on is not what the system "
    "dissipates.",
    "fluctuation-dissipation": "φ is not the potential that the noise of α implies.",
    "equilibrium response": "After long holds the law does not relax to the Boltzmann average.",
    "Jarzynski equality": "The change of the relaxed free energy differs from the work of slow "
    "protocols.",
    "momentum residual": "The stresses of neighbouring elements differ by other than the drag.",
    "Markov residual": "The state does not fix its own rate: part of what has happened before is "
    "not in the internal variables.",
}
