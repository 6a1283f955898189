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


def observed(
    graphs: Graphs, precision: Precision, pictures: CalibrationSet, reporter: Reporter
) -> dict[str, Histogram]:
    """Observe the tensors whose ranges a precision needs; they are the same at all widths.

    Raises:
        InputFileError: a calibration picture cannot be read.
        ConversionError: nothing in the model can have the precision.
    """
    any_graph = next(iter(graphs.values()))
    names = quantized_tensors(any_graph) if precision == "int8" else float_tensors(any_graph)
    if not names:
        raise ConversionError(f"nothing in the model can run in {precision}; use --precision fp32")
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


def float_graphs(graphs: Graphs) -> TypedGraphs:
    """Leave graphs in fp32."""
    return TypedGraphs(precision="fp32", graphs=graphs, exceptions={}, calibration=None)


def int8_graphs(
    graphs: Graphs,
    histograms: dict[str, Histogram],
    pictures: CalibrationSet,
    method: str,
    largest_weight: int,
) -> TypedGraphs:
    """Give graphs int8 where ``placement`` allows; ``largest_weight``: as for ``quantize``."""
    ranges = {name: METHODS[method](histogram) for name, histogram in histograms.items()}
    done = {
        width: quantize(graph, ranges, largest_weight=largest_weight)
        for width, graph in graphs.items()
    }
    placements = next(iter(done.values())).placements
    return TypedGraphs(
        precision="int8",
        graphs={width: quantized.model for width, quantized in done.items()},
        exceptions={p.node: p.reason for p in placements if p.reason},
        calibration=_calibration(method, pictures, ranges),
    )


def fp16_graphs(
    graphs: Graphs, histograms: dict[str, Histogram], pictures: CalibrationSet
) -> TypedGraphs:
    """Give graphs fp16 where it holds what was seen."""
    ranges = {name: histogram.peak for name, histogram in histograms.items()}
    done = {width: autocast(graph, ranges) for width, graph in graphs.items()}
    return TypedGraphs(
        precision="fp16",
        graphs={width: cast.model for width, cast in done.items()},
        exceptions=next(iter(done.values())).kept,
        calibration=_calibration("minmax", pictures, ranges),
    )


def _calibration(method: str, pictures: CalibrationSet, ranges: dict[str, float]) -> Calibration:
    return Calibration(
        method=method,
        pictures=len(pictures),
        data_sha256=tree_sha256(pictures.dataset.folder),
        ranges=ranges,
    )
