"""A model's graphs given a precision: what is asked for, and the calibration that gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import onnx
import onnx_ir as ir

from ..common.progress import Advance, Reporter
from ..errors import ConversionError, InputFileError
from .autocast import autocast, float_tensors
from .channels import Channels, observe_channels, read_tensors
from .correct_bias import correct_biases
from .equalize import equalize
from .half import HALF_TYPES
from .images import CalibrationSet
from .int8_style import FallbackPrecision, Int8Style
from .methods import METHODS
from .observe import Batch, Observation, observe
from .placement import Placement, place
from .quantize import quantize, quantized_tensors
from .ranges import Ranges

Graphs = dict[int, onnx.ModelProto]
"""A graph for each input width; all have the same tensors."""

WeightCorrection = Literal["equalize", "bias"]
WEIGHT_CORRECTIONS: tuple[WeightCorrection, ...] = ("equalize", "bias")


@dataclass(frozen=True, kw_only=True)
class QuantizationSettings:
    """A precision, and how to get there. ``rest``: of what does not run in int8."""

    precision: Literal["fp16", "bf16", "int8"]
    fallback: FallbackPrecision = "fp32"
    style: Int8Style = field(default_factory=Int8Style)
    method: str = "mse"
    corrections: tuple[WeightCorrection, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    """Weighted ops, by their first output, that are not to run in int8, and why."""


INT8 = QuantizationSettings(precision="int8")
"""Everything in int8 that gains by it."""
EVERYWHERE = QuantizationSettings(precision="int8", style=Int8Style(everywhere=True))
"""Everything in int8 that can be."""


@dataclass(frozen=True, kw_only=True)
class QuantizedGraphs:
    """Graphs with their precision in them.

    ``exceptions``: weighted ops that did not get the precision asked for, and why. ``fp32``: all
    nodes that stayed in fp32 where others are 16 bits, and why.
    """

    graphs: Graphs
    ranges: dict[str, float] = field(default_factory=dict)
    exceptions: dict[str, str] = field(default_factory=dict)
    fp32: dict[str, str] = field(default_factory=dict)


class Calibrator:
    """Types the graphs of a model. What it sees on images it sees once.

    Args:
        graphs: clean float graphs.
        images: what to see it on.
        reporter: told of the passes over the images.
        ranges: if given, they are used, and images are looked at for corrections only.
        own: ranges that the model brought along; they go before all others.
    """

    def __init__(
        self,
        graphs: Graphs,
        images: CalibrationSet,
        reporter: Reporter,
        *,
        ranges: Ranges | None = None,
        own: Mapping[str, float] | None = None,
    ) -> None:
        self.graphs, self.images, self.ranges = graphs, images, ranges
        self.own = dict(own or {})
        self._reporter = reporter
        self._seen: dict[tuple[bool, bool], Observation] = {}
        self._channels_seen: dict[object, dict[str, Channels]] = {}
        self._equal: Graphs | None = None
        self.skipped: dict[str, None] = {}

    @property
    def any_graph(self) -> onnx.ModelProto:
        """The widest graph; what is decided by names is the same for all."""
        return self.graphs[max(self.graphs)]

    def quantized(self, quantization: QuantizationSettings) -> QuantizedGraphs:
        """Give the graphs a precision.

        Raises:
            InputFileError: a calibration image cannot be read.
            ConversionError: nothing in the model can have the precision.
        """
        if quantization.precision == "int8":
            return self._int8(quantization)
        peaks = self._peaks(equal=False)
        half = HALF_TYPES[quantization.precision]
        cast = {width: autocast(graph, peaks, half) for width, graph in self.graphs.items()}
        kept = next(iter(cast.values())).kept
        return QuantizedGraphs(
            graphs={width: each.model for width, each in cast.items()},
            ranges=peaks,
            exceptions=kept,
            fp32=kept,
        )

    def _int8(self, quantization: QuantizationSettings) -> QuantizedGraphs:
        if not self.tensors(quantization.style):
            raise ConversionError(
                "nothing in the model gains by int8 here; use --precision fp32, or --everywhere"
            )
        equal = "equalize" in quantization.corrections
        graphs, ranges = (
            self._equalized() if equal else self.graphs,
            self._chosen(quantization, equal),
        )
        if "bias" in quantization.corrections:
            graphs = self._corrected(equal, ranges, quantization)
        done = {
            width: quantize(graph, ranges, quantization.style, quantization.held)
            for width, graph in graphs.items()
        }
        placements = done[max(done)].placements
        exceptions = {p.node: p.reason for p in placements if p.reason}
        models, fp32 = {width: each.model for width, each in done.items()}, dict[str, str]()
        if quantization.fallback != "fp32":
            peaks, half = self._peaks(equal=equal), HALF_TYPES[quantization.fallback]
            cast = {width: autocast(model, peaks, half) for width, model in models.items()}
            models = {width: each.model for width, each in cast.items()}
            fp32 = next(iter(cast.values())).kept
        return QuantizedGraphs(graphs=models, ranges=ranges, exceptions=exceptions, fp32=fp32)

    def _chosen(self, quantization: QuantizationSettings, equal: bool) -> dict[str, float]:
        """Return the range of each tensor that int8 needs."""
        needed = self.tensors(quantization.style)
        own = {name: self.own[name] for name in needed if name in self.own}
        if len(own) == len(needed):
            return own
        if self.ranges is not None and not equal:
            return {name: self.ranges.ranges[name] for name in needed} | own
        choose = METHODS[quantization.method]
        seen = self.seen(equal=equal, peaks=quantization.fallback != "fp32").histograms
        return {name: choose(seen[name]) for name in needed} | own

    def _peaks(self, *, equal: bool) -> dict[str, float]:
        if self.ranges is not None and self.ranges.peaks and not equal:
            return self.ranges.peaks
        return self.seen(equal=equal, peaks=True).peaks

    def seen(self, *, equal: bool = False, peaks: bool = False) -> Observation:
        """Return what the images show: histograms of what int8 needs, and the peaks of all."""
        known = self._seen.get((equal, True)) or self._seen.get((equal, peaks))
        if known is None:
            graphs = self._equalized() if equal else self.graphs
            names = self.tensors(EVERYWHERE.style)
            with self._reporter.step("calibrate", len(self.images)) as advance:
                known = observe(
                    graphs,
                    self.batches(advance),
                    len(self.images),
                    histograms=names,
                    peaks=float_tensors(self.any_graph) if peaks else (),
                )
            self._seen[equal, peaks] = known
        return known

    def batches(self, advance: Advance = lambda done: None) -> Iterator[tuple[int, Batch]]:
        """Yield (width, batch) of all images that can be read."""
        for done, feed in enumerate(self.images.batches(self._bad), 1):
            yield feed
            advance(done)

    def _bad(self, error: InputFileError) -> None:
        if not self.images.skip_bad:
            raise error
        if str(error) not in self.skipped:
            self.skipped[str(error)] = None
            self._reporter.note(f"left out of the calibration: {error}")

    def ops(self, quantization: QuantizationSettings = INT8) -> set[str]:
        """Return the ops that may run in int8, by their first output."""
        return {p.node for p in self.placements(quantization) if p.reason is None}

    def placements(self, quantization: QuantizationSettings = INT8) -> list[Placement]:
        """Return all weighted ops in the order of the graph, and why they stay in float."""
        graph = ir.from_proto(self.any_graph).graph
        style = quantization.style
        return place(graph, quantization.held, everywhere=style.everywhere, products=style.products)

    def tensors(self, style: Int8Style) -> list[str]:
        """Return the tensors whose ranges int8 needs."""
        return quantized_tensors(
            self.any_graph, everywhere=style.everywhere, products=style.products
        )

    @property
    def knows_all_ranges(self) -> bool:
        """Whether no image is needed to choose ranges."""
        return self.ranges is not None or set(self.tensors(INT8.style)) <= self.own.keys()

    def layers(self) -> list[str]:
        """Return all weighted ops by their first output, in the order of the graph."""
        return [placement.node for placement in self.placements()]

    def _channels(self, *, equal: bool, ranges: Mapping[str, float]) -> dict[str, Channels]:
        key = (equal, tuple(ranges.items()))
        if key not in self._channels_seen:
            tensors = read_tensors(ir.from_proto(self.any_graph).graph, self.ops(EVERYWHERE))
            graphs = self._equalized() if equal else self.graphs
            with self._reporter.step("look at channels", len(self.images)) as advance:
                found = observe_channels(graphs, self.batches(advance), tensors, ranges)
            self._channels_seen[key] = found
        return self._channels_seen[key]

    def _equalized(self) -> Graphs:
        if self._equal is None:
            channels, ops = self._channels(equal=False, ranges={}), self.ops()
            self._equal = {
                width: equalize(graph, channels, ops, keep=self.own)[0]
                for width, graph in self.graphs.items()
            }
        return self._equal

    def _corrected(
        self, equal: bool, ranges: dict[str, float], quantization: QuantizationSettings
    ) -> Graphs:
        graphs = self._equalized() if equal else self.graphs
        channels, ops = self._channels(equal=equal, ranges=ranges), self.ops(quantization)
        largest = quantization.style.largest_weight
        return {w: correct_biases(g, channels, ops, largest) for w, g in graphs.items()}
