"""Order samples by how much worse an engine is on them than the system it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputFileError
from ..measure.result import Result
from ..ocr.dataset import CropLabel, Dataset, Label, SceneLabel
from ..ocr.roles import role_of
from ..spec import DetectorSpec, RecognizerSpec


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A sample by its index.

    ``harm``: hmean (0..1) or characters lost against the baseline. ``change``: how much the output
    changed; it orders samples with the same harm.
    """

    index: int
    harm: float
    change: float


def suspects(engine: Result, baseline: Result, *, labeled: bool) -> list[Suspect]:
    """Return all samples, the worst first. Without labels, the baseline's output is the truth."""
    harms = (engine.harm(baseline, i, labeled=labeled) for i in range(len(engine.labels)))
    found = [Suspect(index=i, harm=harm, change=change) for i, (harm, change) in enumerate(harms)]
    return sorted(found, key=lambda each: (-each.harm, -each.change))


def sample_names(samples: Sequence[Label]) -> list[str]:
    """Return the names of samples: the file, and for words of a scene also the word's number."""
    names, seen = [], dict[Path, int]()  # words of a scene are numbered from 1
    for sample in samples:
        seen[sample.path] = seen.get(sample.path, 0) + 1
        word = f":{seen[sample.path]}" if getattr(sample, "quad", None) is not None else ""
        names.append(f"{sample.path.name}{word}")
    return names


def chosen_samples(
    dataset: Dataset, spec: DetectorSpec | RecognizerSpec, name: str | None
) -> tuple[Dataset, list[str]]:
    """Return the data set with only the samples of a name, and the names of these samples.

    A name is a file, or one word in it, such as "FILE:3". Without a name, all samples are kept.

    Raises:
        InputFileError: there is no such sample, or none that a model of this role can run on.
    """
    samples = role_of(spec).labels_of(dataset)
    names = sample_names(samples)
    called = zip(samples, names, strict=True)
    kept = [(one, each) for one, each in called if name in (None, each, one.path.name)]
    if not names:
        raise InputFileError(f"{dataset.folder}: contains no sample for a {spec.role}")
    if not kept:
        some = ", ".join(names[:3])
        raise InputFileError(
            f"{dataset.folder}: no sample is named {name!r:.80}; the names of its {len(names)} "
            f"samples begin with {some}"
        )
    scenes = tuple(sample for sample, _ in kept if isinstance(sample, SceneLabel))
    crops = tuple(sample for sample, _ in kept if isinstance(sample, CropLabel))
    if crops and not dataset.labeled:
        files = {crop.path for crop in crops}
        scenes = tuple(scene for scene in dataset.scenes if scene.path in files)
    return replace(dataset, scenes=scenes, crops=crops), [each for _, each in kept]
