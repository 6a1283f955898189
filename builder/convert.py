"""Convert a model to clean ONNX graphs, one for every input size of its spec."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..common.progress import Reporter
from ..convert.float_types import FloatTypes
from ..convert.graph import Graphs
from ..convert.pipeline import convert
from ..convert.sources import Source
from ..ocr.roles import role_of
from ..spec import ModelSpec, with_max_batch


@dataclass(frozen=True, kw_only=True)
class ConvertedModel:
    """A model as float graphs with static shapes."""

    graphs: Graphs
    """A graph for each input size."""
    own_ranges: dict[str, float]
    """Ranges by tensor that the model contains, if it was quantized or trained with FakeQuant."""
    float_types: FloatTypes
    """What was not float32 in the model."""
    batch_limit: str = ""
    """Why the graphs accept single images only, although the spec allows larger batches."""


def convert_sizes(source: Source, spec: ModelSpec, reporter: Reporter) -> ConvertedModel:
    """Convert a model once per input size of its spec (docs/decisions/0003).

    Raises:
        ConversionError: the model cannot be converted.
        SpecError: the output does not fit the spec.
    """
    graphs, own_ranges, role, limit = Graphs(), dict[str, float](), role_of(spec), ""
    with reporter.step(f"convert {spec.name}", len(spec.input_sizes)) as advance:
        for number, size in enumerate(spec.input_sizes, 1):
            converted = convert(source, spec, size)
            shape = converted.model.graph.output[0].type.tensor_type.shape.dim
            role.check_output_shape([dimension.dim_value for dimension in shape], size)
            # Tensors have the same names at all sizes, so the last graph's ranges fit all.
            graphs[size], own_ranges = converted.model, converted.ranges
            limit = limit or converted.batch_limit
            advance(number)
            if limit and spec.input.max_batch > 1:
                spec = with_max_batch(spec, 1)
                if number > 1:  # the graphs of smaller sizes accept batches: convert them again
                    break
    if len(graphs) < len(spec.input_sizes):
        return replace(convert_sizes(source, spec, reporter), batch_limit=limit)
    return ConvertedModel(
        graphs=graphs,
        own_ranges=own_ranges,
        float_types=converted.float_types,
        batch_limit=limit,
    )
