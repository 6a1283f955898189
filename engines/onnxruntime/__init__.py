"""The target onnxruntime, with which all other targets are compared."""
