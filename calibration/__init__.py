"""Precision: what range each tensor has on real images, and graphs quantized by it."""
