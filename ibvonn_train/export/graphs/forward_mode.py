"""Forward derivatives of a traced module, written into the graph that traces it.

Each operation passes on a value and its derivative along one direction; directions lie in the
batch, so that a derivative has the shape of its value. Automatic differentiation by torch leaves no
graph that other runtimes have.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn


@dataclass(frozen=True)
class Dual:
    """A value with its derivative.

    Attributes:
        value: Any tensor.
        slope: Its derivative, shape of the value; None of a constant.
    """

    value: Any
    slope: Any


LINEAR = frozenset(
    "neg sum mean reshape unsqueeze squeeze transpose unflatten flatten getitem cumsum".split()
)
"""Operations whose derivative is the same operation."""
CONSTANT = frozenset("lt le gt ge and_ or_ invert zeros_like ones_like full_like long".split())
"""Operations whose results do not change with small changes of what they take."""

CHAIN: Mapping[str, Callable[[Any, Any], Any]] = {
    "exp": lambda _, y: y,
    "log": lambda x, _: 1.0 / x,
    "sqrt": lambda _, y: 0.5 / y,
    "square": lambda x, _: 2.0 * x,
    "tanh": lambda _, y: 1.0 - torch.square(y),
    "sigmoid": lambda _, y: y * (1.0 - y),
    "softplus": lambda x, _: torch.sigmoid(x),
    "abs": lambda x, _: torch.where(x >= 0.0, torch.ones_like(x), -1.0),
    "relu": lambda x, _: torch.where(x >= 0.0, torch.ones_like(x), 0.0),
}
"""Slope of functions of one number, of argument and value."""


class ForwardMode(fx.Interpreter):
    """Runs a traced module on :class:`Dual` inputs; its results are such.

    Raises:
        ValueError: If the module uses an operation whose derivative is not here.
    """

    def __init__(self, module: nn.Module) -> None:
        traced = fx.symbolic_trace(module)
        traced.graph.eliminate_dead_code()
        super().__init__(traced, garbage_collect_values=False)

    def run_node(self, n: fx.Node) -> Any:
        """Return the result of one operation with its derivative."""
        if n.op == "get_attr":
            return Dual(super().run_node(n), None)
        if n.op not in ("call_function", "call_method"):
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        values = fx.node.map_aggregate((args, kwargs), _value)
        result = getattr(self, n.op)(n.target, *values)
        name = n.target if isinstance(n.target, str) else n.target.__name__
        same = self._same(n, kwargs)
        return Dual(result, _slope(name, args, result, same))

    def _same(self, n: fx.Node, kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """Return the operation itself as a function of its arguments."""
        return lambda *args: getattr(self, n.op)(n.target, args, kwargs)


def _value(a: Any) -> Any:
    return a.value if isinstance(a, Dual) else a


def _slope_of(a: Any) -> Any:
    return a.slope if isinstance(a, Dual) else None


def _slope(name: str, args: Sequence[Any], result: Any, same: Callable[..., Any]) -> Any:
    """Return the derivative of a result, None where nothing that it depends on changes."""
    parts = args[0] if name == "cat" else args
    slopes, values = [_slope_of(a) for a in parts], [_value(a) for a in parts]
    if name in CONSTANT or all(slope is None for slope in slopes):
        return None
    if name in LINEAR:
        return same(slopes[0], *values[1:])
    if name in CHAIN:
        return slopes[0] * CHAIN[name](values[0], result)
    if name == "cat":
        pairs = zip(slopes, values, strict=True)
        return torch.cat([torch.zeros_like(v) if s is None else s for s, v in pairs], *args[1:])
    if name in ("mul", "matmul", "truediv", "div"):
        return _of_product(name, values, slopes, result)
    if name in ("add", "sub"):
        sign = -1.0 if name == "sub" else 1.0
        terms = [slopes[0], None if slopes[1] is None else sign * slopes[1]]
        return _sum(terms) + torch.zeros_like(result)  # a number more may widen the result
    if name in ("maximum", "minimum"):
        first = values[0] >= values[1] if name == "maximum" else values[0] <= values[1]
        return torch.where(first, *(_or_zeros(s, result) for s in slopes))
    if name == "where":
        return torch.where(values[0], *(_or_zeros(s, result) for s in slopes[1:]))
    raise ValueError(
        f"export: derivatives: the module uses {name}, whose derivative is not known. Add it to "
        "ibvonn_train/export/graphs/forward_mode.py."
    )


def _of_product(name: str, values: Sequence[Any], slopes: Sequence[Any], result: Any) -> Any:
    """Return the derivative of a product or a quotient."""
    (a, b), (da, db) = values, slopes
    if name in ("truediv", "div"):
        return _sum([None if da is None else da / b, None if db is None else -result * db / b])
    times = torch.matmul if name == "matmul" else operator.mul
    return _sum([None if da is None else times(da, b), None if db is None else times(a, db)])


def _sum(terms: Sequence[Any]) -> Any:
    first, *more = [term for term in terms if term is not None]
    return first + more[0] if more else first


def _or_zeros(slope: Any, result: Any) -> Tensor:
    """Return a slope in the shape of the result."""
    zeros = torch.zeros_like(result)
    return zeros if slope is None else slope + zeros
