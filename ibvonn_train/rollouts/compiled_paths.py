r"""Roll-outs of laws with populations under a given strain by compiled code, with their gradient.

The steps of :func:`~ibvonn_train.rollouts.material_point.exponential` are small for torch, which
takes milliseconds for each of them and its derivative, whatever the number of paths. Here
relaxed_path.c takes them, and its adjoint goes back through the stored states: with
λ_n = ∂L/∂α_n and the step α_{n+1} = Φ(α_n; w) for weights w,

.. math:: \lambda_n = \partial_{\alpha_n} L + (\partial_\alpha\Phi)^T \lambda_{n+1}, \qquad
    \partial_w L = \sum_n (\partial_w\Phi)^T \lambda_{n+1}.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ..files.c_compiler import FAST_FLAGS, CompilerError
from ..files.cffi_library import opened
from ..law.population_potentials import PopulationPotentials
from .relaxation import POLES

logger = logging.getLogger(__name__)

LAYERS = 2
"""Hidden layers of f and of ln k that relaxed_path.c knows."""
SOURCES = ("relaxed_path.c", "path_vectors.h", "path_law.h", "path_adjoint.h")
_ARRAYS = """const struct law *c, const double *const *weights, const double *const *constants,
    const double *poles, int64_t steps, int64_t rows, const double *strain, const double *dt"""
DECLARATIONS = f"""
struct law {{int m, n, width1, width2, pairs, rate1, rate2; double theta;}};
int path_states({_ARRAYS}, double *states);
int path_adjoint({_ARRAYS}, const double *states, double *adjoint, double *const *gradients);
"""


@cache
def available() -> bool:
    """Return whether the library is there; it is compiled at the first call."""
    try:
        _library()
    except CompilerError as error:
        logger.info("roll-outs: by torch, several times as slow, since %s", error)
        return False
    return True


def serves(potentials: object, internal: Tensor) -> TypeGuard[PopulationPotentials]:
    """Return whether the compiled code knows a law: populations alone, of two layers, on the CPU.

    Two variables relax within 8e-7, as more do; by torch exactly.
    """
    return (
        isinstance(potentials, PopulationPotentials)
        and potentials.means is None
        and len(potentials.smooth.layers.skip) == LAYERS == len(potentials.rate_net.shared) - 1
        and internal.device.type == "cpu"
        and internal.dtype == torch.float64
        and available()
    )


def compiled_path(
    potentials: PopulationPotentials, step: Tensor, strain: Tensor, internal: Tensor
) -> Tensor:
    """Return the states after every exponential step, the first one before them.

    Args:
        potentials: Of a law that :func:`serves`.
        step: Δt, shape ``(n_step, n_path)``.
        strain: ε in the middle of each step, ``(n_step, n_path, n_ε)``.
        internal: First α, ``(n_path, n_α)``.

    Returns:
        α, shape ``(n_step + 1, n_path, n_α)``, with gradients by the weights and the first α.

    Raises:
        MemoryError: If there is no memory for one block of paths.
    """
    weights, m = potentials.prepared(), potentials.strain_size
    energy, (matrices, biases) = weights.energy, weights.rate
    arrays = (
        energy.linear[m:],
        energy.quadratic[m:],
        energy.skip[0],
        energy.bias[0],
        energy.skip[1],
        energy.bias[1],
        energy.hidden[0],
        energy.output,
        *(part for pair in zip(matrices, biases, strict=True) for part in pair),
        weights.barrier.flatten(),
    )
    path: Tensor = _Path.apply(potentials, step, strain, internal, *arrays)  # type: ignore[no-untyped-call]
    return path


class _Path(torch.autograd.Function):
    """The steps and their adjoint."""

    @staticmethod
    def forward(
        ctx: Any,
        potentials: PopulationPotentials,
        step: Tensor,
        strain: Tensor,
        internal: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        """Return the states of all steps."""
        call = _Call(potentials, step, strain, weights)
        states = internal.new_empty(len(step) + 1, *internal.shape)
        states[0] = internal
        call.run("path_states", call.pointer(states))
        ctx.call = call
        ctx.save_for_backward(states)
        return states

    @staticmethod
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives by the first state and the weights."""
        (states,) = ctx.saved_tensors
        call, gradient = ctx.call, adjoint.clone(memory_format=torch.contiguous_format)
        parts = [torch.empty_like(weight) for weight in call.weights]
        pointers = call.pointers(parts)
        call.run("path_adjoint", call.pointer(states), call.pointer(gradient), pointers)
        return None, None, None, gradient[0], *parts


class _Call:
    """Arguments of the compiled functions; it keeps alive what they point to."""

    def __init__(
        self,
        potentials: PopulationPotentials,
        step: Tensor,
        strain: Tensor,
        weights: tuple[Tensor, ...],
    ) -> None:
        self.ffi, self.library = _library()
        jumps = potentials.jumps
        constants = (
            jumps.incidence,
            jumps.first,
            jumps.first_offset,
            jumps.second,
            jumps.second_offset,
            potentials.same_population,
            potentials.is_fraction.to(torch.float64),
        )
        self.weights, self.constants, self.poles, self.step, self.strain = (
            [part.detach().contiguous() for part in parts]
            for parts in (weights, constants, [_poles()], [step], [strain])
        )
        self.law = self.ffi.new("struct law *")
        for name, value in (
            ("m", potentials.strain_size),
            ("n", potentials.internal_size),
            ("width1", len(weights[3])),
            ("width2", len(weights[5])),
            ("pairs", len(jumps.incidence)),
            ("rate1", len(weights[9])),
            ("rate2", len(weights[11])),
            ("theta", float(potentials.thermal_energy)),
        ):
            setattr(self.law, name, value)

    def run(self, name: str, *more: Any) -> None:
        """Call a function of the library."""
        done = getattr(self.library, name)(
            self.law,
            self.pointers(self.weights),
            self.pointers(self.constants),
            self.pointer(self.poles[0]),
            *self.step[0].shape,
            self.pointer(self.strain[0]),
            self.pointer(self.step[0]),
            *more,
        )
        if not done:
            raise MemoryError("roll-outs: there is no memory for a block of paths.")

    def pointer(self, array: Tensor) -> Any:
        """Return the address of a contiguous array."""
        return self.ffi.cast("double *", array.data_ptr())

    def pointers(self, arrays: list[Tensor]) -> Any:
        """Return the addresses of several."""
        return self.ffi.new("double *[]", [self.pointer(array) for array in arrays])


def _poles() -> Tensor:
    return torch.view_as_real(torch.tensor(POLES, dtype=torch.complex128))


@cache
def _library() -> tuple[Any, Any]:
    """Return cffi's interface and the library.

    Raises:
        CompilerError: If it cannot be compiled or loaded.
    """
    folder = Path(__file__).parent
    return opened("relaxed_path", [folder / f for f in SOURCES], DECLARATIONS, FAST_FLAGS)
