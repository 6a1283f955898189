"""The lines that a detector and a recognizer read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ocr.dataset import SceneLabel
from ..ocr.metrics.end_to_end import match_lines, match_places
from ..ocr.types import Quads
from .detector_result import DetectorResult, hmean_of_sums

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self

_MOST_WORDS = 12
"""Words of one image that are written out."""


@dataclass(frozen=True, kw_only=True)
class EndToEndResult(DetectorResult):
    """Lines read in each scene; a line matches a label by place and text."""

    texts: tuple[tuple[str, ...], ...]

    statistics = {"e2e_hmean": hmean_of_sums}

    @classmethod
    def matched(
        cls,
        scenes: tuple[SceneLabel, ...],
        found: tuple[Quads, ...],
        texts: tuple[tuple[str, ...], ...],
    ) -> Self:
        """Match the lines of each scene, by quads (K, 4, 2) and K texts, to its labels."""
        matchings = tuple(
            match_lines(match_places(quads, s.quads, s.texts, s.ignore), read, s.texts)
            for s, quads, read in zip(scenes, found, texts, strict=True)
        )
        return cls(scenes=scenes, found=found, texts=texts, matchings=matchings)

    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return end-to-end precision, recall and hmean."""
        return {f"e2e_{name}": share for name, share in super().shares(labeled=labeled).items()}

    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's lines as the ground truth."""
        scenes = tuple(
            replace(scene, quads=quads, texts=read, ignore=(False,) * len(read))
            for scene, quads, read in zip(truth.scenes, truth.found, truth.texts, strict=True)
        )
        return self.matched(scenes, self.found, self.texts)

    def _texts_beside(self, baseline: Self | None, index: int) -> tuple[str, str, str]:
        """Return the words that only one of the two read right; counts if there are none."""
        if baseline is not None:
            # Words that exactly one of the two read right.
            changed = self.matchings[index].found ^ baseline.matchings[index].found
            if words := sorted(changed)[:_MOST_WORDS]:
                truth = ", ".join(self.scenes[index].texts[word] or "" for word in words)
                return truth, baseline._readings(index, words), self._readings(index, words)
        return super()._texts_beside(baseline, index)

    def _readings(self, index: int, words: Sequence[int]) -> str:
        """Return what was read at the place of each word; a dash if no line is there."""
        scene = self.scenes[index]
        places = match_places(self.found[index], scene.quads, scene.texts, scene.ignore)
        lines = {word: line for line, word in places.pairs.items()}
        read = (self.texts[index][lines[word]] if word in lines else "-" for word in words)
        return f"{', '.join(read)} ({self._summary(index)})"

    def _summary(self, index: int, verb: str = "read") -> str:
        return super()._summary(index, verb)
