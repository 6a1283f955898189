"""Where the time of the pipeline goes: its stages, and a clock that is given to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, TypeAlias, get_args

Stage = Literal["load", "prepare", "detect", "boxes", "crop", "fit", "recognize", "text"]
"""Decode the file; image to input; run the detector; its map to boxes; cut them out; lines to
batches; run the recognizer; its output to text.
"""
STAGES: tuple[Stage, ...] = get_args(Stage)

Clock: TypeAlias = Callable[[Stage], AbstractContextManager[None]]
"""Called at the begin of a stage; what it returns is left at the end."""


def untimed(stage: Stage) -> AbstractContextManager[None]:
    """Measure nothing."""
    return nullcontext()


class StageClock:
    """Adds up the seconds of each stage; for one thread."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Count the time inside ``with`` for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start
