"""Engines: typed graphs compiled for a target, bundled with everything that says what they are."""
