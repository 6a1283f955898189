"""What every stage uses: files, the cache, YAML, ONNX files and sessions, cores, progress."""
