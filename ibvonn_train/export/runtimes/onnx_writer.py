"""Translate a traced torch module into ONNX nodes, float64, at an opset that old runtimes have.

A writer of our own instead of torch's exporters: the update needs a Loop around a body, all inputs
kept, no operation that ONNX Runtime lacks in float64 (Softplus, Erf), no transposition in front of
a product (fused into a kernel that some versions lack in float64), and no minutes of waiting. The
modules are those of this package and small networks, so the list of operations is short; one that
is missing is named.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import fx, nn
from torch.nn.functional import softplus

OPSET = 17
"""Operator set: onnxruntime 1.17 to 1.32 run it, and Debian's 1.23 at default settings."""

IR_VERSION = 8

_UNARY = {
    torch.exp: "Exp",
    torch.log: "Log",
    torch.sqrt: "Sqrt",
    torch.abs: "Abs",
    torch.tanh: "Tanh",
    torch.relu: "Relu",
    operator.neg: "Neg",
    operator.invert: "Not",
}
_BINARY = {
    operator.add: "Add",
    operator.sub: "Sub",
    operator.mul: "Mul",
    operator.truediv: "Div",
    operator.matmul: "MatMul",
    operator.and_: "And",
    operator.or_: "Or",
    operator.lt: "Less",
    operator.le: "LessOrEqual",
    operator.gt: "Greater",
    operator.ge: "GreaterOrEqual",
    torch.add: "Add",
    torch.sub: "Sub",
    torch.mul: "Mul",
    torch.div: "Div",
    torch.matmul: "MatMul",
    torch.maximum: "Max",
    torch.minimum: "Min",
}
_METHODS = {
    # A stored tensor on the left of a traced one is recorded as its method.
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "matmul": torch.matmul,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "sum": torch.sum,
    "mean": torch.mean,
    "square": torch.square,
    "reshape": torch.reshape,
    "unsqueeze": torch.unsqueeze,
    "squeeze": torch.squeeze,
    "unflatten": torch.unflatten,
    "transpose": torch.transpose,
    "long": torch.Tensor.long,
}


