"""Cut a line that is wider than a recognizer's widest input, and join the outputs of its parts.

A line of W columns at the input's height is cut into n windows of w columns, one every s columns:

    line       |---------------------- W ----------------------|
    window 0   |--------- w ---------|
    window 1   |----- s -----|--------- w ---------|
    window 2                 |----- s -----|--------- w -------|··|   padded as every narrow line

The windows are read like separate lines. In the w - s columns where two windows overlap, both of
them read the same characters. The join drops the last frames of the left window and the first
frames of the right window, and concatenates what remains, so that CTC decoding sees one sequence of
frames. It drops them near the middle of the overlap, because the frames at the ends of a window
lack context, and where both windows read blank, so that no character is lost or read twice.

This requires only that the T frames of an output are spread evenly over the w columns. That holds
for convolutional and recurrent networks, and for networks that attend to the whole width: their
frames see only the window, which contains at least ``OVERLAP`` / 2 of context at each join.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from ..spec import RecognizerSpec
from .ctc import BestClasses
from .preprocess import resize, width_at_height
from .types import Image, Quads

OVERLAP = 2.0
"""Smallest overlap of two windows, in heights of the line: four Latin letters or two ideographs."""
_GRID = 16
"""Windows start at multiples of this. Networks reduce the width by 2, 4, 8 or 16; from such a
column on, a window has the same frames as the whole line."""
_SHIFTS = (0, -1, 1, -2, 2)
"""Frames by which the right window may be misplaced, such as one if T is w / 4 - 1."""


@dataclass(frozen=True, kw_only=True)
class LineWindows:
    """How a recognizer reads one line: whole (one window), or in overlapping windows."""

    width: int
    """The input width at which every window is read."""
    starts: tuple[int, ...] = (0,)
    """First column of each window, in pixels at the input's height."""
    total: int
    """Columns of the whole line at the input's height."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> Iterator[tuple[int, int]]:
        """The first column of each window, and the one behind its last."""
        return ((start, min(start + self.width, self.total)) for start in self.starts)


def windows_of_size(size: tuple[int, ...], spec: RecognizerSpec) -> LineWindows:
    """Return how to read a line of that (height, width) in pixels.

    It is read whole at the narrowest input width that it fits. A line that is wider than the widest
    input by a factor of at most ``spec.max_squeeze`` is squeezed into it. A wider one is cut into
    as few windows as possible, of the narrowest input width that suffices for them.
    """
    total, widest = width_at_height(size, spec.input.height), spec.widths[-1]
    if total <= widest * spec.max_squeeze:
        width = next((width for width in spec.widths if width >= total), widest)
        return LineWindows(width=width, total=total)
    count = _count(total, widest, spec.input.height)
    for width in spec.widths:
        if _count(total, width, spec.input.height) == count:
            break
    # Evenly spaced on the grid; the last window ends at the end of the line or just behind it.
    grid = _grid(width, spec.input.height)
    last = _round_up(total - width, grid)
    step = _round_up(-(-last // (count - 1)), grid)
    starts = tuple(min(index * step, last) for index in range(count))
    return LineWindows(width=width, starts=starts, total=total)


def _round_up(columns: int, grid: int) -> int:
    return -(-columns // grid) * grid


def _grid(width: int, height: int) -> int:
    """Return the unit of the distance between windows: ``_GRID``, or 1 if a window is narrow."""
    return _GRID if width - _overlap(width, height) >= _GRID else 1


def _overlap(width: int, height: int) -> int:
    return min(round(OVERLAP * height), width // 2)


def _count(total: int, width: int, height: int) -> int:
    """Return the smallest number of windows of a width that cover a line with enough overlap."""
    grid = _grid(width, height)
    largest_step = (width - _overlap(width, height)) // grid * grid
    return 1 + max(0, -(-(total - width) // largest_step))


def cut_line(line: Image, windows: LineWindows, height: int) -> list[Image]:
    """Cut an RGB line (h, w, 3) into images of its windows.

    A line that is read whole is returned as it is. Otherwise the line is scaled to ``height`` once,
    so that each window has the same pixels as the uncut line.
    """
    if len(windows) == 1:
        return [line]
    scaled = resize(line, height, windows.total)
    return [scaled[:, start:end] for start, end in windows.spans]


def cut_quad(quad: Quads, windows: LineWindows) -> Quads:
    """Return the quadrilaterals (n, 4, 2) of the windows of a line in a quadrilateral (4, 2).

    Straightened, they are the images of :func:`cut_line`.
    """
    if len(windows) == 1:
        return quad[None]
    # The perspective map of the straightened line, (total, 1) in size, to the image.
    flat = np.array([[0, 0], [windows.total, 0], [windows.total, 1], [0, 1]], np.float32)
    to_image = cv2.getPerspectiveTransform(flat, quad.astype(np.float32))
    corners = np.array(
        [[(start, 0), (end, 0), (end, 1), (start, 1)] for start, end in windows.spans], np.float64
    )  # (n, 4, 2)
    return cv2.perspectiveTransform(corners, to_image).astype(np.float32)


def join_windows(parts: Sequence[BestClasses], windows: LineWindows, blank: int) -> BestClasses:
    """Join the frames of the windows of one line, in order.

    Only the best class of each frame is needed, which is much less than all scores: a recognizer
    can have 20 000 classes. ``blank``: class index of the CTC blank.
    """
    classes, logs, first = [], [], 0
    for (left, right), (start, end) in zip(pairwise(parts), pairwise(windows.starts), strict=True):
        # Frames between the beginnings of the two windows.
        distance = round((end - start) * len(left.classes) / windows.width)
        last, next_first = _seam(left.classes, right.classes, distance, blank)
        # Beyond a very narrow overlap, the last seam may lie behind this one.
        own = slice(first, max(first, last))
        classes.append(left.classes[own])
        logs.append(left.logs[own])
        first = next_first
    # The last window's frames end with its padding, as those of every line do.
    return BestClasses(
        classes=np.concatenate([*classes, parts[-1].classes[first:]]),
        logs=np.concatenate([*logs, parts[-1].logs[first:]]),
    )


def _seam(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], distance: int, blank: int
) -> tuple[int, int]:
    """Return where to join two windows: the frames of ``left`` before, of ``right`` from.

    ``left`` and ``right``: the best classes (T,). ``distance``: the frame of ``left`` at which
    ``right`` begins.
    """
    distance += _shift(left, right, distance)
    shared = max(0, len(left) - distance)
    tail, head = left[distance:], right[:shared]  # (shared,) each: the same columns
    # Seams are in the middle half of the overlap; seam k is before frame k of the overlap.
    low, high = shared // 4, shared - shared // 4
    seam = shared // 2
    blanks = _runs((tail == blank) & (head == blank), low, high)
    same = _runs(tail == head, low, high)
    if blanks:
        # In the widest gap: the windows may place a character some frames apart.
        widest = max(blanks, key=lambda run: (run[1] - run[0], -abs(sum(run) - shared)))
        seam = sum(widest) // 2
    elif same:
        # Inside a character that both windows read: CTC merges its two halves.
        widest = max(same, key=lambda run: run[1] - run[0])
        seam = sum(widest) // 2
    return distance + seam, seam


def _shift(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], distance: int) -> int:
    """Return by how many frames more than ``distance`` the best classes (T,) agree most.

    Frames that are equal because both are of the most frequent class, the blank or a wide letter,
    prove nothing; therefore changes from one class to another are compared.
    """
    agreement = {}
    for shift in _SHIFTS:
        begin = distance + shift
        shared = len(left) - begin
        if begin < 0 or shared < 2:
            continue
        tail, head = left[begin:], right[:shared]
        changes = (np.diff(tail) != 0) | (np.diff(head) != 0)
        equal = (tail == head)[1:] & (tail == head)[:-1] & changes
        agreement[shift] = equal.sum() / max(1, changes.sum())
    # The smallest shift comes first among equals.
    return max(agreement, key=lambda shift: agreement[shift], default=0)


def _runs(mask: npt.NDArray[np.bool_], low: int, high: int) -> list[tuple[int, int]]:
    """Return (first, last + 1) of each run of True in ``mask[low:high]``."""
    edges = np.diff(np.concatenate([[False], mask[low:high], [False]]).astype(np.int8))
    begins, ends = (np.flatnonzero(edges == step) + low for step in (1, -1))
    return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]
