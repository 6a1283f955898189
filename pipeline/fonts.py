"""Choose a font that has the characters of a text: Pillow's, one that fontconfig names, or others.

Pillow's own font has ASCII only. For other texts fontconfig is asked (``fc-match``), which also
knows fonts in ``~/.local/share/fonts``. Without fontconfig, the fonts that matplotlib finds are
tried; its own DejaVu Sans has Latin, Greek, Cyrillic, Hebrew and Arabic letters.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont, features

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SECONDS = 10
"""Time limit of ``fc-match``; it takes long only while fontconfig builds its cache."""


@dataclass(frozen=True, kw_only=True)
class FontFile:
    """A font: a file, and its number in a collection (.ttc)."""

    path: Path
    number: int = 0


def font_for(text: str, size: int) -> Font:
    """Return a font that has all characters of a text or, if there is none, most of them."""
    return _opened(_font_file(_shown(text)), size)


def missing_characters(text: str) -> frozenset[str]:
    """Return the characters of a text that its font lacks; they are drawn as empty boxes."""
    shown, file = _shown(text), _font_file(_shown(text))
    return frozenset() if file is None else shown - _characters(file.path)


def in_drawing_order(text: str) -> str:
    """Return a text in the order in which Pillow must draw it.

    Pillow orders right-to-left text itself if it has libraqm and FriBidi. Otherwise the package
    python-bidi is used if it is installed (the extra ``overlays``).
    """
    if text.isascii() or features.check("raqm"):
        return text
    try:
        from bidi import get_display
    except ImportError:
        return text
    return str(get_display(text))


def _shown(text: str) -> frozenset[str]:
    return frozenset(each for each in text if each.isprintable() and not each.isspace())


@lru_cache(maxsize=64)
def _opened(file: FontFile | None, size: int) -> Font:
    if file is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(file.path), size, index=file.number)


@lru_cache(maxsize=1024)
def _font_file(characters: frozenset[str]) -> FontFile | None:
    """Return the font for characters; None: Pillow's own."""
    if all(each.isascii() for each in characters):
        return None
    best: tuple[int, FontFile | None] = (0, None)
    for file in _candidates(characters):
        lacking = len(characters - _characters(file.path))
        if best[1] is None or lacking < best[0]:
            best = lacking, file
        if not lacking:
            break
    return best[1]


def _candidates(characters: frozenset[str]) -> list[FontFile]:
    """Return fonts to try, the most suitable first."""
    if (named := _fontconfig_match(characters)) is not None:
        return [named]
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    found = sorted(Path(path) for path in findSystemFonts())
    # Regular styles first: a collection of fonts contains many others.
    found.sort(key=lambda path: "regular" not in path.stem.lower())
    return [FontFile(path=path) for path in (own, *found)]


def _fontconfig_match(characters: frozenset[str]) -> FontFile | None:
    """Return the font that fontconfig chooses for characters; None without fontconfig or fonts."""
    program = shutil.which("fc-match")
    if program is None:
        return None
    charset = " ".join(f"{ord(each):x}" for each in sorted(characters))
    command = [program, "--format=%{file}\n%{index}", f":charset={charset}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
        path, number = done.stdout.decode().split("\n")
        # Of a variable font the upper 16 bits name one of its styles.
        return FontFile(path=Path(path), number=int(number or 0) & 0xFFFF)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


@lru_cache(maxsize=64)
def _characters(path: Path) -> frozenset[str]:
    """Return the characters of a font file; empty if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(str(path)).get_charmap()))
    except (OSError, RuntimeError, ValueError):  # a damaged file
        return frozenset()