class OnnxWriter:
    """Collects nodes and constants; constants are stored once, in the outermost graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._initializers: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._count = 0

    def emit(self, operation: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append one node and return the name of its output."""
        self._count += 1
        name = f"v{self._count}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def constant(self, value: npt.ArrayLike, dtype: Any = np.float64) -> str:
        """Name of a stored constant."""
        array = np.array(value, dtype=dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._initializers:
            name = f"c{len(self._initializers)}"
            self._initializers[key] = numpy_helper.from_array(array, name)
        return self._initializers[key].name

    def module(self, module: nn.Module, inputs: Sequence[str]) -> list[str]:
        """Trace a module and append its nodes; return the names of its outputs.

        Raises:
            ValueError: If the module uses an operation that this writer does not know.
        """
        traced = fx.symbolic_trace(module)
        values: dict[str, Any] = {}
        feed = iter(inputs)
        for node in traced.graph.nodes:
            if node.op == "placeholder":
                values[node.name] = next(feed)
            elif node.op == "get_attr":
                tensor = operator.attrgetter(node.target)(traced)
                values[node.name] = self._tensor(tensor)
            elif node.op == "output":
                result = fx.map_arg(node.args[0], lambda n: values[n.name])
                return list(result) if isinstance(result, (tuple, list)) else [result]
            elif node.op == "call_module":
                layer = type(traced.get_submodule(str(node.target))).__name__
                raise ValueError(
                    f"export: ONNX writer: the module has a layer {layer}; layers of torch.nn are "
                    f"not known. Write it with functions ({_names(_KNOWN)})."
                )
            else:
                args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: values[n.name])
                values[node.name] = self._call(node, args, kwargs)
        raise AssertionError("a traced graph ends with its output")

    def loop(
        self,
        body: Callable[[list[str]], list[str]],
        state: Sequence[str],
        shapes: Sequence[Sequence[int | str]],
        max_passes: int,
    ) -> list[str]:
        """Append a Loop that carries ``state`` until no entry of its last tensor exceeds ½.

        Args:
            body: Given the names of the state, appends the nodes of one pass, and returns the names
                of the new state.
            state: Names of the initial values.
            shapes: Their shapes.
            max_passes: Bound on the passes.
        """
        outer, self.nodes = self.nodes, []
        names = [f"loop_in_{i}" for i in range(len(state))]
        result = [self.emit("Identity", [value]) for value in body(names)]
        total = self.emit("ReduceSum", [result[-1]], keepdims=0)
        go_on = self.emit("Greater", [total, self.constant(0.5)])
        inputs = [
            helper.make_tensor_value_info("loop_pass", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("loop_condition", onnx.TensorProto.BOOL, []),
            *(value_info(name, shape) for name, shape in zip(names, shapes, strict=True)),
        ]
        outputs = [
            helper.make_tensor_value_info(go_on, onnx.TensorProto.BOOL, []),
            *(value_info(name, shape) for name, shape in zip(result, shapes, strict=True)),
        ]
        graph = helper.make_graph(self.nodes, "pass", inputs, outputs)
        self.nodes = outer
        after = []
        for _ in state:
            self._count += 1
            after.append(f"v{self._count}")
        trips = self.constant(max_passes, np.int64)
        begin = self.constant(True, np.bool_)
        self.nodes.append(helper.make_node("Loop", [trips, begin, *state], after, body=graph))
        return after

    def model(
        self,
        name: str,
        inputs: dict[str, Sequence[int | str]],
        outputs: dict[str, tuple[str, Sequence[int | str]]],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Close the graph.

        Args:
            name: Name of the graph.
            inputs: Input name → shape; all stay in the graph.
            outputs: Output name → (name of the value, shape).
            metadata: Stored as ``metadata_props``.
        """
        nodes = list(self.nodes)
        nodes += [
            helper.make_node("Identity", [value], [key]) for key, (value, _) in outputs.items()
        ]
        used = set(inputs_of(nodes))  # a matrix that is stored transposed is not used as it was
        graph = helper.make_graph(
            nodes,
            name,
            [value_info(key, shape) for key, shape in inputs.items()],
            [value_info(key, shape) for key, (_, shape) in outputs.items()],
            initializer=[tensor for tensor in self._initializers.values() if tensor.name in used],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="ibvonn",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _tensor(self, tensor: torch.Tensor) -> str:
        array = tensor.detach().cpu().numpy()
        if array.dtype == np.bool_:
            return self.constant(array, np.bool_)
        return self.constant(array.astype(np.float64))

    def _operand(self, value: Any) -> str:
        return value if isinstance(value, str) else self.constant(float(value))

    def _call(self, node: fx.Node, args: Any, kwargs: Any) -> str:
        if node.target is getattr and args[1] == "T":
            return self._transposed(args[0])
        target: Any = _METHODS.get(str(node.target)) if node.op == "call_method" else node.target
        if target in _UNARY:
            return self.emit(_UNARY[target], [self._operand(args[0])])
        if target in _BINARY:
            return self.emit(_BINARY[target], [self._operand(a) for a in args[:2]])
        rule = getattr(self, f"_{getattr(target, '__name__', '')}", None)
        if target is None or rule is None or target not in _RULES:
            raise ValueError(
                f"export: ONNX writer: the module uses {node.target} ({node.op}), which is not "
                f"among the known operations ({_names(_KNOWN)}). Write it with these."
            )
        result: str = rule(*args, **kwargs)
        return result

    def _transposed(self, x: str) -> str:
        """Transpose a stored matrix here rather than in the graph."""
        for stored in self._initializers.values():
            if stored.name == x and len(stored.dims) == 2:
                return self.constant(numpy_helper.to_array(stored).T)
        raise ValueError(
            "export: ONNX writer: .T must be that of a stored matrix; found that of a computed "
            "one. Use torch.transpose(x, -1, -2) of a batch of matrices."
        )

    def _softplus(self, x: str, **_: Any) -> str:
        """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|): ONNX Runtime has no Softplus in float64."""
        decay = self.emit("Exp", [self.emit("Neg", [self.emit("Abs", [x])])])
        logarithm = self.emit("Log", [self.emit("Add", [self.constant(1.0), decay])])
        return self.emit("Add", [self.emit("Relu", [x]), logarithm])

    def _sigmoid(self, x: str) -> str:
        """1/(1 + e^−x), without overflow at either end."""
        decay = self.emit("Exp", [self.emit("Neg", [self.emit("Abs", [x])])])
        above = self.emit(
            "Div", [self.constant(1.0), self.emit("Add", [self.constant(1.0), decay])]
        )
        positive = self.emit("GreaterOrEqual", [x, self.constant(0.0)])
        return self.emit("Where", [positive, above, self.emit("Mul", [decay, above])])

    def _axes(self, axes: int | Sequence[int]) -> list[int]:
        return [axes] if isinstance(axes, int) else list(axes)

    def _sum(self, x: str, dim: Any, keepdim: bool = False) -> str:
        axes = self.constant(self._axes(dim), np.int64)
        return self.emit("ReduceSum", [x, axes], keepdims=int(keepdim))

    def _mean(self, x: str, dim: Any, keepdim: bool = False) -> str:
        return self.emit("ReduceMean", [x], axes=self._axes(dim), keepdims=int(keepdim))

    def _amax(self, x: str, dim: Any, keepdim: bool = False) -> str:
        return self.emit("ReduceMax", [x], axes=self._axes(dim), keepdims=int(keepdim))

    def _softmax(self, x: str, dim: int) -> str:
        return self.emit("Softmax", [x], axis=dim)

    def _cumsum(self, x: str, dim: int) -> str:
        return self.emit("CumSum", [x, self.constant(dim, np.int64)])

    def _cat(self, tensors: Sequence[str], dim: int = 0) -> str:
        return self.emit("Concat", tensors, axis=dim)

    def _where(self, condition: str, x: Any, y: Any) -> str:
        return self.emit("Where", [condition, self._operand(x), self._operand(y)])

    def _square(self, x: str) -> str:
        return self.emit("Mul", [x, x])

    def _reshape(self, x: str, *shape: Any) -> str:
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.emit("Reshape", [x, self.constant(list(sizes), np.int64)])

    def _unsqueeze(self, x: str, dim: int) -> str:
        return self.emit("Unsqueeze", [x, self.constant([dim], np.int64)])

    def _squeeze(self, x: str, dim: int) -> str:
        return self.emit("Squeeze", [x, self.constant([dim], np.int64)])

    def _transpose(self, x: str, first: int, second: int) -> str:
        if (first, second) != (-1, -2):
            raise ValueError("export: ONNX writer: only the last two axes of three are exchanged.")
        return self.emit("Transpose", [x], perm=[0, 2, 1])

    def _unflatten(self, x: str, dim: int, sizes: Sequence[int]) -> str:
        """Split the last axis of a matrix."""
        if dim != -1:
            raise ValueError("export: ONNX writer: only the last axis is unflattened.")
        return self.emit("Reshape", [x, self.constant([-1, *sizes], np.int64)])

    def _gather(self, x: str, dim: int, index: str) -> str:
        return self.emit("GatherElements", [x, index], axis=dim)

    def _long(self, x: str) -> str:
        return self.emit("Cast", [x], to=onnx.TensorProto.INT64)

    def _full_like(self, x: str, value: float) -> str:
        fill = numpy_helper.from_array(np.array([value], dtype=np.float64))
        return self.emit("ConstantOfShape", [self.emit("Shape", [x])], value=fill)

    def _zeros_like(self, x: str) -> str:
        return self._full_like(x, 0.0)

    def _ones_like(self, x: str) -> str:
        return self._full_like(x, 1.0)

    def _getitem(self, x: str, index: Any) -> str:
        parts = index if isinstance(index, tuple) else (index,)
        if parts[0] is Ellipsis:  # count the axes from the end
            parts = parts[1:]
            axes = [i - len(parts) for i, part in enumerate(parts) if part != slice(None)]
        else:
            axes = [i for i, part in enumerate(parts) if part != slice(None)]
        if not all(isinstance(p, slice) and p.step is None for p in parts):
            raise ValueError(f"export: ONNX writer: only slices of step 1 are known; got {index}.")
        if not axes:
            return x
        starts = [parts[i].start or 0 for i in axes]
        ends = [np.iinfo(np.int64).max if parts[i].stop is None else parts[i].stop for i in axes]
        bounds = [self.constant(values, np.int64) for values in (starts, ends, axes)]
        return self.emit("Slice", [x, *bounds])


_RULES = {
    torch.sum,
    torch.mean,
    torch.amax,
    torch.softmax,
    torch.cumsum,
    torch.cat,
    torch.where,
    torch.square,
    torch.reshape,
    torch.unsqueeze,
    torch.squeeze,
    torch.transpose,
    torch.unflatten,
    torch.gather,
    torch.Tensor.long,
    torch.sigmoid,
    softplus,
    torch.full_like,
    torch.zeros_like,
    torch.ones_like,
    operator.getitem,
}
_KNOWN = {*_RULES, *_UNARY, *_BINARY}


def _names(functions: Iterable[Any]) -> str:
    return ", ".join(sorted({function.__name__ for function in functions}))


def inputs_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Names of all values that nodes take, those of the bodies of loops included."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from inputs_of(attribute.g.node)


def value_info(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Describe a float64 tensor; a string in ``shape`` is a free axis."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, list(shape))
