"""``ocr-trt serve``: an HTTP service that reads text with two bundles (the extra ``serve``)."""
