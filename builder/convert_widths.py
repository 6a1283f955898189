"""From a spec to clean graphs: one for every width."""

from __future__ import annotations

import onnx

from ..common.progress import Reporter
from ..convert.pipeline import Converted, convert
from ..convert.sources import Source
from ..errors import SpecError
from ..spec import DetectorSpec, RecognizerSpec


def convert_all(
    source: Source, spec: DetectorSpec | RecognizerSpec, reporter: Reporter
) -> dict[int, Converted]:
    """Convert a model for every width of its spec.

    Raises:
        ConversionError: the model cannot be converted.
        SpecError: its output does not fit what the spec says of it.
    """
    converted = {}
    with reporter.step(f"convert {spec.name}", len(spec.widths)) as advance:
        for number, width in enumerate(spec.widths, 1):
            converted[width] = convert(source, spec, width)
            _check_output(converted[width].model, spec)
            advance(number)
    return converted


def _check_output(graph: onnx.ModelProto, spec: DetectorSpec | RecognizerSpec) -> None:
    dimensions = graph.graph.output[0].type.tensor_type.shape.dim
    shape = [d.dim_value or "batch" for d in dimensions]
    ranks = (3,) if isinstance(spec, RecognizerSpec) else (3, 4)
    if len(shape) not in ranks or shape[0] not in (1, "batch"):
        raise SpecError(
            f"{spec.name}: the output is {shape}, which is not that of a {spec.role}; correct "
            "output.name, output.layout or input.layout"
        )
    if isinstance(spec, RecognizerSpec):
        classes, expected = dimensions[-1].dim_value, len(spec.charset) + 1
        if classes != expected:
            raise SpecError(
                f"{spec.name}: the output has {classes} classes, but the spec's charset has "
                f"{expected - 1} characters, which with the blank makes {expected}; correct charset"
            )
        return
    channels = dimensions[1].dim_value if len(dimensions) == 4 else 1
    if spec.output.channel >= channels:
        raise SpecError(
            f"{spec.name}: output.channel is {spec.output.channel}, but the output has {channels} "
            f"channel(s), counted from 0; correct output.channel"
        )
