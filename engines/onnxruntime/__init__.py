"""The target onnxruntime: the reference that every other target is compared with."""
