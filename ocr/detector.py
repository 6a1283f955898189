"""The detector role: images to input tensors, probability maps to boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.input_size import InputSize
from ..errors import SpecError
from ..spec import DetectorSpec, InputSpec, MapOutput
from .boxes import boxes_from_map
from .crop import quad_size
from .dataset import Dataset, Label, SceneLabel
from .detector_size import size_for
from .metrics.detection import count_image
from .preprocess import Fit, image_to_tensor, letterbox
from .role import ModelInput, OcrRole, check_rank
from .types import Image, Output, ScoredQuads, Tensor


def detector_input(image: Image, settings: InputSpec, size: InputSize) -> tuple[Tensor, Fit]:
    """Letterbox one RGB image into an input of a size: return (1, C, *size)."""
    fitted, fit = letterbox(image, size, settings.pad)
    return np.ascontiguousarray(image_to_tensor(fitted, settings)[None]), fit


def covers(size: int, of_map: int) -> bool:
    """Whether a map with a whole stride covers an input size, apart from less than one stride."""
    if of_map >= size:  # larger maps occur, too: deconvolutions without padding
        return True
    stride = stride_of(size, of_map) if of_map else 0
    return stride > 0 and abs(size - stride * of_map) < stride


def stride_of(size: int, of_map: int) -> int:
    """Return the pixels of an input per pixel of its map: 1 if the map is larger than the input.

    Rounded, because a map may be up to one stride larger than the input: 17 pixels for 33.
    """
    return max(1, round(size / of_map))


def probability_map(output: Output, settings: MapOutput) -> Output:
    """Return text probabilities (N, H, W) from a detector's output (N, C, H, W) or (N, H, W)."""
    # (N, C, H, W) -> (N, H, W)
    chosen = output[:, settings.channel] if output.ndim == 4 else output
    if settings.activation == "sigmoid":
        # Clipped because exp overflows above 88.7 in float32.
        return np.asarray(1 / (1 + np.exp(-np.clip(chosen, -80, 80))), np.float32)
    return np.asarray(chosen, np.float32)


def boxes_from_output(
    output: Output,
    spec: DetectorSpec,
    fit: Fit,
    size: tuple[int, int],
) -> ScoredQuads:
    """Turn the output for one image into boxes in the pixels of that image.

    Args:
        output: (1, C, h, w) or (1, h, w); the input is an integer multiple of the map in size.
        spec: the detector's spec.
        fit: as :func:`detector_input` returned it.
        size: (height, width) of the image; boxes are clipped to it.

    Returns:
        quads (K, 4, 2) and scores (K,), best first. Boxes that are entirely in the padding are
        dropped.
    """
    probability = probability_map(output, spec.output)[0]
    boxes = boxes_from_map(probability, spec.boxes)
    return boxes_in_image(boxes, probability.shape, fit, size)


def boxes_in_image(
    boxes: ScoredQuads,
    map_size: tuple[int, ...],
    fit: Fit,
    size: tuple[int, int],
) -> ScoredQuads:
    """Convert boxes from the pixels of a map (h, w) to those of the image.

    The other arguments and the result are those of :func:`boxes_from_output`.
    """
    quads, scores = boxes
    # Map pixels times stride are input pixels; divided by the scales they are image pixels.
    strides = fit.size.width / map_size[1], fit.size.height / map_size[0]
    factors = np.array(strides, np.float32) / np.array(fit.scales, np.float32)
    quads = (quads * factors).astype(np.float32)
    quads = np.clip(quads, 0, np.array([size[1], size[0]], np.float32))
    # A box that lies in the padding has no area after clipping to the image.
    inside = np.array([min(quad_size(quad)) >= 1 for quad in quads], bool)
    return quads[inside], scores[inside]


@dataclass(frozen=True)
class DetectorRole(OcrRole):
    """A detector finds words in whole images and is judged by the hmean of precision and recall."""

    spec: DetectorSpec
    metric = "hmean"
    unit = "images"

    @property
    def inputs_vary(self) -> bool:
        """Whether the detector has several input sizes."""
        return len(self.spec.input_sizes) > 1

    def labels_of(self, dataset: Dataset) -> tuple[Label, ...]:
        """Return the scenes."""
        return dataset.scenes

    def images_of(self, labels: Sequence[Label]) -> Iterator[Image]:
        """Yield each whole image."""
        return (label.image.read() for label in labels)

    def input_of(self, image: Image) -> ModelInput:
        """Letterbox one image."""
        size = size_for((image.shape[0], image.shape[1]), self.spec)
        tensor, fit = detector_input(image, self.spec.input, size)
        return ModelInput(tensor=tensor, fit=fit)

    def output_axes(self, rank: int) -> tuple[int, ...]:
        """Put the channels of (N, H, W, C) first; (N, H, W) and NCHW stay."""
        channels_last = self.spec.input.layout == "NHWC" and rank == 4
        return (0, 3, 1, 2) if channels_last else tuple(range(rank))

    def check_output_shape(self, shape: Sequence[int], size: InputSize) -> None:
        """Check for (N, H, W), or (N, C, H, W) with the channel that the spec names.

        Each pixel of the map must stand for the same number of input pixels.
        """
        check_rank(shape, (3, 4), self.spec)
        height, width = shape[-2:]
        if not covers(size.height, height) or not covers(size.width, width):
            raise SpecError(
                f"{self.spec.name}: the output is a map of {height}x{width} (height x width) for "
                f"an input of {size}, so it covers only a part of the image: change input.shape "
                "and sizes to multiples of a larger number, such as 32. If the model itself "
                "resizes images to a fixed size, name the tensor behind its resize as input.name, "
                "so that the network begins there"
            )
        channels = shape[1] if len(shape) == 4 else 1
        if self.spec.output.channel >= channels:
            raise SpecError(
                f"{self.spec.name}: output.channel is {self.spec.output.channel}, but the output "
                f"has {channels} channel(s), counted from 0; correct output.channel"
            )

    def output_distance(self, reference: Sequence[Output], other: Sequence[Output]) -> float:
        """Return 1 - the soft IoU of probability maps: sum of minima over sum of maxima; 0..1."""
        low = high = 0.0
        for one, two in zip(reference, other, strict=True):
            p, q = (np.nan_to_num(probability_map(each, self.spec.output)) for each in (one, two))
            low += float(np.minimum(p, q).sum())
            high += float(np.maximum(p, q).sum())
        return 1 - low / high if high else 0.0

    def describe(self, output: Output, prepared: ModelInput, image: Image, label: Label) -> str:
        """Return how many boxes there are; with labels, how many of them are right."""
        assert prepared.fit is not None, "prepared by a detector"
        size = image.shape[:2]
        boxes, _ = boxes_from_output(np.nan_to_num(output), self.spec, prepared.fit, size)
        assert isinstance(label, SceneLabel)
        if not len(label.quads):
            return "1 box" if len(boxes) == 1 else f"{len(boxes)} boxes"
        counts = count_image(boxes, label.quads, label.ignore)
        wrong = counts.detected - counts.matched
        return f"{counts.matched} of {counts.truth} words found, {wrong} wrong"
