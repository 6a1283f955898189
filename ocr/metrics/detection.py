"""The detection metric of ICDAR 2015 (Karatzas et al., 2015, and the organizers' IoU script).

A detection matches a ground truth box when their intersection over union is above 0.5; each matches
at most once. Boxes may be polygons with any number of points, as in the protocol of Total-Text and
ICDAR ArT. A detection that lies by more than half in a "don't care" box is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shapely import MultiPolygon, Polygon

from ..outlines import is_curved
from ..types import Outlines

IOU = 0.5
_DONT_CARE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of matches, of detections that count and of ground truth boxes that count."""

    matched: int
    detected: int
    truth: int


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The matches of one image, by index.

    ``pairs``: detection -> ground truth; ``detected``, ``truth``: boxes that count.
    """

    pairs: dict[int, int]
    detected: frozenset[int]
    truth: frozenset[int]

    @property
    def found(self) -> frozenset[int]:
        """The ground truth boxes that were matched."""
        return frozenset(self.pairs.values())

    @property
    def wrong(self) -> int:
        """The number of detections that match nothing."""
        return len(self.detected) - len(self.pairs)

    @property
    def counts(self) -> Counts:
        """The numbers that scores are computed from."""
        return Counts(matched=len(self.pairs), detected=len(self.detected), truth=len(self.truth))


@dataclass(frozen=True, kw_only=True)
class DetectionScore:
    """Shares, 0..1. They are 1 where there is no text and nothing was detected."""

    precision: float
    recall: float
    hmean: float


def _polygon(box: Outlines) -> Polygon | MultiPolygon:
    shape = Polygon([(float(x), float(y)) for x, y in box])
    # Sides of a label or detection can cross, and shapely intersects valid polygons only.
    if shape.is_valid:
        return shape
    # The hull of a curved line would contain the area that the line bends around.
    return shape.buffer(0) if is_curved(box) else shape.convex_hull


def _iou(a: Polygon | MultiPolygon, b: Polygon | MultiPolygon) -> float:
    if not a.intersects(b):
        return 0.0
    shared = a.intersection(b).area
    union = a.area + b.area - shared
    return float(shared / union) if union > 0 else 0.0


def _is_dont_care(box: Polygon | MultiPolygon, dont_care: list[Polygon | MultiPolygon]) -> bool:
    return any(
        box.intersects(area) and box.intersection(area).area > _DONT_CARE_SHARE * box.area
        for area in dont_care
    )


def match_boxes(detected: Outlines, truth: Outlines, ignore: Sequence[bool]) -> dict[int, int]:
    """Match detections to ground truth, in the order given; return detection -> truth."""
    shapes = [_polygon(quad) for quad in detected]
    targets = {i: _polygon(q) for i, q in enumerate(truth) if not ignore[i]}
    matches: dict[int, int] = {}
    # As in the script, each truth takes the first detection that fits, not the best.
    for index, target in targets.items():
        for number, shape in enumerate(shapes):
            if number not in matches and _iou(shape, target) > IOU:
                matches[number] = index
                break
    return matches


def match_image(detected: Outlines, truth: Outlines, ignore: Sequence[bool]) -> Matching:
    """Match one image's boxes (K, P, 2); ``ignore`` marks ground truth that is "don't care"."""
    dont_care = [_polygon(q) for q, skip in zip(truth, ignore, strict=True) if skip]
    kept = [i for i, q in enumerate(detected) if not _is_dont_care(_polygon(q), dont_care)]
    matches = match_boxes(detected[kept], truth, ignore)
    return Matching(
        pairs={kept[number]: index for number, index in matches.items()},
        detected=frozenset(kept),
        truth=frozenset(i for i, skip in enumerate(ignore) if not skip),
    )


def count_image(detected: Outlines, truth: Outlines, ignore: Sequence[bool]) -> Counts:
    """Count one image, as :func:`match_image` matches it."""
    return match_image(detected, truth, ignore).counts


def detection_score(counts: Iterable[Counts]) -> DetectionScore:
    """Sum up images: precision, recall and their harmonic mean."""
    rows = list(counts)
    matched, detected, truth = (
        sum(getattr(row, name) for row in rows) for name in ("matched", "detected", "truth")
    )
    precision = matched / detected if detected else float(truth == 0)
    recall = matched / truth if truth else 1.0
    total = precision + recall
    # 2 p r / (p + r) is 0 / 0 if nothing matches.
    return DetectionScore(
        precision=precision, recall=recall, hmean=2 * precision * recall / total if total else 0.0
    )
