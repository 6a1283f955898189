"""One rule family per file; the file's name is the pass, and ``pipeline.PASSES`` is their order."""
