"""Engines: quantized graphs compiled for a target, in bundles with their provenance."""
