"""Learn from runs of a model what its signature does not state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from ..errors import OcrTrtError
from ..spec import InputSpec
from .analysis.regions import evaluate
from .sources import Source
from .sources.pixels import pixel_noise

Array = npt.NDArray[np.float32]

_BATCHES = (2, 3)
"""Two batch sizes that are run: the axis of the output whose size differs is the batch."""
_ROUNDING = 1e-3
"""How much the sum of probabilities may differ from 1."""
_GRAYS = (0, 127, 255)
"""Pixel values of the empty images that a recognizer reads."""
_MOSTLY = 0.9
"""Share of the time steps at which a recognizer reads nothing in an empty image."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Results of runs."""

    noise: Array | None = None
    """The output for noise at the model's own batch size; None if the model does not run here."""
    batch_axis: int | None = None
    """The axis of the output that holds the batch; None if the model runs at one batch size."""
    empty: tuple[Array, ...] = ()
    """The outputs for images of one color."""

    def has_probabilities(self, axis: int) -> bool:
        """Whether the values along an axis are at least 0 and have the sum 1."""
        if self.noise is None or self.noise.shape[axis] == 1:
            return False
        sums = self.noise.sum(axis)
        return bool(self.noise.min() >= 0 and np.abs(sums - 1).max() <= _ROUNDING)

    @property
    def blank(self) -> int | None:
        """The class that a recognizer with classes at the last axis gives to empty images.

        Only the first and the last class are blanks; None if it is neither.
        """
        best = [np.argmax(output, -1).ravel() for output in self.empty]
        if not best:
            return None
        classes, found = self.empty[0].shape[-1], int(np.bincount(best[0]).argmax())
        is_blank = found in (0, classes - 1) and all((b == found).mean() >= _MOSTLY for b in best)
        return found if is_blank else None


def try_model(
    source: Source, settings: InputSpec, output_name: str, *, reads_lines: bool
) -> Trials:
    """Run the part of a model between two tensors.

    Args:
        source: the model.
        settings: its input, with the batch size that it accepts in ``shape``.
        output_name: its output.
        reads_lines: run it at two batch sizes and on empty images, too.
    """
    run, rng = _runner(source, settings.name, output_name), np.random.default_rng(0)

    def result(batch: int) -> Array | None:
        return run(_as_accepted(pixel_noise(settings, batch, settings.width, rng), settings))

    own = settings.shape[0]
    noise, grays = result(own), list[Array | None]()
    for gray in _GRAYS if reads_lines and noise is not None else ():
        pixels = np.full((own, settings.channels, settings.height, settings.width), gray)
        grays.append(run(_as_accepted(_normalized(pixels, settings), settings)))
    return Trials(
        noise=noise,
        batch_axis=_batch_axis([result(batch) for batch in _BATCHES])
        if noise is not None
        else None,
        empty=tuple(gray for gray in grays if gray is not None),
    )


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
