"""Read-only views of a graph: axes, regions, windows, norms and affine maps."""
