"""Read pages and draw them, in the threads of ``ocr-trt run``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.files import write_whole
from ..errors import OcrTrtError, UserError

if TYPE_CHECKING:
    from ..common.memory import MemoryBudget
    from ..ocr.types import Image
    from ..pipeline.pages import Page
    from ..pipeline.read_result import ReadResult
    from ..pipeline.reader import OcrReader


class Drawings:
    """The paths of drawings, decided before any image is read: they do not depend on timing.

    Images of the same name from two folders get two drawings. Input images do not have the suffix
    ``.ocr.png``, so a drawing never replaces one.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._stems: dict[str, str] = {}
        self._taken: set[str] = set()
        for name in dict.fromkeys(names):
            stem = unique = "stdin" if name == "-" else Path(name).stem
            number = 1
            while unique in self._taken:
                number += 1
                unique = f"{stem}_{number}"
            self._taken.add(unique)
            self._stems[name] = unique

    def path(self, name: str, page: int, pages: int) -> Path:
        """Return the path for a page of an image; ``.page2`` is added if there are several."""
        stem = self._stems[name]
        if pages > 1:
            stem = f"{stem}.page{page:0{len(str(pages))}}"
            while stem in self._taken:  # another image has this name
                stem += "_"
        return self._folder / f"{stem}.ocr.png"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A page that was read, or why it cannot be read."""

    page: Page
    result: ReadResult | None = None
    error: OcrTrtError | None = None
    lacking: frozenset[str] = frozenset()
    """Characters of the drawing that no installed font has."""


@dataclass(frozen=True, kw_only=True)
class PageWorker:
    """Reads pages; serves several threads."""

    reader: OcrReader
    budget: MemoryBudget
    """Memory for the images that all threads have in progress."""
    drawings: Drawings | None = None

    def work(self, page: Page | Exception) -> Outcome:
        """Read a page, and draw it; errors are returned, so that the others are read.

        The image is freed before this returns: results wait for those of earlier pages.
        """
        if isinstance(page, Exception):  # of the list of images: never
            raise page
        try:
            return self._read(page)
        except UserError as error:
            return Outcome(page=page, error=error)

    def _read(self, page: Page) -> Outcome:
        from ..ocr.image_source import name_of, opened
        from ..pipeline.image_memory import memory_of
        from ..pipeline.read_image import read_image

        if page.error is not None:
            raise page.error
        source = opened(page.source)
        with self.budget.lend(memory_of(source, page.page, draws=self.drawings is not None)):
            pixels, result = read_image(self.reader, source, page=page.page)
            lacking: frozenset[str] = frozenset()
            if self.drawings is not None:
                path = self.drawings.path(name_of(source) or "", result.page, result.pages)
                lacking = _draw(pixels, result, path)
        return Outcome(page=page, result=result, lacking=lacking)


def _draw(image: Image, result: ReadResult, path: Path) -> frozenset[str]:
    """Write a drawing; return the characters that no installed font has."""
    import cv2

    from ..pipeline.draw import draw_lines
    from ..pipeline.fonts import missing_characters

    # (H, W, 3), RGB -> BGR, which OpenCV expects.
    ok, data = cv2.imencode(".png", draw_lines(image, result.lines)[:, :, ::-1])
    assert ok
    write_whole(path, data.tobytes())
    return frozenset(each for line in result.lines for each in missing_characters(line.text))
