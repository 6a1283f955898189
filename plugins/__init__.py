"""Custom ops: one folder per op, with its NumPy reference and its CUDA kernels.

Ops that are nodes of graphs also have an ONNX function body and a registration with TensorRT. The
others run before and after an engine.
"""
