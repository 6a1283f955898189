"""From a spec to clean graphs: one for every width."""

from __future__ import annotations

from ..common.progress import Reporter
from ..convert.pipeline import Converted, convert
from ..convert.sources import Source
from ..ocr.roles import role_of
from ..spec import DetectorSpec, RecognizerSpec


def convert_all(
    source: Source, spec: DetectorSpec | RecognizerSpec, reporter: Reporter
) -> dict[int, Converted]:
    """Convert a model for every width of its spec.

    Raises:
        ConversionError: the model cannot be converted.
        SpecError: its output does not fit what the spec says of it.
    """
    converted, role = {}, role_of(spec)
    with reporter.step(f"convert {spec.name}", len(spec.widths)) as advance:
        for number, width in enumerate(spec.widths, 1):
            converted[width] = convert(source, spec, width)
            shape = converted[width].model.graph.output[0].type.tensor_type.shape.dim
            role.check_output_shape([dimension.dim_value for dimension in shape])
            advance(number)
    return converted
