"""Measures by kind of sample, such as small or long text, which show where an engine is weak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..calibration.strata import contrast_level
from ..measure.classifier_result import ClassifierResult
from ..measure.detector_result import DetectorResult
from ..measure.recognizer_result import RecognizerResult
from ..measure.result import Result
from ..ocr.crop import quad_size
from ..ocr.dataset import crop_images
from ..ocr.detector_size import scale_in, size_for
from ..ocr.line_windows import windows_of_size
from ..ocr.metrics.recognition import recognition_score
from ..ocr.preprocess import line_width
from ..ocr.recognizer import bucket_of
from ..ocr.types import Image
from ..spec import ClassifierSpec, DetectorSpec, ModelSpec, RecognizerSpec
from .results import Breakdown, StratumRow

_CONTRASTS = ("below 64 gray levels", "64 to 127", "from 128")
_LENGTHS = (0, 1, 4, 7, 11, 21)
"""Characters: the shortest text of each kind."""
_HEIGHTS = (0, 8, 12, 16, 24, 32, 64)
"""Pixels of the detector's input: the smallest height of each kind."""

Stratum = tuple[int, str]
"""A kind of samples: the number of its row in the table, and its name."""


def _range(value: float, edges: Sequence[int]) -> Stratum:
    # The last edge that is not above the value.
    place = max(index for index, edge in enumerate(edges) if edge <= value)
    if place + 1 == len(edges):
        return place, f"from {edges[place]}"
    last = edges[place + 1] - 1  # named by whole numbers: 3.99 is in "1 to 3"
    return place, str(last) if last == edges[place] else f"{edges[place]} to {last}"


def _width(line: Image, spec: RecognizerSpec) -> Stratum:
    # The last rows of the table are lines that are wider than the widest bucket.
    if len(windows_of_size(line.shape[:2], spec)) > 1:
        return len(spec.widths) + 1, "wider, read in windows"
    if line_width(line, spec.input.height) > spec.widths[-1]:
        return len(spec.widths), f"over {spec.widths[-1]}, squeezed to fit"
    bucket = bucket_of(line, spec)
    return spec.widths.index(bucket), f"up to {bucket}"


def breakdowns(results: Mapping[str, Result], spec: ModelSpec) -> tuple[Breakdown, ...]:
    """Return measures of one model's systems by kind of sample.

    For a recognizer: CER and word accuracy by the width, contrast and length of lines. For a
    detector: recall by the height of the text in its input, and by its input sizes. For a
    classifier: accuracy by angle.

    ``results``: by name of the system; at least one, and all for the same samples.

    Raises:
        InputFileError: an image cannot be read.
    """
    if isinstance(spec, RecognizerSpec):
        read = {n: r for n, r in results.items() if isinstance(r, RecognizerResult)}
        return _line_breakdowns(read, spec)
    if isinstance(spec, ClassifierSpec):
        turned = {n: r for n, r in results.items() if isinstance(r, ClassifierResult)}
        return (_angle_breakdown(turned),)
    detected = {n: r for n, r in results.items() if isinstance(r, DetectorResult)}
    return _scene_breakdowns(detected, spec)


def _line_breakdowns(
    results: Mapping[str, RecognizerResult], spec: RecognizerSpec
) -> tuple[Breakdown, ...]:
    crops = next(iter(results.values())).crops
    strata: dict[str, list[Stratum]] = defaultdict(list)
    for crop, line in zip(crops, crop_images(crops), strict=True):
        level = contrast_level(line)
        strata["width, pixels at the input's height"].append(_width(line, spec))
        strata["contrast, 5th to 95th percentile of gray"].append((level, _CONTRASTS[level]))
        strata["length, characters"].append(_range(len(crop.text), _LENGTHS))
    return tuple(_line_breakdown(by, kinds, results) for by, kinds in strata.items())


def _line_breakdown(
    by: str, kinds: Sequence[Stratum], results: Mapping[str, RecognizerResult]
) -> Breakdown:
    rows = []
    # The scores of each kind are computed from its own samples, not averaged over images.
    for (_, name), members in _grouped(kinds):
        scores = [
            recognition_score(
                [result.texts[i] for i in members], [result.crops[i].text for i in members]
            )
            for result in results.values()
        ]
        shares = (*(s.cer for s in scores), *(s.word_accuracy for s in scores))
        rows.append(StratumRow(name=name, samples=len(members), shares=shares))
    columns = tuple(f"{measure}, {n}" for measure in ("CER", "word accuracy") for n in results)
    return Breakdown(by=by, unit="lines", columns=columns, strata=tuple(rows))


def _angle_breakdown(results: Mapping[str, ClassifierResult]) -> Breakdown:
    crops, rows = next(iter(results.values())).crops, []
    for (_, name), members in _grouped([(crop.turn or 0, f"{crop.turn}") for crop in crops]):
        shares = tuple(
            sum(map(result.is_right, members)) / len(members) for result in results.values()
        )
        rows.append(StratumRow(name=name, samples=len(members), shares=shares))
    columns = tuple(f"accuracy, {name}" for name in results)
    return Breakdown(by="angle, degrees", unit="crops", columns=columns, strata=tuple(rows))


def _scene_breakdowns(
    results: Mapping[str, DetectorResult], spec: DetectorSpec
) -> tuple[Breakdown, ...]:
    first = next(iter(results.values()))
    words: list[tuple[int, int]] = []  # (scene, word); ``matching.truth`` excludes don't-care words
    strata: dict[str, list[Stratum]] = defaultdict(list)
    for number, (scene, matching) in enumerate(zip(first.scenes, first.matchings, strict=True)):
        rows, columns = scene.image.read().shape[:2]
        size = size_for((rows, columns), spec)
        for word in sorted(matching.truth):
            words.append((number, word))
            height = scale_in((rows, columns), size) * min(quad_size(scene.quads[word]))
            strata["height, pixels of the input"].append(_range(height, _HEIGHTS))
            if len(spec.input_sizes) > 1:
                place = spec.input_sizes.index(size)
                strata["input, height x width"].append((place, str(size)))
    return tuple(_scene_breakdown(by, kinds, words, results) for by, kinds in strata.items())


def _scene_breakdown(
    by: str,
    kinds: Sequence[Stratum],
    words: Sequence[tuple[int, int]],
    results: Mapping[str, DetectorResult],
) -> Breakdown:
    rows = []
    for (_, name), members in _grouped(kinds):
        places = [words[i] for i in members]
        # Recall only: a wrong box belongs to no word, so precision has no kinds.
        shares = tuple(
            sum(word in result.matchings[scene].found for scene, word in places) / len(places)
            for result in results.values()
        )
        rows.append(StratumRow(name=name, samples=len(members), shares=shares))
    columns = tuple(f"recall, {name}" for name in results)
    return Breakdown(by=by, unit="words", columns=columns, strata=tuple(rows))


def _grouped(kinds: Sequence[Stratum]) -> list[tuple[Stratum, list[int]]]:
    groups: dict[Stratum, list[int]] = defaultdict(list)
    for index, kind in enumerate(kinds):
        groups[kind].append(index)
    return sorted(groups.items())  # by place in the order, then by name
