"""Which samples an engine did worse on than what it is compared with."""

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
    """A sample by its index. ``harm``: hmean or characters lost against the baseline; of samples
    that lost as much, ``change`` tells which output changed most.
    """

    index: int
    harm: float
    change: float


def suspects(engine: Result, baseline: Result, *, labeled: bool) -> list[Suspect]:
    """Return all samples, the worst first. Without labels the baseline's output is the truth."""
    harms = (engine.harm(baseline, i, labeled=labeled) for i in range(len(engine.labels)))
    found = [Suspect(index=i, harm=harm, change=change) for i, (harm, change) in enumerate(harms)]
    return sorted(found, key=lambda each: (-each.harm, -each.change))


def sample_names(samples: Sequence[Label]) -> list[str]:
    """Return what samples are called: the file's name, for words of a scene with their number."""
    names, seen = [], dict[Path, int]()
    for sample in samples:
        seen[sample.path] = seen.get(sample.path, 0) + 1
        word = f":{seen[sample.path]}" if getattr(sample, "quad", None) is not None else ""
        names.append(f"{sample.path.name}{word}")
    return names


def chosen_samples(
    dataset: Dataset, spec: DetectorSpec | RecognizerSpec, name: str | None
) -> tuple[Dataset, list[str]]:
    """Return the folder with the samples of that name alone, all of them without one.

    A name is that of a file, or one word of it, "FILE:3". Also returned: what they are called.

    Raises:
        InputFileError: there is no such sample, or none that a model of this role can be run on.
    """
    samples = role_of(spec).labels_of(dataset)
    names = sample_names(samples)
    called = zip(samples, names, strict=True)
    kept = [(one, each) for one, each in called if name in (None, each, one.path.name)]
    if not names:
        raise InputFileError(f"{dataset.folder}: holds nothing a {spec.role} can be run on")
    if not kept:
        some = ", ".join(names[:3])
        raise InputFileError(
            f"{dataset.folder}: has no sample {name!r:.80}; its {len(names)} are called {some}, ..."
        )
    scenes = tuple(sample for sample, _ in kept if isinstance(sample, SceneLabel))
    crops = tuple(sample for sample, _ in kept if isinstance(sample, CropLabel))
    if crops and not dataset.labeled:
        files = {crop.path for crop in crops}
        scenes = tuple(scene for scene in dataset.scenes if scene.path in files)
    return replace(dataset, scenes=scenes, crops=crops), [each for _, each in kept]
