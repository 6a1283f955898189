"""Rewrites of a graph for one target, as late as possible; the numbers stay the same."""
