"""The stages of the pipeline, and a clock that measures the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, TypeAlias, get_args

Stage = Literal[
    "load", "prepare", "detect", "boxes", "crop", "direction", "fit", "recognize", "text"
]
"""In order: decode the file, prepare the detector's input, run the detector, find boxes in its map,
cut the boxes out, classify and turn the crops, prepare the recognizer's batches, run the
recognizer, decode its output to text.
"""
STAGES: tuple[Stage, ...] = get_args(Stage)

Clock: TypeAlias = Callable[[Stage], AbstractContextManager[None]]
"""Called at the start of a stage; returns a context manager that is left at its end."""


def untimed(stage: Stage) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


class StageClock:
    """Adds up the seconds of each stage. Not thread-safe: each thread needs a clock of its own.

    A stage inside another one, such as "text" while the output of "recognize" is valid, counts as
    its own time only.
    """

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self._inner = 0.0  # seconds of the stages inside the current one

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Add the time inside the ``with`` block to a stage."""
        start, before, self._inner = time.perf_counter(), self._inner, 0.0
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[stage] += elapsed - self._inner
            self._inner = before + elapsed
