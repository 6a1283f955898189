"""The texts that a recognizer read, and how they differ from the labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from ..engines.engine import Engine
from ..ocr.dataset import CropLabel, Label, crop_images
from ..ocr.metrics.metric import METRICS
from ..ocr.metrics.recognition import RecognitionScore, loose, recognition_score
from ..ocr.recognizer import RecognizerRole
from ..ocr.types import Image
from ..pipeline.stages import recognize
from .bootstrap import Sums
from .report_data import SampleView
from .result import Changed, Progress, Result
from .sample_images import line_view

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self

_LINES_AT_ONCE = 64
"""Lines that are in memory at the same time."""


def cer_of_sums(sums: Sums) -> Sums:
    """Return edits per true character of sums (..., 4).

    Where the truth has no characters: 1 if there are edits, else 0.
    """
    edits, characters = sums[..., 0], sums[..., 1]
    return np.where(characters > 0, edits / np.maximum(characters, 1), (edits > 0).astype(float))


def word_accuracy_of_sums(sums: Sums) -> Sums:
    """Return the share of exact readings of sums (..., 4)."""
    return sums[..., 2] / np.maximum(sums[..., 3], 1)


@dataclass(frozen=True, kw_only=True)
class RecognizerResult(Result):
    """The text that was read in each line crop, with its score."""

    crops: tuple[CropLabel, ...]
    texts: tuple[str, ...]
    text_scores: tuple[float, ...]

    metric = RecognizerRole.metric
    unit = RecognizerRole.unit
    statistics = {"cer": cer_of_sums, "word_accuracy": word_accuracy_of_sums}

    @classmethod
    def measured(cls, engine: Engine, labels: Sequence[Label], progress: Progress) -> Self:
        """Read every crop."""
        crops = tuple(label for label in labels if isinstance(label, CropLabel))
        texts: list[str] = []
        scores: list[float] = []
        chunk: list[Image] = []
        for number, line in enumerate(crop_images(crops), 1):
            chunk.append(line)
            if len(chunk) == _LINES_AT_ONCE or number == len(crops):
                readings = recognize(engine, chunk)
                texts += [reading.text for reading in readings]
                scores += [reading.score for reading in readings]
                chunk = []
                progress(number)
        return cls(crops=crops, texts=tuple(texts), text_scores=tuple(scores))

    @property
    def labels(self) -> tuple[Label, ...]:
        """The crops."""
        return self.crops

    @property
    def truth(self) -> list[str]:
        """The text of each label."""
        return [crop.text for crop in self.crops]

    @property
    def score(self) -> RecognitionScore:
        """Word accuracy and CER; case and punctuation count."""
        return recognition_score(self.texts, self.truth)

    @property
    def value(self) -> float:
        """The CER over all crops."""
        return self.score.cer

    @property
    def loose_word_accuracy(self) -> float:
        """Word accuracy if only letters and digits count, and case does not."""
        read, truth = ([loose(text) for text in texts] for texts in (self.texts, self.truth))
        return recognition_score(read, truth).word_accuracy

    def edits(self, index: int) -> int:
        """Return the edit distance between the reading and the truth of one crop."""
        return int(Levenshtein.distance(self.texts[index], self.crops[index].text))

    def sample_value(self, index: int) -> float:
        """Return the edits per true character of one crop; an empty truth counts as one."""
        return self.edits(index) / max(1, len(self.crops[index].text))

    def rows(self) -> Sums:
        """Return edits, characters, exact readings and words of each image: (images, 4)."""
        # Lines of one image are correlated, so the image is the unit of the bootstrap.
        images: dict[object, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for index, crop in enumerate(self.crops):
            edits = self.edits(index)
            for column, number in enumerate((edits, len(crop.text), int(edits == 0), 1)):
                images[crop.image][column] += number
        return np.array(list(images.values()), np.float64).reshape(-1, 4)

    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return CER and word accuracies; the loose one needs labels."""
        score = self.score
        return {
            "word_accuracy": score.word_accuracy,
            "loose_word_accuracy": self.loose_word_accuracy if labeled else None,
            "cer": score.cer,
        }

    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's readings as the ground truth."""
        read = zip(truth.crops, truth.texts, strict=True)
        return replace(self, crops=tuple(replace(crop, text=text) for crop, text in read))

    def useless_value(self, *, labeled: bool) -> str | None:
        """Return the CER as text if it is 1 or more; without labels, "no text" if there is none."""
        if labeled:
            shown = f"{METRICS[self.metric].title} {100 * self.value:.2f}"
            return shown if self.value >= 1 else None
        return None if any(self.texts) else "no text"

    def changed_from(self, baseline: Self) -> list[Changed]:
        """Return the crops that were read differently. Errors are edits."""
        return [
            Changed(index=index, loss=self.edits(index) - baseline.edits(index))
            for index, (ours, theirs) in enumerate(zip(self.texts, baseline.texts, strict=True))
            if ours != theirs
        ]

    def harm(self, baseline: Self, index: int, *, labeled: bool) -> tuple[float, float]:
        """Return the characters lost, and the characters changed plus the score lost."""
        changed = Levenshtein.distance(self.texts[index], baseline.texts[index])
        lost = self.edits(index) - baseline.edits(index) if labeled else changed
        return lost, changed + (baseline.text_scores[index] - self.text_scores[index])

    def worst(self, limit: int) -> list[int]:
        """Return the crops with the most edits. Ties: the reading with the lowest score first."""
        wrong = [i for i, crop in enumerate(self.crops) if self.texts[i] != crop.text]
        return sorted(wrong, key=lambda i: (-self.edits(i), self.text_scores[i]))[:limit]

    def views(self, baseline: Self | None, chosen: Sequence[int]) -> Iterator[SampleView]:
        """Yield the chosen lines."""
        crops = [self.crops[index] for index in chosen]
        for index, crop, image in zip(chosen, crops, crop_images(crops), strict=True):
            before = baseline.texts[index] if baseline else "-"
            yield line_view(image, crop.image.name, (crop.text, before, self.texts[index]))

    def _details(self, baseline: Self) -> dict[str, float]:
        own, other = self.score, baseline.score
        changed = [a != b for a, b in zip(self.texts, baseline.texts, strict=True)]
        return {
            "word_accuracy": own.word_accuracy,
            "baseline_word_accuracy": other.word_accuracy,
            "changed": float(np.mean(changed)) if changed else 0.0,
        }
