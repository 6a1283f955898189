"""From a spec to typed graphs: convert for every width, then give each node its precision."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from ..calibration.autocast import autocast, float_tensors
from ..calibration.histogram import Histogram
from ..calibration.methods import METHODS
from ..calibration.observe import observe
from ..calibration.pictures import CalibrationSet
from ..calibration.quantize import quantize, quantized_tensors
from ..convert.pipeline import Converted, convert
from ..convert.sources import Source
from ..engines.bundle import tree_sha256
from ..engines.manifest import Calibration, Precision
from ..errors import ConversionError, SpecError
from ..reporter import Reporter
from ..spec import DetectorSpec, RecognizerSpec

Graphs = dict[int, onnx.ModelProto]
"""A graph for each input width."""


@dataclass(frozen=True, kw_only=True)
class TypedGraphs:
    """Graphs with their precision in them."""

    precision: Precision
    graphs: Graphs
    exceptions: dict[str, str]
    """Weighted nodes that did not get the precision, and why."""
    calibration: Calibration | None


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
        classes, wanted = dimensions[-1].dim_value, len(spec.charset) + 1
        if classes != wanted:
            raise SpecError(
                f"{spec.name}: the output has {classes} classes, but the spec's charset has "
                f"{wanted - 1} characters, which with the blank makes {wanted}; correct charset"
            )
        return
    channels = dimensions[1].dim_value if len(dimensions) == 4 else 1
    if spec.output.channel >= channels:
        raise SpecError(
            f"{spec.name}: output.channel is {spec.output.channel}, but the output has {channels} "
            f"channel(s), counted from 0; correct output.channel"
        )


def _histograms(
    graphs: Graphs, names: list[str], pictures: CalibrationSet, reporter: Reporter
) -> dict[str, Histogram]:
    """Observe the named tensors, which are the same in the graphs of all widths."""
    by_width: dict[int, list[npt.NDArray[np.float32]]] = defaultdict(list)
    found: dict[str, Histogram] = {}
    done = 0
    with reporter.step("calibrate", len(pictures)) as advance:
        for width, batch in pictures.batches():
            by_width[width].append(batch)
            if len(by_width[width]) == 8:
                found = observe(graphs[width], by_width.pop(width), names, found)
            done += 1
            advance(done)
        for width, batches in sorted(by_width.items()):
            found = observe(graphs[width], batches, names, found)
    return found


def typed_graphs(
    graphs: Graphs,
    precision: Precision,
    pictures: CalibrationSet | None,
    method: str,
    reporter: Reporter,
) -> TypedGraphs:
    """Give graphs a precision.

    Raises:
        InputFileError: a calibration picture cannot be read.
        ConversionError: nothing in the model can have the precision.
    """
    if precision == "fp32":
        return TypedGraphs(precision=precision, graphs=graphs, exceptions={}, calibration=None)
    assert pictures is not None, "checked with the request"
    any_graph = next(iter(graphs.values()))
    is_int8 = precision == "int8"
    names = quantized_tensors(any_graph) if is_int8 else float_tensors(any_graph)
    if not names:
        raise ConversionError(f"nothing in the model can run in {precision}; use --precision fp32")
    histograms = _histograms(graphs, names, pictures, reporter)
    choose = METHODS[method if is_int8 else "minmax"]
    ranges = {name: choose(histogram) for name, histogram in histograms.items()}
    typed, exceptions = {}, {}
    for width, graph in graphs.items():
        if is_int8:
            quantized = quantize(graph, ranges)
            typed[width] = quantized.model
            exceptions = {p.node: p.reason for p in quantized.placements if p.reason}
        else:
            cast = autocast(graph, ranges)
            typed[width], exceptions = cast.model, cast.kept
    calibration = Calibration(
        method=method if is_int8 else "minmax",
        pictures=len(pictures),
        data_sha256=tree_sha256(pictures.dataset.folder),
        ranges=ranges,
    )
    return TypedGraphs(
        precision=precision, graphs=typed, exceptions=exceptions, calibration=calibration
    )
