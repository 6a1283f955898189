"""The command line: one file per command; each parses, calls and prints."""

from .app import main

__all__ = ["main"]
