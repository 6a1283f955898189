"""The steps of OCR before and after the networks, as pure functions on arrays."""
