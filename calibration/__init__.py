"""Precision: what range each tensor has on real pictures, and graphs typed by it."""
