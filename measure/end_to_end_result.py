"""The lines that a detector and a recognizer read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ocr.dataset import SceneLabel
from ..ocr.metrics.end_to_end import match_lines, match_places
from ..ocr.types import Outlines
from .detector_result import DetectorResult, hmean_of_sums

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self

_MAX_WORDS = 12
"""Limit of the words of one image that are written out."""


@dataclass(frozen=True, kw_only=True)
class EndToEndResult(DetectorResult):
    """The lines read in each scene. A line matches a label if its place and its text match."""

    texts: tuple[tuple[str, ...], ...]

    statistics = {"e2e_hmean": hmean_of_sums}

    @classmethod
    def matched(
        cls,
        scenes: tuple[SceneLabel, ...],
        boxes: tuple[Outlines, ...],
        texts: tuple[tuple[str, ...], ...],
    ) -> Self:
        """Match the lines of each scene, boxes (K, P, 2) and K texts, with its labels."""
        matchings = tuple(
            match_lines(match_places(quads, s.quads, s.texts, s.ignore), read, s.texts)
            for s, quads, read in zip(scenes, boxes, texts, strict=True)
        )
        return cls(scenes=scenes, boxes=boxes, texts=texts, matchings=matchings)

    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return end-to-end precision, recall and hmean."""
        return {f"e2e_{name}": share for name, share in super().shares(labeled=labeled).items()}

    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's lines as the ground truth."""
        scenes = tuple(
            replace(scene, quads=quads, texts=read, ignore=(False,) * len(read))
            for scene, quads, read in zip(truth.scenes, truth.boxes, truth.texts, strict=True)
        )
        return self.matched(scenes, self.boxes, self.texts)

    def _texts(self, baseline: Self | None, index: int) -> tuple[str, str, str]:
        """Return the words that only one of both results read right; counts if there are none."""
        if baseline is not None:
            # Symmetric difference of two sets of label indices.
            changed = self.matchings[index].found ^ baseline.matchings[index].found
            if words := sorted(changed)[:_MAX_WORDS]:
                truth = ", ".join(self.scenes[index].texts[word] or "" for word in words)
                return truth, baseline._readings(index, words), self._readings(index, words)
        return super()._texts(baseline, index)

    def _readings(self, index: int, words: Sequence[int]) -> str:
        """Return the text that was read at the place of each word; a dash if no line is there."""
        scene = self.scenes[index]
        places = match_places(self.boxes[index], scene.quads, scene.texts, scene.ignore)
        lines = {word: line for line, word in places.pairs.items()}
        read = (self.texts[index][lines[word]] if word in lines else "-" for word in words)
        return f"{', '.join(read)} ({self._summary(index)})"

    def _summary(self, index: int, verb: str = "read") -> str:
        return super()._summary(index, verb)
