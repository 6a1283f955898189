"""Networks written layer by layer with TensorRT's own API, for models that no parser takes."""
