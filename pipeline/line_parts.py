"""Lines as a recognizer reads them: each one whole, or in the windows that it is cut into.

A part is a whole line, or one window of a line that is too wide for the widest input. Parts of all
lines share batches; afterwards the outputs of the windows of each line are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..common.input_size import InputSize
from ..ocr.ctc import BestClasses, Reading, best_classes, reading_of_classes
from ..ocr.line_windows import LineWindows, cut_line, join_windows, windows_of_size
from ..ocr.recognizer import texts_from_output
from ..ocr.types import Image, Output
from ..spec import RecognizerSpec

PartResult: TypeAlias = Reading | BestClasses
"""The reading of a whole line, or the best class of each frame of a window."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of several lines, in order of the lines and, within a line, from left to right."""

    windows: tuple[LineWindows, ...]
    """How each line is read."""
    sizes: tuple[InputSize, ...]
    """The input size of each part."""
    is_whole: tuple[bool, ...]
    """Whether each part is a whole line."""

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def of_sizes(cls, sizes: Sequence[tuple[int, ...]], spec: RecognizerSpec) -> Parts:
        """Return the parts of lines of these (height, width) in pixels."""
        windows = tuple(windows_of_size(size, spec) for size in sizes)
        height = spec.input.height
        return cls(
            windows=windows,
            sizes=tuple(InputSize(height, own.width) for own in windows for _ in own.starts),
            is_whole=tuple(len(own) == 1 for own in windows for _ in own.starts),
        )

    def cut(self, lines: Sequence[Image], spec: RecognizerSpec) -> list[Image]:
        """Return the image of each part of RGB lines (h, w, 3)."""
        return [
            part
            for line, own in zip(lines, self.windows, strict=True)
            for part in cut_line(line, own, spec.input.height)
        ]

    def readings(self, results: Sequence[PartResult], spec: RecognizerSpec) -> list[Reading]:
        """Return the reading of each line, from the results of its parts."""
        readings, remaining = list[Reading](), iter(results)
        for windows in self.windows:
            own = [next(remaining) for _ in windows.starts]
            if isinstance(own[0], Reading):
                readings.append(own[0])
                continue
            parts = [result for result in own if not isinstance(result, Reading)]
            joined = join_windows(parts, windows, spec.blank)
            readings.append(reading_of_classes(joined, spec.charset, spec.blank))
        return readings


def results_from_output(
    output: Output, is_whole: Sequence[bool], spec: RecognizerSpec
) -> list[PartResult]:
    """Decode the rows of an output (N, T, C) that are whole lines; reduce those of windows.

    Raises:
        ValueError: C is not the number of characters plus the blank.
    """
    if all(is_whole):
        return [*texts_from_output(output, spec)]
    known = spec.output.kind == "probabilities"
    # Row by row, because a selection of rows would be a copy.
    return [
        texts_from_output(output[index : index + 1], spec)[0]
        if whole
        else best_classes(output[index], are_probabilities=known)
        for index, whole in enumerate(is_whole)
    ]
