"""Texts of the synthetic images: dictionary words, numbers, prices, dates, codes, addresses."""

from __future__ import annotations

import string
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...errors import InputFileError
from .fonts import Split

_DICTIONARY = Path("/usr/share/dict/american-english")
_HELD_OUT_SHARE = 10  # one dictionary word in ten is held out
_PRINTABLE = string.ascii_letters + string.digits + string.punctuation


@lru_cache
def vocabulary(split: Split) -> tuple[str, ...]:
    """Return the ASCII dictionary words of ``split``; every tenth word, by CRC-32, is held out.

    Raises:
        InputFileError: Debian's word list is not installed.
    """
    if not _DICTIONARY.is_file():
        raise InputFileError(
            f"word list {_DICTIONARY} is missing; install it with: apt-get install wamerican"
        )
    words = (
        w
        for w in _DICTIONARY.read_text("utf-8").split()
        # The charset is printable ASCII.
        if w.isascii() and len(w) <= 14 and not w.endswith("'s")
    )
    held_out = split == "held-out"
    return tuple(w for w in words if (zlib.crc32(w.encode()) % _HELD_OUT_SHARE == 0) == held_out)


def _pick(rng: np.random.Generator, choices: str | tuple[str, ...] | list[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(map(str, rng.integers(0, 10, count)))


def dictionary_word(rng: np.random.Generator, split: Split) -> str:
    """Draw a dictionary word, in its own, lower, title or upper case."""
    plain = _pick(rng, vocabulary(split))
    return (plain, plain.lower(), plain.capitalize(), plain.upper())[int(rng.integers(4))]


def _punctuated(rng: np.random.Generator, split: Split) -> str:
    body = dictionary_word(rng, split)
    before, after = _pick(
        rng,
        [
            "|.",
            "|,",
            "|:",
            "|;",
            "|!",
            "|?",
            "(|)",
            '"|"',
            "[|]",
            "'|'",
            "#|",
            "@|",
            "*|",
            "|-",
            "&|",
            "|'s",
            "|'s",
        ],
    ).split("|")
    return before + body + after


def _number(rng: np.random.Generator) -> str:
    value = int(rng.integers(0, 10 ** int(rng.integers(1, 7))))
    cents = int(rng.integers(100))
    forms = (
        f"{value}", f"{value:,}", f"{value % 10000}.{cents:02d}", f"${value % 1000}.{cents:02d}",
        f"{value % 101}%", f"+{value}", f"-{value}", f"{value % 100}/{cents}", f"x{value % 100}",
        f"#{value}", f"No.{value % 1000}", f"{value % 1000}kg", f"{value % 1000}mm",
    )  # fmt: skip
    return _pick(rng, forms)


def _date_or_time(rng: np.random.Generator) -> str:
    year, month, day = (int(rng.integers(a, b)) for a, b in ((1950, 2040), (1, 13), (1, 29)))
    hour, minute = int(rng.integers(24)), int(rng.integers(60))
    forms = (
        f"{day:02d}.{month:02d}.{year}", f"{month}/{day}/{year}", f"{year}-{month:02d}-{day:02d}",
        f"{year}", f"{hour:02d}:{minute:02d}",
        f"{hour % 12 + 1}:{minute:02d}{_pick(rng, ('AM', 'pm'))}",
    )  # fmt: skip
    return _pick(rng, forms)


def _code(rng: np.random.Generator) -> str:
    letters = "".join(_pick(rng, string.ascii_uppercase) for _ in range(rng.integers(1, 4)))
    return letters + _pick(rng, ("", "-", " ", "/")) + _digits(rng, int(rng.integers(1, 6)))


def _address(rng: np.random.Generator, split: Split) -> str:
    one, two = (_pick(rng, vocabulary(split)).lower() for _ in range(2))
    forms = (
        f"{one}@{two}.com", f"www.{one}.org", f"/{one}/{two}", f"{one}_{two}", f"{one}.{two}()",
        f"({_digits(rng, 3)})", f"{_digits(rng, 3)}-{_digits(rng, 4)}", f"<{one}>", f"{{{one}}}",
        f"{one}={_digits(rng, 2)}", f"~/{one}", f"${one}^{_digits(rng, 1)}",
    )  # fmt: skip
    return _pick(rng, forms)


def _printable(rng: np.random.Generator) -> str:
    return "".join(_pick(rng, _PRINTABLE) for _ in range(rng.integers(1, 7)))


def scene_word(rng: np.random.Generator, split: Split) -> str:
    """Draw one word without spaces, of the kinds that images of streets and pages show."""
    kind = rng.random()
    if kind < 0.62:
        return dictionary_word(rng, split)
    if kind < 0.74:
        return _punctuated(rng, split)
    if kind < 0.86:
        return _number(rng)
    if kind < 0.92:
        return _date_or_time(rng)
    if kind < 0.96:
        return _code(rng).replace(" ", "")
    return _address(rng, split)


def crop_text(rng: np.random.Generator, split: Split) -> str:
    """Draw the text of one recognizer sample: mostly a word, sometimes two, or any characters."""
    kind = rng.random()
    if kind < 0.06:
        return _printable(rng)
    if kind < 0.10:
        return _code(rng)
    if kind < 0.18:
        return f"{scene_word(rng, split)} {scene_word(rng, split)}"
    return scene_word(rng, split)
