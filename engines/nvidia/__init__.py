"""What TensorRT 10, TensorRT 11 and TensorRT-RTX share: nearly everything."""
