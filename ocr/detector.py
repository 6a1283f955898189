"""The detector role: images to input tensors, maps to boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.input_size import InputSize
from ..errors import SpecError
from ..spec import DetectorSpec, InputSpec
from .crop import quad_size
from .dataset import Dataset, Label, SceneLabel
from .detector_maps import boxes_from_maps, distance_of_maps, last_channels, maps_from_output
from .detector_size import size_for
from .metrics.detection import count_image
from .preprocess import Fit, image_to_tensor, letterbox
from .role import ModelInput, OcrRole, check_rank
from .types import Image, Output, ScoredBoxes, Tensor


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


def boxes_from_output(
    output: Output,
    spec: DetectorSpec,
    fit: Fit,
    size: tuple[int, int],
) -> ScoredBoxes:
    """Turn the output for one image into boxes in the pixels of that image.

    Args:
        output: (1, C, h, w) or (1, h, w); the input is an integer multiple of the map in size.
        spec: the detector's spec.
        fit: as :func:`detector_input` returned it.
        size: (height, width) of the image; boxes are clipped to it.

    Returns:
        boxes (K, P, 2), with P = 4 unless ``boxes.shape`` is polygon, and scores (K,), best first.
        Boxes that are entirely in the padding are dropped.
    """
    maps = maps_from_output(output, spec.output)[0]
    boxes = boxes_from_maps(maps, spec.output, spec.boxes, strides_of(maps.shape[1:], fit))
    return boxes_in_image(boxes, maps.shape[1:], fit, size)


def strides_of(map_size: tuple[int, ...], fit: Fit) -> tuple[float, float]:
    """Return the (x, y) pixels of an input per pixel of a map (h, w)."""
    return fit.size.width / map_size[1], fit.size.height / map_size[0]


def boxes_in_image(
    boxes: ScoredBoxes,
    map_size: tuple[int, ...],
    fit: Fit,
    size: tuple[int, int],
) -> ScoredBoxes:
    """Convert boxes from the pixels of a map (h, w) to those of the image.

    The other arguments and the result are those of :func:`boxes_from_output`.
    """
    quads, scores = boxes
    # Map pixels times stride are input pixels; divided by the scales they are image pixels.
    factors = np.array(strides_of(map_size, fit), np.float32) / np.array(fit.scales, np.float32)
    return within_image(((quads * factors).astype(np.float32), scores), size)


def within_image(boxes: ScoredBoxes, size: tuple[int, int]) -> ScoredBoxes:
    """Clip boxes to an image (height, width); drop those with a side under 1 pixel."""
    quads = np.clip(boxes[0], 0, np.array([size[1], size[0]], np.float32))
    # A box that lies in the padding has no area after clipping to the image.
    inside = np.array([min(quad_size(quad)) >= 1 for quad in quads], bool)
    return quads[inside], boxes[1][inside]


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
        """Check for (N, H, W), or (N, C, H, W) with the channels that the spec names.

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
        for key, channel in last_channels(self.spec.output).items():
            if channel >= channels:
                raise SpecError(
                    f"{self.spec.name}: output.{key} needs channel {channel}, but the output has "
                    f"{channels} channel(s), counted from 0; correct output.{key}, or join several "
                    "outputs: output.name: NAME + NAME"
                )

    def output_distance(self, reference: Sequence[Output], other: Sequence[Output]) -> float:
        """Return how much maps differ: 1 - the soft IoU of probabilities, and EAST's geometry.

        The soft IoU is the sum of minima over the sum of maxima. For EAST, a share of the minima is
        lost where the geometry differs. The result is from 0 to 1.
        """
        same = high = 0.0
        for pair in zip(reference, other, strict=True):
            one, two = (maps_from_output(each, self.spec.output) for each in pair)
            low, largest, error = distance_of_maps(one, two, self.spec.output)
            same, high = same + low - error, high + largest
        return 1 - same / high if high else 0.0

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
