"""Lines of text in an image, before and after the recognizer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, WithJsonSchema

from ..ocr.crop import crop_outline, turned_back, ways_to_read
from ..ocr.ctc import Reading
from ..ocr.outlines import (
    corners_of,
    is_curved,
    level_quads,
    padded,
    rectangle_around,
    without_repetitions,
)
from ..ocr.reading_order import reading_order
from ..ocr.types import Image, Outlines, Quads, Scores
from .image_search import ImageSearch

JSON_CONFIG = ConfigDict(
    use_attribute_docstrings=True,
    arbitrary_types_allowed=True,  # NumPy arrays
    extra="forbid",
    json_schema_serialization_defaults_required=True,  # to_dict returns every field
)
"""How pydantic describes the results of readers in a JSON Schema."""
_CORNER = {
    "type": "array", "prefixItems": [{"type": "number"}] * 2, "minItems": 2, "maxItems": 2,
}  # fmt: skip
_QUAD_SCHEMA: dict[str, Any] = {
    "title": "Quad", "type": "array", "items": _CORNER, "minItems": 4, "maxItems": 4,
}  # fmt: skip
"""Of the JSON of a quad."""
_POLYGON_SCHEMA: dict[str, Any] = {
    "title": "Polygon", "type": "array", "items": _CORNER, "minItems": 4,
}  # fmt: skip


def _polygon_is_optional(schema: dict[str, Any]) -> None:
    schema["required"].remove("polygon")
    del schema["properties"]["polygon"]["default"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextLine:
    """A text and its place in an image. Lines are equal if all fields are."""

    __pydantic_config__ = ConfigDict(**JSON_CONFIG, json_schema_extra=_polygon_is_optional)

    quad: Annotated[Quads, WithJsonSchema(_QUAD_SCHEMA)]
    """Corners (4, 2) float32: (x, y) in the image's pixels, clockwise from the text's top left.
    Read-only.
    """
    text: str
    """The characters, all of the recognizer's charset."""
    box_score: float
    """How sure the detector is that this is text, 0..1."""
    text_score: float
    """How sure the recognizer is of the characters, 0..1."""
    polygon: Annotated[Outlines | None, WithJsonSchema(_POLYGON_SCHEMA)] = None
    """Only if the detector's boxes.shape is polygon: the outline (P, 2) float32 of the text, first
    half along its top, second half along its bottom, back; P is even, and 4 for a straight line.
    ``quad`` is the rectangle around it. Read-only.
    """

    def __post_init__(self) -> None:
        for name in ("quad", "polygon"):
            if getattr(self, name) is None:
                continue
            # A copy, because a change of the array would change the line's hash.
            array = np.array(getattr(self, name), np.float32)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def outline(self) -> Outlines:
        """The polygon, or the quad if there is none: (P, 2) float32."""
        return self.quad if self.polygon is None else self.polygon

    def _values(self) -> tuple[Any, ...]:
        corners = None if self.polygon is None else self.polygon.tolist()
        return self.quad.tolist(), self.text, self.box_score, self.text_score, corners

    def __eq__(self, other: object) -> bool:
        """Compare all fields; coordinates must be exactly the same."""
        return self._values() == other._values() if isinstance(other, TextLine) else NotImplemented

    def __hash__(self) -> int:
        quad, *rest, _ = self._values()
        return hash((tuple(map(tuple, quad)), *rest))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: a pickled array would be writable again.
        return partial(TextLine, **vars(self)), ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; coordinates are rounded to 0.1 pixel.

        There is no key ``polygon`` if the line has none.
        """
        data = {
            "quad": _rounded(self.quad),
            "text": self.text,
            "box_score": round(self.box_score, 4),
            "text_score": round(self.text_score, 4),
        }
        return data if self.polygon is None else {**data, "polygon": _rounded(self.polygon)}


def _rounded(points: Outlines) -> list[list[float]]:
    return [[round(float(x), 1), round(float(y), 1)] for x, y in points]


def boxes_of_lines(lines: Sequence[TextLine], points: int = 4) -> Outlines:
    """Return the boxes (K, P, 2) of lines; P is at least ``points``, or 4 if K is 0."""
    outlines = [line.outline for line in lines]
    points = max([points, *map(len, outlines)])
    return np.array([padded(each, points) for each in outlines], np.float32).reshape(-1, points, 2)


@dataclass(frozen=True, kw_only=True)
class DetectedLines:
    """Boxes to be read, in reading order; a box appears once for each orientation of its text.

    ``quads`` (K, 4, 2), or (K, P, 2) of a detector with polygons, ``scores`` (K,) and K
    straightened ``crops`` (h, w, 3) RGB. The ``line_numbers`` (K,) ascend; all orientations of a
    box have the same number.
    """

    quads: Outlines
    scores: Scores
    crops: tuple[Image, ...]
    line_numbers: tuple[int, ...]
    search: ImageSearch | None = None
    """How the detector searched the image; None: it was not searched."""


@dataclass(frozen=True, kw_only=True)
class FoundText:
    """The text of one image, and how it was found."""

    lines: tuple[TextLine, ...]
    search: ImageSearch | None
    warnings: tuple[str, ...]


def text_lines(lines: DetectedLines, readings: Sequence[Reading]) -> list[TextLine]:
    """Combine K boxes and their readings; boxes without text are dropped.

    Of several orientations of a box the one with the highest text score is used.
    """
    best: dict[int, TextLine] = {}
    for number, quad, score, reading in zip(
        lines.line_numbers, lines.quads, lines.scores, readings, strict=True
    ):
        if reading.text and (number not in best or reading.score > best[number].text_score):
            best[number] = _line_in(quad, reading, float(score))
    # In reading order of an upright page, since the numbers ascend.
    return _in_order_of_text(list(best.values()))


def _line_in(box: Outlines, reading: Reading, score: float) -> TextLine:
    """Return the line in a box (P, 2); with P above 4, the detector returns polygons."""
    quad, polygon = box, None
    if len(box) > 4:
        quad = rectangle_around(box) if is_curved(box) else corners_of(box)
        polygon = without_repetitions(box)
    return TextLine(
        quad=quad,
        text=reading.text,
        box_score=score,
        text_score=reading.score,
        polygon=polygon,
    )


def _in_order_of_text(lines: list[TextLine]) -> list[TextLine]:
    """Put lines into the reading order of a page whose text is turned; others keep their order.

    Most characters of the page decide how far it is turned, to a multiple of 90 degrees.
    """
    # The direction from a text's top left corner to the top right one: 1 if it runs down (90), ...
    tops = [line.quad[1].astype(np.float64) - line.quad[0] for line in lines]
    quarters = [round(np.arctan2(y, x) / (np.pi / 2)) % 4 for x, y in tops]
    characters = np.bincount(quarters, [len(line.text) for line in lines], minlength=4)
    turn = int(characters.argmax())
    if turn == 0 or 2 * characters[turn] <= characters.sum():
        return lines
    # (x, y) turned counterclockwise by 90, 180 or 270 degrees; y points down.
    x, y = np.moveaxis(np.array([line.quad for line in lines]), -1, 0)  # (K, 4) each
    level = {1: (y, -x), 2: (-x, -y), 3: (-y, x)}[turn]
    return [lines[index] for index in reading_order(np.stack(level, -1))]


def cut_lines(
    image: Image, boxes: Outlines, scores: Scores, *, both_ways: bool = False
) -> DetectedLines:
    """Cut boxes (K, P, 2) with scores (K,) out of an RGB image, in reading order.

    ``both_ways``: each box may contain text that is upside down.
    """
    lines = ordered_lines(boxes, scores, both_ways=both_ways)
    return replace(lines, crops=tuple(crop_outline(image, quad) for quad in lines.quads))


def whole_line(image: Image, *, both_ways: bool = False) -> DetectedLines:
    """Return an RGB image (h, w, 3) that is one line of text, with the box score 1.

    An image much higher than wide may contain rotated text, so it appears in three orientations.
    ``both_ways`` adds the one upside down.
    """
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    ways = ways_to_read(corners, both_ways=both_ways)
    return DetectedLines(
        quads=np.array(list(ways.values()), np.float32),
        scores=np.ones(len(ways), np.float32),
        crops=tuple(turned_back(image, angle) for angle in ways),
        line_numbers=(0,) * len(ways),
    )


def ordered_lines(boxes: Outlines, scores: Scores, *, both_ways: bool = False) -> DetectedLines:
    """Return boxes (K, P, 2) with scores (K,) in reading order, without crops."""
    order = reading_order(level_quads(boxes))
    # One box becomes one to four orientations, which keep the number of their line.
    ways = [
        (line, quad)
        for line, box in enumerate(order)
        for quad in ways_to_read(boxes[box], both_ways=both_ways).values()
    ]
    numbers = tuple(line for line, _ in ways)
    return DetectedLines(
        quads=np.array([quad for _, quad in ways], np.float32).reshape(-1, *boxes.shape[1:]),
        scores=scores[order[list(numbers)]],
        crops=(),
        line_numbers=numbers,
    )
