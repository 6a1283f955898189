"""Turn line crops whose text does not run to the right, as a classifier states."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..engines.engine import Engine
from ..ocr.classifier import Direction
from ..ocr.crop import ROTATED, quad_of_text, turned_back
from ..ocr.outlines import is_curved
from ..spec import Angle, ClassifierSpec
from .clock import Clock, untimed
from .stages import classify, spec_of
from .text_lines import DetectedLines


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A crop to classify: ``index`` in the lines, and the angles that are read if it is unsure.

    ``kind``: whether the box is tall, and the angle of the orientation that the crop shows.
    ``possible``: the angles that its text may have. The crop of a curved line was bent straight
    along its outline, so its text cannot run up or down.
    """

    index: int
    kind: tuple[bool, int]
    possible: tuple[Angle, ...]
    if_unsure: tuple[Angle, ...]


def with_directions(
    classifier: Engine, lines: DetectedLines, clock: Clock = untimed
) -> DetectedLines:
    """Return lines with crops turned so that their text runs to the right.

    A crop whose direction is unsure is returned in several directions, as are tall boxes without a
    classifier; the recognizer's scores decide later. A direction is unsure if its probability is
    below the threshold of the spec, or if most crops of the image have another one. A classifier of
    0 and 180 degrees is asked twice about a tall box: about an upright letter, and about text that
    runs down or up. One that knows all four angles is asked once.
    """
    spec = spec_of(classifier, ClassifierSpec)
    questions = list(_questions(lines, spec.angles))
    directions = classify(classifier, [lines.crops[each.index] for each in questions], clock)
    with clock("direction"):
        sure = _sure(questions, directions, spec.threshold)
        found = [
            (question.index, angle)
            for question, direction, is_sure in zip(questions, directions, sure, strict=True)
            for angle in ((direction.angle,) if is_sure else question.if_unsure)
        ]
        indices = [index for index, _ in found]
        quads = [quad_of_text(lines.quads[index], angle) for index, angle in found]
        return DetectedLines(
            quads=np.array(quads, np.float32).reshape(-1, *lines.quads.shape[1:]),
            scores=lines.scores[indices],
            crops=tuple(turned_back(lines.crops[index], angle) for index, angle in found),
            line_numbers=tuple(lines.line_numbers[index] for index in indices),
            search=lines.search,
        )


def _sure(
    questions: Sequence[_Question], directions: Sequence[Direction], threshold: float
) -> list[bool]:
    """Return whether each direction is sure.

    The lines of a page rarely run in opposite directions, so a direction that few of them have is
    more often an error of the classifier.
    """
    votes = defaultdict[tuple[bool, int], Counter[int]](Counter)
    for question, direction in zip(questions, directions, strict=True):
        votes[question.kind][direction.angle] += 1
    return [
        direction.score >= threshold
        and direction.angle in question.possible
        and 2 * votes[question.kind][direction.angle] >= votes[question.kind].total()
        for question, direction in zip(questions, directions, strict=True)
    ]


def _questions(lines: DetectedLines, angles: Sequence[Angle]) -> Iterator[_Question]:
    """Yield the crops to classify, so that each orientation of a box is in the reach of one."""
    members = defaultdict[int, list[int]](list)
    for index, number in enumerate(lines.line_numbers):
        members[number].append(index)
    for indices in members.values():
        curved = is_curved(lines.quads[indices[0]])
        # A curved line is cut out along its outline, and perhaps also back.
        of_crops: tuple[Angle, ...] = (0, 180) if curved else (0, *ROTATED)
        ways = dict[int, int](zip(of_crops, indices, strict=False))
        is_tall = len(indices) > 1 and not curved
        # Text in a crop that is not tall runs along its longer side: to the right or to the left.
        if_unsure = tuple(angle for angle in angles if is_tall or angle in (0, 180))
        while ways:
            first = next(iter(ways))
            # The directions of steep curved lines are no evidence for those of level lines.
            shown = 90 if curved and len(indices) > 1 else first
            yield _Question(
                index=ways[first],
                kind=(is_tall, shown),
                possible=if_unsure if curved else tuple(angles),
                if_unsure=if_unsure,
            )
            for angle in angles:  # these orientations are angles of the first one's crop
                ways.pop((first + angle) % 360, None)
