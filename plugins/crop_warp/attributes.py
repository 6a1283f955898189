"""Attributes with which CropWarp produces the same tensor as the pipeline on the CPU."""

from __future__ import annotations

from ...spec import InputSpec


def crop_attributes(settings: InputSpec, width: int, to: int = 1) -> dict[str, int]:
    """Return the attributes for crops of one input width of a recognizer.

    ``to`` is the tensor's dtype by its number in ONNX: 1 float32, 10 float16.
    """
    return {"height": settings.height, "width": width, "pad": settings.pad, "to": to}
