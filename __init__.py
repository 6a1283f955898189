"""TensorFlow OCR models in, fast engines of measured accuracy out."""

__version__ = "0.1.0"
