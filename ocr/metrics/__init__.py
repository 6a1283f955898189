"""The accuracy metrics of OCR, as pure functions."""
