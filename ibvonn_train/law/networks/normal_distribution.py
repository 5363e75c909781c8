"""The normal distribution's Φ and its inverse, by operations that trace into every graph.

ONNX Runtime has no erf in float64. Both functions work with the smaller tail, so that nothing is
lost where Φ is next to 1.

References:
    Hart (1968), *Computer Approximations*, function 5666; West (2005), *Wilmott Magazine*, May, 70;
    Wichura (1988), Algorithm AS 241, *Applied Statistics* 37, 477.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST = 1e-300
"""Least tail of which the quantile is taken."""
FAR = 7.07106781186547
"""Where the continued fraction takes over from the ratio of polynomials."""
_TAIL = (
    (
        3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383,
        112.079291497871, 221.213596169931, 220.206867912376,
    ),
    (
        8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461,
        296.564248779674, 637.333633378831, 793.826512519948, 440.413735824752,
    ),
)  # fmt: skip
_MIDDLE = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
        4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
        1.3314166789178437745e2, 3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
        2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
        4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
_OUTSIDE = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
        1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
        4.63033784615654529590e0, 1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
        1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
        2.05319162663775882187e0, 1.0,
    ),
)  # fmt: skip
_FAR_OUTSIDE = (
    (
        2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
        2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
        5.46378491116411436990e0, 6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
        7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
        5.99832206555887937690e-1, 1.0,
    ),
)  # fmt: skip


def upper_tail(z: Tensor) -> Tensor:
    """Return 1 − Φ(z) for z ≥ 0, to 1e-15 and to a relative error of 1e-8."""
    fraction = z + 0.65
    for number in (4.0, 3.0, 2.0, 1.0):
        fraction = z + number / fraction
    weight = torch.exp(-0.5 * z * z)
    return torch.where(z < FAR, weight * _ratio(z, _TAIL), weight / (2.506628274631 * fraction))


def upper_quantile(tail: Tensor) -> Tensor:
    """Return z ≥ 0 with 1 − Φ(z) = tail, for tails up to ½; 0 above, 37 for none."""
    half = torch.minimum(tail, torch.full_like(tail, 0.5))
    middle = 0.5 - half
    root = torch.sqrt(-torch.log(torch.relu(half - SMALLEST) + SMALLEST))
    outside = torch.where(
        root <= 5.0, _ratio(root - 1.6, _OUTSIDE), _ratio(root - 5.0, _FAR_OUTSIDE)
    )
    near = middle * _ratio(0.180625 - middle * middle, _MIDDLE)
    return torch.where(middle <= 0.425, near, outside)


def _ratio(x: Tensor, coefficients: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    """Ratio of two polynomials, whose coefficients begin with that of the highest power."""
    above, below = (_polynomial(x, each) for each in coefficients)
    return above / below


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
