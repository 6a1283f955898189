"""Order samples by the loss of an engine on them, compared with its baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import InputFileError
from ..measure.result import Result
from ..ocr.dataset import CropLabel, Dataset, ImagePage, Label, SceneLabel
from ..ocr.roles import role_of
from ..spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A sample by its index.

    ``harm``: hmean (0..1) or characters lost against the baseline. ``change``: the change of the
    output, which orders samples of equal harm.
    """

    index: int
    harm: float
    change: float


def suspects(engine: Result, baseline: Result, *, labeled: bool) -> list[Suspect]:
    """Return all samples, worst first. Without labels, the baseline's output is the truth."""
    harms = (engine.harm(baseline, i, labeled=labeled) for i in range(len(engine.labels)))
    order = [Suspect(index=i, harm=harm, change=change) for i, (harm, change) in enumerate(harms)]
    return sorted(order, key=lambda each: (-each.harm, -each.change))


def sample_names(samples: Sequence[Label]) -> list[str]:
    """Return the names of samples: the file, and for words of a scene their number, from 1.

    A crop that is turned has its angle at the end, such as "FILE:3@180".
    """
    # The words of each file so far; those of a classifier, by the angle that they are turned.
    names, seen = [], Counter[tuple[ImagePage, int]]()
    for sample in samples:
        turn = (sample.turn or 0) if isinstance(sample, CropLabel) else 0
        seen[sample.image, turn] += 1
        word = f":{seen[sample.image, turn]}" if getattr(sample, "quad", None) is not None else ""
        names.append(f"{sample.image.name}{word}" + (f"@{turn}" if turn else ""))
    return names


def chosen_samples(
    dataset: Dataset, spec: ModelSpec, name: str | None
) -> tuple[Dataset, list[str]]:
    """Return the dataset with only the samples of a name, and the names of these samples.

    A name is a file, or one word in it, such as "FILE:3". Without a name, all samples are kept.

    Raises:
        InputFileError: there is no such sample, or none that a model of this role can run on.
    """
    samples = role_of(spec).labels_of(dataset)
    names = sample_names(samples)
    named = zip(samples, names, strict=True)
    kept = [
        (one, each)
        for one, each in named
        if name in (None, each, one.image.name, one.image.path.name)
    ]
    if not names:
        raise InputFileError(
            f"{dataset.folder}: contains no samples for a {spec.role}; name another folder"
        )
    if not kept:
        some = ", ".join(names[:3])
        raise InputFileError(
            f"{dataset.folder}: no sample is named {name!r:.80}; the first of its {len(names)} "
            f"samples are {some}"
        )
    scenes = tuple(sample for sample, _ in kept if isinstance(sample, SceneLabel))
    crops = tuple(sample for sample, _ in kept if isinstance(sample, CropLabel))
    # Without labels, lines are whole images, which the dataset contains as scenes.
    if crops and not dataset.labeled:
        pages = {crop.image for crop in crops}
        scenes = tuple(scene for scene in dataset.scenes if scene.image in pages)
    return replace(dataset, scenes=scenes, crops=crops), [each for _, each in kept]
