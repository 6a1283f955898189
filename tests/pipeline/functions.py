"""Engines made of functions: bright pixels are text, and each shade of gray is a letter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ocr_trt.common.input_size import InputSize
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.runner import Batch, Runner
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict

CHARSET = "abc"
Function = Callable[[Batch], np.ndarray]


class FunctionRunner(Runner):
    """Runs a function; remembers the shapes it was fed and whether it was closed."""

    def __init__(self, function: Function, shape: tuple[int, int, int], max_batch: int) -> None:
        super().__init__(label="function", shape=shape, max_batch=max_batch)
        self.function, self.fed, self.closed = function, list[tuple[int, ...]](), False

    def _execute(self, feed: Batch) -> np.ndarray:
        self.fed.append(feed.shape)
        return self.function(feed)

    def _release(self) -> None:
        self.closed = True


def detector_spec() -> DetectorSpec:
    spec = spec_from_dict(
        {
            "name": "d", "role": "detector", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {"name": "x", "shape": [1, 64, 64, 3], "mean": [0.0], "scale": [1 / 255]},
            "boxes": {"unclip_ratio": 0.0},
        }
    )  # fmt: skip
    assert isinstance(spec, DetectorSpec)
    return spec


def recognizer_spec(max_batch: int = 4) -> RecognizerSpec:
    spec = spec_from_dict(
        {
            "name": "r", "role": "recognizer", "source": {"path": "m"}, "output": {"name": "y"},
            "input": {
                "name": "x", "shape": [1, 8, 64, 1], "color": "GRAY", "mean": [0.0],
                "scale": [1.0], "max_batch": max_batch,
            },
            "charset": CHARSET, "buckets": [16, 32],
        }
    )  # fmt: skip
    assert isinstance(spec, RecognizerSpec)
    return spec


def bright_is_text(feed: Batch) -> np.ndarray:
    return (feed.mean(1, keepdims=True) > 0.5).astype(np.float32)


def brightness_as_letter(feed: Batch) -> np.ndarray:
    """Read one letter per line: a, b or c if its first pixel is dark, gray or bright."""
    classes = 1 + np.clip(feed[:, 0, 0, 0] // 86, 0, 2).astype(int)
    logits = np.zeros((len(feed), 4, 4), np.float32)
    logits[:, 1:3, 0] = 9
    logits[np.arange(len(feed)), 0, classes] = 9
    logits[:, 3, 0] = 9
    return logits


def engine(spec: DetectorSpec | RecognizerSpec, function: Function) -> tuple[Engine, dict]:
    runners: dict[InputSize, FunctionRunner] = {}

    def open_runner(size: InputSize) -> Runner:
        shape = (spec.input.channels, *size)
        runners[size] = FunctionRunner(function, shape, spec.input.max_batch)
        return runners[size]

    return Engine(label=spec.name, spec=spec, open_runner=open_runner), runners
