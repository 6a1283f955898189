"""Custom ops: one folder per op, with its ONNX function body and its NumPy reference."""
