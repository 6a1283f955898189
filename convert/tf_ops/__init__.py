"""TensorFlow ops that tf2onnx does not convert, or converts wrongly, written as ONNX ops.

A rule is a function that receives an :class:`~.emitter.Emitter` for one node and returns its
results. ``rules.py`` lists the rules of all modules; tf2onnx calls them during the export, in loop
bodies too, when shapes and types of all tensors are known. docs/ops.md lists all ops.
"""
