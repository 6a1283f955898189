"""Shorten the messages of other libraries' exceptions, to include them in our own."""

from __future__ import annotations

_LONGEST = 300  # characters


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its type if it has none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line[:_LONGEST] for line in lines if line), type(error).__name__)
