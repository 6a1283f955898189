"""Read all images with pairs, as the pipeline does, to measure their accuracy end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...common.progress import Reporter
from ...engines.engine import Engine
from ...measure.end_to_end_result import EndToEndResult
from ...ocr.dataset import SceneLabel
from ...ocr.types import Image, Outlines
from ...pipeline.reader import OcrReader
from ...pipeline.stages import recognize
from ...pipeline.text_lines import DetectedLines, boxes_of_lines, text_lines

EnginePair = tuple[Engine, Engine]
"""A detector and a recognizer."""


def read_with_pairs(
    pairs: Mapping[str, EnginePair], scenes: Sequence[SceneLabel], reporter: Reporter
) -> dict[str, EndToEndResult]:
    """Read scenes with several pairs; return the lines of each, by the names of the pairs.

    Each image is decoded once, and searched once by each detector, which may be in several pairs.

    Raises:
        InputFileError: an image cannot be read.
    """
    boxes: dict[str, list[Outlines]] = {name: [] for name in pairs}
    texts: dict[str, list[tuple[str, ...]]] = {name: [] for name in pairs}
    count = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    with reporter.step(f"read the images with {count}", len(scenes)) as advance:
        for done, scene in enumerate(scenes, 1):
            for name, (outlines, read) in _read(pairs, scene.image.read()).items():
                boxes[name].append(outlines)
                texts[name].append(read)
            advance(done)
    return {
        name: EndToEndResult.matched(tuple(scenes), tuple(boxes[name]), tuple(texts[name]))
        for name in pairs
    }


def _read(
    pairs: Mapping[str, EnginePair], image: Image
) -> dict[str, tuple[Outlines, tuple[str, ...]]]:
    """Return boxes (K, P, 2) and K texts of one image for each pair."""
    found, read = dict[Engine, DetectedLines](), {}
    for name, (detector, recognizer) in pairs.items():
        if detector not in found:
            found[detector] = OcrReader(detector, recognizer).find(image)
        lines = text_lines(found[detector], recognize(recognizer, found[detector].crops))
        read[name] = boxes_of_lines(lines), tuple(line.text for line in lines)
    return read
