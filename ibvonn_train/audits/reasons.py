"""Why an audit fails: one sentence each, which goes into the certificate and the model card.

Each names the physics that a law which fails the audit lacks. Whoever knows more of a model writes
its own sentence into the manifest (``certificate``, ``reason``).
"""

from __future__ import annotations

UNEXPLAINED = "The value lies outside its acceptance range."

REASONS = {
    "dissipation sign": "Somewhere the internal variables move against their force, which the "
    "structure of the law excludes: the export is damaged.",
    "convexity of f in α": "Somewhere f bends down along the internal variables, so that a step "
    "may have several solutions or gain energy.",
    "φ at g = 0": "Internal variables would move without a force: the export is damaged.",
    "stress at encoded states": "The internal variables and the mean strain do not fix the mean "
    "force: states of one α carry different stresses, or f is not fitted.",
    "energy of the decoder": "The decoder spreads the microstates of a state too far or too "
    "little, or one α stands for different distributions.",
    "f against F_flow": "f is not the free energy of the microstates that the decoder gives to its "
    "states; errors of f and φ may compensate each other in roll-outs.",
    "g against F_flow": "The slope of f by α is not that of the decoder's free energy: the barrier "
    "to the force is carried by φ in part, which holds at the trained rates only.",
    "f against the exact f": "f misses the free energy of mixing or the energy of the wells: "
    "states of one α are mixtures of different order parameters, or were rare in training.",
    "g against the exact g": "The slope of f is wrong where hardly any element has changed its "
    "well, because there the free energy of mixing is steep and data are rare.",
    "mobility against 1/η": "φ has another mobility than the friction of the particle gives.",
    "dissipated work": "The work that f stores and releases along the measured states is not that "
    "of statistical mechanics, because g is wrong where α moves most.",
    "entropy production": "What the law dissipates from measured states on is not what the system "
    "dissipates, because its rates are wrong there.",
    "fluctuation-dissipation": "φ is not the potential that the noise of α implies: its mobility "
    "is fitted to the mean motion alone.",
    "equilibrium response": "After long holds the law does not relax to the Boltzmann average: the "
    "training paths are too fast to show the relaxed states, so that f is extrapolated there.",
    "Jarzynski equality": "The change of the relaxed free energy differs from the work of slow "
    "protocols.",
    "momentum residual": "The stresses of neighbouring elements differ by other than the drag.",
    "Markov residual": "The state does not fix its own rate: part of what has happened before is "
    "not in the internal variables.",
}
