"""The fonts of the synthetic images.

``fonts.tsv`` lists split, Debian package, path and family.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import ImageFont

from ...errors import InputFileError

Split = Literal["train", "held-out"]

_TABLE = Path(__file__).with_name("fonts.tsv")
_ROOT = Path("/usr/share")


@lru_cache
def font_files(split: Split) -> tuple[Path, ...]:
    """Return the font files of ``split``, in the table's order.

    Raises:
        InputFileError: a font is not installed; the message names its Debian package.
    """
    files = []
    for line in _TABLE.read_text("utf-8").splitlines():
        row_split, package, path, _family = line.split("\t")
        if row_split != split:
            continue
        if not (_ROOT / path).is_file():
            raise InputFileError(
                f"font {_ROOT / path} is missing; install it with: apt-get install {package}, "
                "or all fonts with: make fonts"
            )
        files.append(_ROOT / path)
    return tuple(files)


@lru_cache(maxsize=4096)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """Return the font at ``path`` with an em of ``size`` pixels."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
