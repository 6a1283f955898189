"""One rule family per file; the file's name is the pass, and ``pass_order.py`` has their order."""
