"""Learn from runs of a model what its signature does not state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..common.onnx_shapes import infer_shapes
from ..errors import OcrTrtError
from ..spec import InputSpec
from .analysis.regions import evaluate
from .memory_limits import check_model_memory
from .sources import Source
from .sources.pixels import pixel_noise

Array = npt.NDArray[np.float32]

_BATCHES = (2, 3)
"""Two batch sizes that are run: the axis of the output whose size differs is the batch."""
_ROUNDING = 1e-3
"""How much the sum of probabilities may differ from 1."""
_GRAYS = (0, 127, 255)
"""Pixel values of the empty images that a recognizer reads."""
_LARGE = 1 << 24
"""Values of an input from which on a model is checked before it runs: 2400 x 2400 pixels."""
_MOSTLY = 0.9
"""Share of the time steps at which a recognizer reads nothing in an empty image."""
_WORDS = ("Total 48.20", "Stop", "hello world")
"""Texts that a recognizer reads; a blank stands between most of its characters, and behind them."""
_FEWEST = 4
"""A model that finds no more classes in the texts does not read them."""
_OFTEN, _RARELY = 0.4, 0.1
"""Shares of the time steps of a text: at least for the blank, at most for any other end class."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Results of runs."""

    noise: Array | None = None
    """The output for noise at the model's own batch size; None if the model does not run here."""
    batch_axis: int | None = None
    """The axis of the output that holds the batch; None if the model runs at one batch size."""
    empty: tuple[Array, ...] = ()
    """The outputs for images of one color."""
    texts: tuple[Array, ...] = ()
    """The outputs for images of dark text on a light ground."""

    def has_probabilities(self, axis: int) -> bool:
        """Whether the values along an axis are at least 0 and have the sum 1."""
        if self.noise is None or self.noise.shape[axis] == 1:
            return False
        sums = self.noise.sum(axis)
        return bool(self.noise.min() >= 0 and np.abs(sums - 1).max() <= _ROUNDING)

    @property
    def kind_of_classes(self) -> str:
        """Whether the scores of classes at the last axis are "probabilities" or "logits".

        A single score is a probability if it stays from 0 to 1.
        """
        if self.noise is None:
            return "probabilities"
        if self.noise.shape[-1] == 1:
            is_known = bool(self.noise.min() >= 0 and self.noise.max() <= 1)
        else:
            is_known = self.has_probabilities(-1)
        return "probabilities" if is_known else "logits"

    @property
    def blank(self) -> int | None:
        """The class that a recognizer with classes at the last axis gives to images without text.

        If it reads something there, the class between the characters of a text. Only the first and
        the last class are blanks; None if it is neither.
        """
        if not self.empty:
            return None
        last = self.empty[0].shape[-1] - 1
        best = [np.argmax(output, -1).ravel() for output in self.empty]
        found = int(np.bincount(best[0]).argmax())
        if found in (0, last) and all((b == found).mean() >= _MOSTLY for b in best):
            return found
        if not self.texts:
            return None
        read = np.concatenate([np.argmax(output, -1).ravel() for output in self.texts])
        if len(np.unique(read)) <= _FEWEST:  # it does not read: the texts have 13 characters
            return None
        first_share, last_share = ((read == one).mean() for one in (0, last))
        if first_share >= _OFTEN and last_share <= _RARELY:
            return 0
        return last if last_share >= _OFTEN and first_share <= _RARELY else None


