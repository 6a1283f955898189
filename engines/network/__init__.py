"""Networks written layer by layer with TensorRT's API, for models that no parser accepts."""
