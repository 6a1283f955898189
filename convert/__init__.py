"""From a TensorFlow model to a clean, channel-first ONNX graph, step by proven step."""
