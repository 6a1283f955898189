"""Choose the charset of a recognizer, and the class of its blank, by the number of classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputFileError, SpecError
from .draft_stated import CharacterList

_ALPHANUMERIC = "0123456789abcdefghijklmnopqrstuvwxyz"
_ASCII_CLASSES = 96
"""Classes of the spec's default charset, printable ASCII, with the blank."""
_BLANK_NAMES = frozenset(
    {"", "blank", "<blank>", "[blank]", "<blk>", "[blk]", "ctcblank", "[ctcblank]", "<ctc_blank>"}
    | {"<eps>", "<epsilon>", "\u03b5", "<pad>", "[pad]", "\u2205"}
)
"""Names that files give to the blank, in lower case."""


@dataclass(frozen=True, kw_only=True)
class Charset:
    """Characters of a recognizer."""

    characters: str | None
    """None: the default of the spec."""
    blank: int | None = None
    """Class of the blank; None if the list does not show it."""
    note: str = ""


def choose_charset(
    output: str,
    classes: int | None,
    *,
    given: str | None,
    stated: Sequence[CharacterList] = (),
    known: Sequence[str] = (),
) -> Charset:
    """Return the characters of an output with a number of classes.

    Args:
        output: its name.
        classes: None if it is unknown.
        given: the charset that the user states; it must fit.
        stated: lists in the model's files; the first that fits is used.
        known: charsets of the model's family, of which one may fit.

    Raises:
        SpecError: the given charset does not fit, or the list in the file cannot be used.
        InputFileError: no charset is known.
    """
    if given is not None:
        found = _fitted(tuple(given), classes, "--charset")
        if found is None:
            raise SpecError(
                f"the output {output} has {classes} classes, so the charset needs "
                f"{classes - 1 if classes else '?'} characters besides the blank, got {len(given)}"
            )
        return found
    for each in stated:
        if classes is not None and (found := _fitted(each.entries, classes, each.origin)):
            return found
    for characters in known:
        if classes == len(characters) + 1:
            return Charset(characters=characters)
    if classes == len(_ALPHANUMERIC) + 1:
        return Charset(characters=_ALPHANUMERIC)
    if classes in (None, _ASCII_CLASSES):
        return Charset(characters=None)
    unfit = "".join(f"; {e.origin} has {len(e.entries)} entries, which do not fit" for e in stated)
    raise InputFileError(
        f"the output {output} has {classes} classes; there are default charsets for 37 and 96 "
        f"only{unfit}. Run ocr-trt init with --charset FILE, a text file with {classes - 1} "
        "characters, one per line, in the order of the classes without the blank"
    )


def _fitted(entries: tuple[str, ...], classes: int | None, origin: str) -> Charset | None:
    """Return the charset of a list of characters, which may contain the blank or lack the space.

    None if the list does not fit the number of classes.
    """
    blanks = [place for place, entry in enumerate(entries) if entry.lower() in _BLANK_NAMES]
    if classes == len(entries) and len(blanks) == 1:
        (blank,) = blanks
        characters = _joined((*entries[:blank], *entries[blank + 1 :]), origin)
        return Charset(
            characters=characters,
            blank=blank,
            note=f"the charset and the blank, class {blank}, come from {origin}",
        )
    note = "" if origin == "--charset" else f"the charset comes from {origin}"
    if classes in (None, len(entries) + 1):
        return Charset(characters=_joined(entries, origin), note=note)
    if classes == len(entries) + 2 and " " not in entries:
        # PaddleOCR's lists contain neither the blank, its first class, nor the space, its last.
        note = f"{origin} lists {len(entries)} characters of {classes} classes: as in PaddleOCR, "
        return Charset(
            characters=_joined((*entries, " "), origin),
            blank=0,
            note=f"{note}the first class is the blank, and the last one is a space",
        )
    return None


def _joined(entries: Sequence[str], origin: str) -> str:
    """Return characters as one string; an entry of several code points is composed to one."""
    characters = [unicodedata.normalize("NFC", e) if len(e) > 1 else e for e in entries]
    wrong = next((place for place, entry in enumerate(characters) if len(entry) != 1), None)
    if wrong is not None:
        raise SpecError(
            f"{origin}: entry {wrong + 1} is {entries[wrong]!r}, but a class must be one "
            "character; give a list of characters with --charset FILE"
        )
    return "".join(characters)