def try_model(
    source: Source, settings: InputSpec, output_name: str, *, reads_lines: bool
) -> Trials:
    """Run the part of a model between two tensors.

    Args:
        source: the model.
        settings: its input, with the batch size that it accepts in ``shape``.
        output_name: its output.
        reads_lines: run it at two batch sizes, on empty images and on texts, too.
    """
    _check_memory(source, settings, output_name)
    run, rng = _runner(source, settings.name, output_name), np.random.default_rng(0)

    def result(batch: int) -> Array | None:
        return run(_as_accepted(pixel_noise(settings, batch, settings.size, rng), settings))

    def of_pixels(gray: npt.NDArray) -> Array | None:
        """Run copies of a gray image (H, W)."""
        shape = own, settings.channels, *settings.size
        return run(_as_accepted(_normalized(np.broadcast_to(gray, shape), settings), settings))

    own, size = settings.shape[0], settings.size
    noise, grays, texts = result(own), list[Array | None](), list[Array | None]()
    if reads_lines and noise is not None:
        grays = [of_pixels(np.full(size, gray)) for gray in _GRAYS]
        texts = [of_pixels(_text_image(word, size)) for word in _WORDS]
    return Trials(
        noise=noise,
        batch_axis=_batch_axis([result(batch) for batch in _BATCHES])
        if noise is not None
        else None,
        empty=tuple(output for output in grays if output is not None),
        texts=tuple(output for output in texts if output is not None),
    )


def _text_image(text: str, size: tuple[int, int]) -> npt.NDArray:
    """Draw a dark text on a light ground, (height, width), as large as the height allows."""
    height, width = size
    image = np.full(size, 230, np.uint8)
    font = cv2.FONT_HERSHEY_DUPLEX
    (text_width, text_height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = 0.6 * min(height / text_height, width / text_width)
    place = max(1, height // 8), round(0.5 * (height + scale * text_height))
    thickness = max(1, height // 20)
    return cv2.putText(image, text, place, font, scale, 30, thickness, cv2.LINE_AA)


def _check_memory(source: Source, settings: InputSpec, output_name: str) -> None:
    """Check that a model fits the memory if its input is large.

    Raises:
        SpecError: it does not.
    """
    if prod(settings.shape) < _LARGE:
        return
    try:
        model = source.to_onnx(settings.name, settings.shape, output_name).whole()
    except OcrTrtError:  # it may still run in TensorFlow
        return
    infer_shapes(model)
    check_model_memory(model, settings.shape)


def _batch_axis(outputs: list[Array | None]) -> int | None:
    """Return the axis whose size is the batch in all outputs."""
    shapes = [output.shape for output in outputs if output is not None]
    if len(shapes) < len(_BATCHES) or len({len(shape) for shape in shapes}) > 1:
        return None
    axes = [a for a, sizes in enumerate(zip(*shapes, strict=True)) if sizes == _BATCHES]
    return axes[0] if len(axes) == 1 else None


def _normalized(pixels: npt.NDArray, settings: InputSpec) -> Array:
    """Return (pixel - mean) * scale of images (N, C, H, W)."""
    mean, scale = np.array(settings.mean, np.float32), np.array(settings.scale, np.float32)
    centered = pixels.astype(np.float32) - mean.reshape(-1, 1, 1)  # (N, C, H, W) - (C, 1, 1)
    return centered * scale.reshape(-1, 1, 1)


def _as_accepted(images: Array, settings: InputSpec) -> Array:
    """Return images (N, C, H, W) in the layout of the model."""
    is_nhwc = settings.layout == "NHWC"
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if is_nhwc else images)


def _runner(source: Source, input_name: str, output_name: str) -> Callable[[Array], Array | None]:
    """Return a function that runs a part of a model, or returns None if it does not run.

    TensorFlow runs it if it can. It cannot run channel-first convolutions on a CPU, nor ONNX files;
    onnxruntime runs those.
    """
    function = source.function(input_name, output_name)

    @lru_cache
    def exported(shape: tuple[int, ...]) -> onnx.ModelProto | None:
        try:
            return ir.to_proto(source.to_onnx(input_name, shape, output_name).whole())
        except OcrTrtError:
            return None

    def run(images: Array) -> Array | None:
        output: Any = None
        if function is not None:
            try:
                output = function(_tensor(images))
            except Exception:  # whatever the user's graph raises
                output = None
        if output is None and (graph := exported(images.shape)) is not None:
            output = evaluate(graph, {input_name: images})
        return None if output is None else np.asarray(output).astype(np.float32)

    return run


def _tensor(images: Array) -> Any:
    import tensorflow as tf  # imported already: the source is a model of TensorFlow

    return tf.constant(images)
