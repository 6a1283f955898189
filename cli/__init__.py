"""The command line: one file per command. Each parses options, calls the library, prints."""

from .start import main

__all__ = ["main"]
