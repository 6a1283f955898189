"""Limit the time of the first run of an engine, and of the compiler of a target.

A hostile or unsuitable model can make both take forever, before anything else is known about it.
Later runs are not limited: their number depends on the samples of the user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..convert.sources.pixels import pixel_noise
from ..convert.time_limit import TimeLimit, seconds_allowed
from ..engines.engine import Engine

T = TypeVar("T")


def limited(step: str, function: Callable[[], T]) -> T:
    """Call a function within the time that a conversion may take.

    Args:
        step: what it does, for the error.
        function: what to call in this thread.

    Raises:
        ConversionError: it takes longer.
    """
    limit = TimeLimit(seconds_allowed(), what="the build")
    limit.step = step
    return limit.run(function)


def run_once(engine: Engine) -> None:
    """Open an engine and run one image at each input size.

    Raises:
        ConversionError: it takes longer than a conversion may take.
        OcrTrtError: it cannot be opened or run.
    """

    def run() -> None:
        for size in engine.sizes:
            runner = engine.runner(size)
            runner.run(pixel_noise(engine.spec.input, 1, size, np.random.default_rng(0)))

    limited(f"the first run of {engine.label}", run)
