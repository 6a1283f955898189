"""Optical character recognition before and after the networks, as pure functions on arrays."""
