"""Rewrites of a typed graph for one target, as late as possible; the numbers stay the same."""
