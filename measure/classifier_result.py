"""The directions that a classifier returned, and how they differ from the labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..engines.engine import Engine
from ..ocr.classifier import ClassifierRole, Direction
from ..ocr.dataset import CropLabel, Label, crop_images
from ..ocr.metrics.metric import METRICS
from ..ocr.types import Image
from ..pipeline.stages import classify
from .bootstrap import Sums
from .report_data import SampleView
from .result import Changed, Progress, Result
from .sample_images import line_view

if TYPE_CHECKING:  # Python 3.10 does not have it
    from typing_extensions import Self

_CROPS_AT_ONCE = 64
"""Crops that are in memory at the same time."""


def accuracy_of_sums(sums: Sums) -> Sums:
    """Return the share of right crops of sums (..., 2)."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


@dataclass(frozen=True, kw_only=True)
class ClassifierResult(Result):
    """The direction of each turned line crop."""

    crops: tuple[CropLabel, ...]
    directions: tuple[Direction, ...]

    metric = ClassifierRole.metric
    unit = ClassifierRole.unit
    statistics = {"accuracy": accuracy_of_sums}

    @classmethod
    def measured(cls, engine: Engine, labels: Sequence[Label], progress: Progress) -> Self:
        """Classify every crop."""
        crops = tuple(label for label in labels if isinstance(label, CropLabel))
        directions: list[Direction] = []
        chunk: list[Image] = []
        for number, crop in enumerate(crop_images(crops), 1):
            chunk.append(crop)
            if len(chunk) == _CROPS_AT_ONCE or number == len(crops):
                directions += classify(engine, chunk)
                chunk = []
                progress(number)
        return cls(crops=crops, directions=tuple(directions))

    @property
    def labels(self) -> tuple[Label, ...]:
        """The crops."""
        return self.crops

    def is_right(self, index: int) -> bool:
        """Whether the angle of one crop is that of its label."""
        return self.directions[index].angle == self.crops[index].turn

    @property
    def value(self) -> float:
        """The share of crops whose angle is right."""
        right = sum(map(self.is_right, range(len(self.crops))))
        return right / max(1, len(self.crops))

    def sample_value(self, index: int) -> float:
        """Return 1 if one crop is right, else 0."""
        return float(self.is_right(index))

    def rows(self) -> Sums:
        """Return right crops and all crops of each image: (images, 2)."""
        # Crops of one image are correlated, so the image is the unit of the bootstrap.
        images: dict[object, list[int]] = defaultdict(lambda: [0, 0])
        for index, crop in enumerate(self.crops):
            images[crop.image][0] += self.is_right(index)
            images[crop.image][1] += 1
        return np.array(list(images.values()), np.float64).reshape(-1, 2)

    def shares(self, *, labeled: bool) -> dict[str, float | None]:
        """Return the accuracy."""
        return {"accuracy": self.value}

    def judged_by(self, truth: Self) -> Self:
        """Return this result with the other's angles as the ground truth."""
        crops = zip(truth.crops, truth.directions, strict=True)
        return replace(self, crops=tuple(replace(crop, turn=own.angle) for crop, own in crops))

    def useless_value(self, *, labeled: bool) -> str | None:
        """Return the accuracy as text if it is not better than that of always the same angle."""
        if not labeled:
            return None
        turns = [crop.turn for crop in self.crops]
        most = max(map(turns.count, set(turns)), default=0)
        shown = f"{METRICS[self.metric].title} {100 * self.value:.2f}"
        return shown if self.value <= most / max(1, len(turns)) else None

    def changed_from(self, baseline: Self) -> list[Changed]:
        """Return the crops whose angle differs. A wrong angle is one error."""
        return [
            Changed(index=index, loss=baseline.is_right(index) - self.is_right(index))
            for index, (own, other) in enumerate(
                zip(self.directions, baseline.directions, strict=True)
            )
            if own.angle != other.angle
        ]

    def harm(self, baseline: Self, index: int, *, labeled: bool) -> tuple[float, float]:
        """Return whether the angle became wrong (1 or 0), and the change of its probability."""
        own, other = self.directions[index], baseline.directions[index]
        changed = float(own.angle != other.angle)
        lost = float(baseline.is_right(index) - self.is_right(index)) if labeled else changed
        return lost, changed + abs(other.score - own.score)

    def worst(self, limit: int) -> list[int]:
        """Return the wrong crops, the most certain ones first."""
        wrong = [index for index in range(len(self.crops)) if not self.is_right(index)]
        return sorted(wrong, key=lambda index: -self.directions[index].score)[:limit]

    def views(self, baseline: Self | None, chosen: Sequence[int]) -> Iterator[SampleView]:
        """Yield the chosen crops."""
        crops = [self.crops[index] for index in chosen]
        for index, crop, image in zip(chosen, crops, crop_images(crops), strict=True):
            before = str(baseline.directions[index]) if baseline else "-"
            texts = (f"{crop.turn} degrees", before, str(self.directions[index]))
            yield line_view(image, crop.image.name, texts)

    def _details(self, baseline: Self) -> dict[str, float]:
        pairs = zip(self.directions, baseline.directions, strict=True)
        changed = [own.angle != other.angle for own, other in pairs]
        return {"changed": float(np.mean(changed)) if changed else 0.0}
