"""A smaller law fitted to a law: cheaper at every point, with an error that is measured.

The student has the structure of ``parameters.npz``, so its guarantees hold whatever the fit: signs
by softplus, the quadratic part as a square. It learns stress, driving force and ∂φ/∂g at random
states of the training box (L-BFGS, float64).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import softplus

from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_train.export.parameters import LawParameters

SAMPLES, ITERATIONS = 3000, 600


def distil(
    law: LawParameters, *, width: int = 6, ridges: int = 2, seed: int = 0
) -> tuple[LawParameters, dict[str, float]]:
    """Fit a law with hidden layers of ``width`` (one of f, one of the context) and ``ridges``.

    Returns:
        The small law, and its relative L2 errors of stress and state increment on fresh steps.
    """
    student = _Student(law, width, ridges, seed)
    strain, old, statev = _steps(law, SAMPLES, seed + 1)
    kernel = CLibraryKernel(law.arrays())
    end = kernel.update(strain, old, statev, 0.05)
    x = torch.from_numpy(np.concatenate([strain, end.statev_new], axis=1))
    frozen = torch.from_numpy(np.concatenate([old, statev], axis=1))
    exact = kernel.rates(strain, end.statev_new)
    gradient = torch.from_numpy(np.concatenate([exact.stress, -exact.driving_force], axis=1))
    force = torch.from_numpy(exact.driving_force)
    rate = torch.from_numpy((end.statev_new - statev) / 0.05)
    scales = gradient.std(0), rate.std(0)
    optimiser = torch.optim.LBFGS(
        student.parameters(), max_iter=ITERATIONS, history_size=40, line_search_fn="strong_wolfe",
        tolerance_grad=1e-12, tolerance_change=1e-14,
    )  # fmt: skip

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = ((student.gradient(x) - gradient) / scales[0]).square().mean()
        error = error + ((student.rate(force, frozen) - rate) / scales[1]).square().mean()
        error.backward()
        return error

    optimiser.step(loss)
    small = student.law()
    return small, _errors(law, small, seed + 2)


def _steps(law: LawParameters, n: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    old = 0.4 * rng.normal(size=(n, law.strain_size))
    statev = 0.4 * rng.normal(size=(n, law.internal_size))
    return old + 0.05 * rng.normal(size=old.shape), old, statev


def _errors(law: LawParameters, small: LawParameters, seed: int) -> dict[str, float]:
    strain, old, statev = _steps(law, 2000, seed)
    found, right = (
        CLibraryKernel(each.arrays()).update(strain, old, statev, 0.05) for each in (small, law)
    )
    increments = found.statev_new - statev, right.statev_new - statev
    return {
        "stress": float(np.linalg.norm(found.stress - right.stress) / np.linalg.norm(right.stress)),
        "increment": float(
            np.linalg.norm(increments[0] - increments[1]) / np.linalg.norm(increments[1])
        ),
    }


class _Student(torch.nn.Module):
    def __init__(self, law: LawParameters, width: int, ridges: int, seed: int) -> None:
        super().__init__()
        self.teacher, self.ridges, self.width = law, ridges, width
        generator = torch.Generator().manual_seed(seed)
        d, n = law.size, law.internal_size
        outputs = n * (n + 1) // 2 + ridges

        def weight(*shape: int) -> torch.nn.Parameter:
            values = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return torch.nn.Parameter(values)

        self.linear, self.root = weight(d), weight(d, d)
        self.skip, self.bias, self.output = weight(width, d), weight(width), weight(width)
        self.ridge, self.ridge_bias = weight(ridges, n), weight(ridges)
        self.weights = torch.nn.ParameterList([weight(width, d), weight(outputs, width)])
        self.biases = torch.nn.ParameterList([weight(width), weight(outputs)])

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        slope = torch.sigmoid(x @ self.skip.T + self.bias) * softplus(self.output)
        return self.linear + x @ (self.root @ self.root.T) + slope @ self.skip

    def rate(self, g: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(old @ self.weights[0].T + self.biases[0]) @ self.weights[1].T
        y = y + self.biases[1]
        n = g.shape[1]
        rows, columns = np.tril_indices(n)
        entries = y[:, : len(rows)]
        entries = torch.where(torch.from_numpy(rows == columns), torch.exp(entries), entries)
        lower = torch.zeros(len(g), n, n, dtype=torch.float64)
        lower[:, rows, columns] = entries
        linear = torch.einsum("pij,pkj,pk->pi", lower, lower, g)
        at = torch.sigmoid(g @ self.ridge.T + self.ridge_bias) - torch.sigmoid(self.ridge_bias)
        return linear + (torch.exp(y[:, len(rows) :]) * at) @ self.ridge

    def law(self) -> LawParameters:
        teacher = self.teacher

        def array(tensor: torch.Tensor) -> np.ndarray:
            return tensor.detach().numpy().copy()

        quadratic = array(self.root @ self.root.T)
        return LawParameters(
            strain_size=teacher.strain_size,
            internal_size=teacher.internal_size,
            energy_constant=0.0,
            energy_linear=array(self.linear),
            energy_quadratic=0.5 * (quadratic + quadratic.T),
            energy_skip=(array(self.skip),),
            energy_bias=(array(self.bias),),
            energy_output=array(softplus(self.output)),
            ridge_weight=array(self.ridge),
            ridge_bias=array(self.ridge_bias),
            context_weight=tuple(array(w) for w in self.weights),
            context_bias=tuple(array(b) for b in self.biases),
            internal_scale=teacher.internal_scale,
            envelope=teacher.envelope,
        )
