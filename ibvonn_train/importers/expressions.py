"""Arithmetic of a description: parsed once, evaluated on arrays, differentiated exactly.

Nothing but numbers, names, arithmetic, comparisons and the functions of :data:`FUNCTIONS` is
understood, so that a description that somebody else wrote runs no code.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.toml_tables import ConfigError, shown

Array = npt.NDArray[np.float64]
Names = Mapping[str, Any]
LONGEST = 2000
"""Characters of an expression."""

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any] | None]] = {
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tan": (np.tan, lambda x: 1 / np.cos(x) ** 2),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "abs": (np.abs, np.sign),
    "min": (np.minimum, None),
    "max": (np.maximum, None),
    "where": (np.where, None),
}
"""Name → function and derivative; of those without one, the branch that is taken is derived."""
CONSTANTS = {"pi": np.pi}
_ARITY = {"min": 2, "max": 2, "where": 3}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Expression:
    """An expression such as ``0.5*k*(strain - x)**2``.

    Args:
        text: The expression.
        place: What to call it in messages.

    Raises:
        ConfigError: If it is not arithmetic.
    """

    def __init__(self, text: str, place: str) -> None:
        self.text, self.place = text, place
        if len(text) > LONGEST:
            raise ConfigError(
                f"{place}: must have {LONGEST} characters at most; it has {len(text)}."
            )
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
            names = self._names(self._tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{place}: must be an expression; got {shown(text)}.") from error
        self.names: frozenset[str] = frozenset(names) - CONSTANTS.keys()

    def _names(self, node: ast.expr) -> set[str]:
        if isinstance(node, ast.Name):
            return {node.id}
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return set()
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return self._names(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self._names(node.left) | self._names(node.right)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            if type(node.ops[0]) in _COMPARISONS:
                return self._names(node.left) | self._names(node.comparators[0])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            name = node.func.id
            if name in FUNCTIONS and len(node.args) == _ARITY.get(name, 1):
                return set().union(*(self._names(part) for part in node.args))
        raise ConfigError(
            f"{self.place}: must be made of numbers, names, + - * / **, comparisons and the "
            f"functions {', '.join(FUNCTIONS)} with their arguments; got "
            f"{shown(ast.unparse(node))} in {shown(self.text)}."
        )

    def require(self, known: Mapping[str, Any] | frozenset[str]) -> None:
        """Raise :class:`ConfigError` where a name is not among the known ones."""
        unknown = sorted(self.names - set(known))
        if unknown:
            raise ConfigError(
                f"{self.place}: {unknown[0]!r} is not known in {shown(self.text)}; known names: "
                f"{', '.join(sorted(known))}."
            )

    def value(self, names: Names) -> Any:
        """Return the value; arrays among the names are broadcast together."""
        self.require(names)
        with np.errstate(all="ignore"):  # what is not finite is refused with the record
            return _dual(self._tree, names, None)[0]

    def slope(self, names: Names, by: str) -> Any:
        """Return the partial derivative by one name, exact up to rounding."""
        self.require(names)
        with np.errstate(all="ignore"):
            return _dual(self._tree, names, by)[1]


def _dual(node: ast.expr, names: Names, by: str | None) -> tuple[Any, Any]:
    """Return value and slope of a node."""
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)  # noqa: S101 (looked at when parsed)
        return float(node.value), 0.0
    if isinstance(node, ast.Name):
        value = CONSTANTS[node.id] if node.id in CONSTANTS else names[node.id]
        return value, 1.0 if node.id == by else 0.0
    if isinstance(node, ast.UnaryOp):
        value, slope = _dual(node.operand, names, by)
        return (-value, -slope) if isinstance(node.op, ast.USub) else (value, slope)
    if isinstance(node, ast.BinOp):
        return _binary(node, names, by)
    if isinstance(node, ast.Compare):
        left, right = (_dual(part, names, by)[0] for part in (node.left, node.comparators[0]))
        return _COMPARISONS[type(node.ops[0])](left, right), 0.0
    assert isinstance(node, ast.Call)  # noqa: S101 (looked at when parsed)
    assert isinstance(node.func, ast.Name)  # noqa: S101
    parts = [_dual(part, names, by) for part in node.args]
    values = [value for value, _ in parts]
    function, derivative = FUNCTIONS[node.func.id]
    value = function(*values)
    if derivative is not None:
        slope = parts[0][1]
        flat = isinstance(slope, float) and slope == 0.0
        return value, 0.0 if flat else derivative(values[0]) * slope
    if node.func.id == "where":
        return value, np.where(values[0], parts[1][1], parts[2][1])
    first = values[0] <= values[1] if node.func.id == "min" else values[0] >= values[1]
    return value, np.where(first, parts[0][1], parts[1][1])


def _binary(node: ast.BinOp, names: Names, by: str | None) -> tuple[Any, Any]:
    (a, da), (b, db) = _dual(node.left, names, by), _dual(node.right, names, by)
    kind = type(node.op)
    if kind is ast.Pow:
        a = np.asarray(a, np.float64)  # a number to a large power overflows to infinity
    if kind is ast.Div:
        b = np.asarray(b, np.float64)
    value = _OPERATORS[kind](a, b)
    if by is None:
        return value, 0.0
    if kind is ast.Add:
        return value, da + db
    if kind is ast.Sub:
        return value, da - db
    if kind is ast.Mult:
        return value, da * b + a * db
    if kind is ast.Div:
        return value, da / b - a * db / b**2
    slope = b * a ** (b - 1) * da
    varies = not (isinstance(db, float) and db == 0.0)
    return value, slope + value * np.log(a) * db if varies else slope
