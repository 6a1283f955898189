"""Time some work on images, such as detection alone or the whole pipeline, in several passes.

Several timers take turns image by image, so that a slow moment of the machine affects all of them.
The first pass of a timer warms up and is not counted.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from ..common.progress import Reporter
from ..ocr.dataset import ImagePage
from ..pipeline.clock import STAGES, Stage, StageClock

Work = Callable[[ImagePage, StageClock], object]
"""Does the work on one image, and measures its stages with the clock."""


class ImageTimer:
    """Does the same work on images, and records the times of each image and pass."""

    def __init__(self, work: Work) -> None:
        self._work, self._clock = work, StageClock()
        self._seconds: dict[ImagePage, list[float]] = defaultdict(list)
        self._stages: dict[ImagePage, list[dict[Stage, float]]] = defaultdict(list)

    def run(self, file: ImagePage) -> None:
        """Do the work on one image, and time it."""
        # The clock accumulates over images, so the stages of this one are a difference.
        before, start = dict(self._clock.seconds), time.perf_counter()
        self._work(file, self._clock)
        self._seconds[file].append(time.perf_counter() - start)
        after = self._clock.seconds
        self._stages[file].append({stage: after[stage] - before[stage] for stage in STAGES})

    @property
    def timed(self) -> float:
        """Seconds of the counted passes."""
        return sum(sum(passes[1:]) for passes in self._seconds.values())

    @property
    def passes(self) -> int:
        """The number of counted passes."""
        return len(next(iter(self._seconds.values()))) - 1

    def seconds(self) -> list[float]:
        """Return the median seconds of each image over the counted passes."""
        return [statistics.median(passes[1:]) for passes in self._seconds.values()]

    def stages(self) -> dict[Stage, float]:
        """Return milliseconds per image by stage: the mean, over the images, of the medians."""
        return {
            stage: 1000
            * statistics.fmean(
                statistics.median(each[stage] for each in passes[1:])
                for passes in self._stages.values()
            )
            for stage in STAGES
        }


class PassTimer(Protocol):
    """Does some work on all images at the same time, and records the time of each pass."""

    @property
    def timed(self) -> float:
        """Seconds of the counted passes."""

    def run_all(self, files: Sequence[ImagePage]) -> None:
        """Do the work on all images in one pass, and time it."""


def take_turns(
    timers: Sequence[ImageTimer],
    files: Sequence[ImagePage],
    duration_s: float,
    title: str,
    reporter: Reporter,
    pass_timers: Sequence[PassTimer] = (),
) -> None:
    """Let timers do their work on all files in turns, until each was timed for the duration.

    Args:
        timers: take turns image by image.
        files: the images, at least one.
        duration_s: seconds of counted work of the fastest timer.
        title: what is timed, for the progress.
        reporter: shows the progress.
        pass_timers: take turns after each pass of ``timers``.
    """
    if not files:  # no timer would ever reach the duration
        raise ValueError("expected at least one image to time")
    everything: list[ImageTimer | PassTimer] = [*timers, *pass_timers]
    with reporter.step(title, 100) as advance:
        # Nothing is counted in the first pass, so there are at least two.
        while (least := min(each.timed for each in everything)) < duration_s:
            advance(round(100 * least / duration_s))
            for file in files:
                for timer in timers:
                    timer.run(file)
            for pass_timer in pass_timers:
                pass_timer.run_all(files)
