"""The runtimes of an exported law: ONNX, TorchScript, C, and their agreement."""
