"""Run an ONNX file on the CPU, one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..parameters import FloatArray


def session(model: str | Path | bytes) -> Any:
    """Open an ONNX file or its bytes, with one thread and default optimisation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_onnx(model: str | Path | bytes, inputs: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Evaluate all outputs: arrays by name in, arrays by name out."""
    opened = session(model)
    names = [output.name for output in opened.get_outputs()]
    feed = {key: np.ascontiguousarray(value, dtype=np.float64) for key, value in inputs.items()}
    values: list[FloatArray] = opened.run(names, feed)
    return dict(zip(names, values, strict=True))
