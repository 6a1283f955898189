"""Optical character recognition around the networks, as pure functions on arrays."""
