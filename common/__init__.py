"""Modules that every stage uses: files, the cache, YAML, JSON, ONNX, cores, progress."""
