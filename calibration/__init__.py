"""Quantization: measure the range of each tensor on calibration images, and quantize graphs."""
