"""Attributes with which ImageToTensor produces the same tensor as the pipeline on the CPU."""

from __future__ import annotations

from ...common.input_size import InputSize
from ...ocr.preprocess import letterbox_size, line_width
from ...ocr.types import Image
from ...spec import InputSpec


def detector_attributes(
    image: Image, settings: InputSpec, size: InputSize, to: int = 1
) -> dict[str, int]:
    """Return the attributes for one RGB image (H, W, 3), as ``ocr.detector.detector_input``.

    ``to`` is the tensor's dtype by its number in ONNX: 1 float32, 10 float16.
    """
    return _attributes(image, letterbox_size(image, size), size, settings.pad, to)


def line_attributes(line: Image, settings: InputSpec, width: int, to: int = 1) -> dict[str, int]:
    """Return the attributes for one RGB text line (h, w, 3), as ``recognizer_input``."""
    fitted = settings.height, min(width, line_width(line, settings.height))
    return _attributes(line, fitted, InputSize(settings.height, width), settings.pad, to)


def _attributes(
    image: Image, fitted: tuple[int, int], size: InputSize, pad: int, to: int
) -> dict[str, int]:
    rows, columns = fitted
    return {
        "rows": rows,
        "columns": columns,
        "height": size.height,
        "width": size.width,
        "pad": pad,
        # The rule of ocr.preprocess: areas where the image has more pixels than the result.
        "area": int(rows * columns < image.shape[0] * image.shape[1]),
        "to": to,
    }
