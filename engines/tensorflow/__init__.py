"""The TensorFlow baseline, and the runtimes that compete with the engines."""
