"""The boxes that a detector returned, and how they match the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..engines.engine import Engine
from ..ocr.dataset import Label, SceneLabel
from ..ocr.detector import DetectorRole
from ..ocr.metrics.detection import (
    Counts,
    DetectionScore,
    Matching,
    count_image,
    detection_score,
    match_image,
)
from ..ocr.metrics.metric import METRICS
from ..ocr.types import Outlines
from ..pipeline.stages import detect
from .bootstrap import Sums
from .report_data import SampleView
from .result import Changed, Progress, Result
from .sample_images import scene_view

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self


def hmean_of_sums(sums: Sums) -> Sums:
    """Return 2 matched / (detected + truth) of sums (..., 3); 1 if there are no boxes at all."""
    matched, boxes = sums[..., 0], sums[..., 1] + sums[..., 2]
    return np.where(boxes > 0, 2 * matched / np.maximum(boxes, 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class DetectorResult(Result):
    """The boxes (K, P, 2) that were detected in each scene, and how they match the labels."""

    scenes: tuple[SceneLabel, ...]
    boxes: tuple[Outlines, ...]
    matchings: tuple[Matching, ...]

    metric = DetectorRole.metric
    unit = DetectorRole.unit
    statistics = {"hmean": hmean_of_sums}

    @classmethod
    def measured(cls, engine: Engine, labels: Sequence[Label], progress: Progress) -> Self:
        """Detect text in every scene."""
        scenes = tuple(label for label in labels if isinstance(label, SceneLabel))
        boxes, matchings = [], []
        for done, scene in enumerate(scenes, 1):
            quads, _ = detect(engine, scene.image.read())
            boxes.append(quads)
            matchings.append(match_image(quads, scene.quads, scene.ignore))
            progress(done)
        return cls(scenes=scenes, boxes=tuple(boxes), matchings=tuple(matchings))

    @property
    def labels(self) -> tuple[Label, ...]:
        """The scenes."""
        return self.scenes

    @property
    def counts(self) -> tuple[Counts, ...]:
        """The numbers of boxes in each scene."""
        return tuple(matching.counts for matching in self.matchings)

    @property
    def score(self) -> DetectionScore:
        """Precision, recall and hmean over all scenes."""
        return detection_score(self.counts)

    @property
    def value(self) -> float:
        """The hmean over all scenes."""
        return self.score.hmean

    def sample_value(self, index: int) -> float:
        """Return the hmean of one scene."""
        return detection_score([self.counts[index]]).hmean

    def rows(self) -> Sums:
        """Return matched, detected and true boxes of each scene: (scenes, 3)."""
        counts = [(c.matched, c.detected, c.truth) for c in self.counts]
        return np.array(counts, np.float64).reshape(-1, 3)

    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return precision, recall and hmean."""
        return dict(vars(self.score))

    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's boxes as the ground truth."""
        # Boxes have no texts, and none of them is "don't care".
        scenes = tuple(
            replace(scene, quads=quads, texts=(None,) * len(quads), ignore=(False,) * len(quads))
            for scene, quads in zip(truth.scenes, truth.boxes, strict=True)
        )
        matchings = tuple(
            match_image(mine, scene.quads, scene.ignore)
            for mine, scene in zip(self.boxes, scenes, strict=True)
        )
        return replace(self, scenes=scenes, matchings=matchings)

    def useless_value(self, *, labeled: bool) -> str | None:
        """Return the hmean as text if it is 0; without labels, "no box" if there is none."""
        if labeled:
            shown = f"{METRICS[self.metric].title} {100 * self.value:.2f}"
            return shown if self.value == 0 else None
        return None if any(map(len, self.boxes)) else "no box"

    def changed_from(self, baseline: Self) -> list[Changed]:
        """Return the scenes where other words match, or where the number of wrong boxes differs.

        An error is a missed word or a wrong box.
        """
        return [
            Changed(index=index, loss=_errors(ours) - _errors(theirs))
            for index, (ours, theirs) in enumerate(
                zip(self.matchings, baseline.matchings, strict=True)
            )
            if (ours.found, ours.wrong) != (theirs.found, theirs.wrong)
        ]

    def harm(self, baseline: Self, index: int, *, labeled: bool) -> tuple[float, float]:
        """Return the hmean lost, and 1 - the hmean against the baseline's boxes."""
        mine, theirs = self.boxes[index], baseline.boxes[index]
        # Agreement needs no labels: the baseline's boxes are the ground truth.
        agreement = detection_score([count_image(mine, theirs, [False] * len(theirs))]).hmean
        lost = 1 - agreement
        if labeled:
            lost = baseline.sample_value(index) - self.sample_value(index)
        return lost, 1 - agreement

    def worst(self, limit: int) -> list[int]:
        """Return the scenes with the lowest hmean below 1."""
        scores = [self.sample_value(index) for index in range(len(self.scenes))]
        order = sorted(range(len(scores)), key=lambda index: scores[index])
        return [index for index in order if scores[index] < 1][:limit]

    def views(self, baseline: Self | None, chosen: Sequence[int]) -> Iterator[SampleView]:
        """Yield the chosen images with their boxes drawn."""
        for index in chosen:
            yield scene_view(
                self.scenes[index],
                self.matchings[index].truth,
                self.boxes[index],
                self._texts(baseline, index),
            )

    def _texts(self, baseline: Self | None, index: int) -> tuple[str, str, str]:
        """Describe the truth, the baseline's result and this result of a scene."""
        truth = f"{len(self.matchings[index].truth)} words"
        return truth, baseline._summary(index) if baseline else "-", self._summary(index)

    def _summary(self, index: int, verb: str = "found") -> str:
        matching = self.matchings[index]
        return f"{len(matching.found)} of {len(matching.truth)} {verb}, {matching.wrong} wrong"

    def _details(self, baseline: Self) -> dict[str, float]:
        own, other = self.score, baseline.score
        return {
            "precision": own.precision,
            "recall": own.recall,
            "baseline_precision": other.precision,
            "baseline_recall": other.recall,
        }


def _errors(matching: Matching) -> int:
    missed = len(matching.truth) - len(matching.found)
    return missed + matching.wrong
