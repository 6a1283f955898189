"""Quantize the graphs of a model to a precision, with calibration where it needs one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import onnx
import onnx_ir as ir

from ..common.input_size import by_area
from ..common.progress import Advance, Reporter
from ..convert.graph import Graphs
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

_T = TypeVar("_T")
WeightCorrection = Literal["equalize", "bias"]
"""Weight equalization, or bias correction, of the float graph before it is quantized to int8."""
WEIGHT_CORRECTIONS: tuple[WeightCorrection, ...] = ("equalize", "bias")


@dataclass(frozen=True, kw_only=True)
class QuantizationSettings:
    """A precision, and how to quantize to it. All fields except ``precision`` are for int8."""

    precision: Literal["fp16", "bf16", "int8"]
    fallback: FallbackPrecision = "fp32"
    """Precision of the ops that do not run in int8."""
    style: Int8Style = field(default_factory=Int8Style)
    method: str = "mse"
    """How ranges are chosen: a key of ``methods.METHODS``."""
    corrections: tuple[WeightCorrection, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Weighted ops, by their first output, that must not run in int8, with the reason."""


INT8 = QuantizationSettings(precision="int8")
"""int8 for every op that gains by it."""
EVERYWHERE = QuantizationSettings(precision="int8", style=Int8Style(everywhere=True))
"""int8 for every op that can run in it."""


@dataclass(frozen=True, kw_only=True)
class QuantizedGraphs:
    """Graphs whose Cast and Q/DQ nodes state the precision of every op."""

    graphs: Graphs
    ranges: dict[str, float] = field(default_factory=dict)
    """The largest |x| to represent, by tensor: ranges of int8, or peaks of fp16 and bf16."""
    exceptions: dict[str, str] = field(default_factory=dict)
    """Ops that do not run in the requested precision, by their first output, with the reason."""
    kept_fp32: dict[str, str] = field(default_factory=dict)
    """Nodes that keep fp32 where the others run in 16 bits, with the reason."""


class Calibrator:
    """Quantizes the graphs of a model. Observations on the images are kept for later calls.

    Targets that need the same graphs share a calibrator, and with it all that :meth:`kept` keeps.

    Args:
        graphs: clean float graphs.
        images: calibration images.
        reporter: shows the passes over the images.
        ranges: ranges and peaks from a file. With them, images are read for weight corrections
            only.
        own_ranges: ranges that the model itself states; they take precedence over all others.
    """

    def __init__(
        self,
        graphs: Graphs,
        images: CalibrationSet,
        reporter: Reporter,
        *,
        ranges: Ranges | None = None,
        own_ranges: Mapping[str, float] | None = None,
    ) -> None:
        self.graphs, self.images, self.ranges = graphs, images, ranges
        self.own_ranges = dict(own_ranges or {})
        self._reporter = reporter
        self._observed: dict[tuple[bool, bool], Observation] = {}
        self._observed_channels: dict[object, dict[str, Channels]] = {}
        self._equalized_graphs: Graphs | None = None
        self._kept: dict[Hashable, Any] = {}
        self.skipped: dict[str, None] = {}

    @property
    def largest_graph(self) -> onnx.ModelProto:
        """The graph of the largest input, for decisions that need only names and fit all sizes."""
        return self.graphs[max(self.graphs, key=by_area)]

    def quantized(self, quantization: QuantizationSettings) -> QuantizedGraphs:
        """Return the graphs in the requested precision.

        Raises:
            InputFileError: a calibration image cannot be read.
            ConversionError: no op of the model can have the precision.
        """
        if quantization.precision == "int8":
            return self._int8(quantization)
        peaks = self._peaks(equalized=False)
        graphs, kept = _half(self.graphs, peaks, quantization.precision)
        return QuantizedGraphs(graphs=graphs, ranges=peaks, exceptions=kept, kept_fp32=kept)

    def _int8(self, quantization: QuantizationSettings) -> QuantizedGraphs:
        if not self.tensors(quantization.style):
            if quantization.style.everywhere:
                raise ConversionError(
                    "no layer of this model can run in int8 on this target; use --precision fp32"
                )
            raise ConversionError(
                "no layer of this model benefits from int8 on this target; use --precision fp32, "
                "or --everywhere to run layers in int8 anyway"
            )
        equalized = "equalize" in quantization.corrections
        graphs, ranges = (
            self._float_graphs(equalized=equalized),
            self._ranges(quantization, equalized=equalized),
        )
        # Bias correction comes last: it needs the rounding error of what each layer reads, and so
        # the ranges, which are observed on the graph before it.
        if "bias" in quantization.corrections:
            graphs = self._corrected(graphs, ranges, quantization, equalized=equalized)
        done = {}
        with self._reporter.step("quantize to int8", len(graphs)) as advance:
            for number, (size, graph) in enumerate(graphs.items(), 1):
                done[size] = quantize(graph, ranges, quantization.style, quantization.excluded)
                advance(number)
        placements = done[max(done, key=by_area)].placements
        exceptions = {p.node: p.reason for p in placements if p.reason}
        models, kept = {size: each.model for size, each in done.items()}, dict[str, str]()
        # 16 bits come after Q/DQ pairs: autocast leaves the pairs alone and casts around them.
        if quantization.fallback != "fp32":
            models, kept = _half(models, self._peaks(equalized=equalized), quantization.fallback)
        return QuantizedGraphs(graphs=models, ranges=ranges, exceptions=exceptions, kept_fp32=kept)

    def _ranges(self, quantization: QuantizationSettings, *, equalized: bool) -> dict[str, float]:
        """Return the range of each tensor that int8 ops read."""
        needed = self.tensors(quantization.style)
        stated = {name: self.own_ranges[name] for name in needed if name in self.own_ranges}
        if len(stated) == len(needed):
            return stated
        # Ranges from a file belong to the graph before equalization, which scales its tensors.
        if self.ranges is not None and not equalized:
            return {name: self.ranges.ranges[name] for name in needed} | stated
        choose = METHODS[quantization.method]
        seen = self.observation(
            equalized=equalized, peaks=quantization.fallback != "fp32"
        ).histograms
        return {name: choose(seen[name]) for name in needed} | stated

    def _peaks(self, *, equalized: bool) -> dict[str, float]:
        if self.ranges is not None and self.ranges.peaks and not equalized:
            return self.ranges.peaks
        return self.observation(equalized=equalized, peaks=True).peaks

    def observation(self, *, equalized: bool = False, peaks: bool = False) -> Observation:
        """Return histograms, and peaks if requested, of tensors on the calibration images.

        Args:
            equalized: observe the graph after weight equalization.
            peaks: also observe the largest |x| of all float tensors. Histograms are only of the
                tensors that int8 can need.
        """
        # An observation with peaks serves both requests; the other order needs a second pass.
        known = self._observed.get((equalized, True)) or self._observed.get((equalized, peaks))
        if known is None:
            with self._reporter.step("calibrate", len(self.images)) as advance:
                known = observe(
                    self._float_graphs(equalized=equalized),
                    self.batches(advance),
                    len(self.images),
                    histograms=self.tensors(EVERYWHERE.style),
                    peaks=float_tensors(self.largest_graph) if peaks else (),
                )
            self._observed[equalized, peaks] = known
        return known

    def batches(self, advance: Advance = lambda done: None) -> Iterator[Batch]:
        """Yield (1, C, H, W) of all images that can be read."""
        for done, feed in enumerate(self.images.batches(self._handle_unreadable), 1):
            yield feed
            advance(done)

    def _handle_unreadable(self, error: InputFileError) -> None:
        """Raise the error of an unreadable image, or report it once and leave the image out."""
        if not self.images.skip_bad:
            raise error
        if str(error) not in self.skipped:
            self.skipped[str(error)] = None
            self._reporter.note(f"image left out of the calibration: {error}")

    def kept(self, key: Hashable, measure: Callable[[], _T]) -> _T:
        """Return what ``measure`` returned when it was first called with this key.

        For measurements that do not depend on the target. The key states all that they depend on,
        apart from the graphs and images of the calibrator.
        """
        if key not in self._kept:
            self._kept[key] = measure()
        return self._kept[key]

    def ops(self, quantization: QuantizationSettings = INT8) -> set[str]:
        """Return the ops that may run in int8, by their first output."""
        return {p.node for p in self.placements(quantization) if p.reason is None}

    def placements(self, quantization: QuantizationSettings = INT8) -> list[Placement]:
        """Return the decision on every weighted op, in the order of the graph."""
        graph = ir.from_proto(self.largest_graph).graph
        style = quantization.style
        return place(
            graph, quantization.excluded, everywhere=style.everywhere, products=style.products
        )

    def tensors(self, style: Int8Style) -> list[str]:
        """Return the tensors whose ranges int8 needs."""
        return quantized_tensors(
            self.largest_graph, everywhere=style.everywhere, products=style.products
        )

    @property
    def knows_all_ranges(self) -> bool:
        """Whether ranges can be chosen without reading an image."""
        return self.ranges is not None or set(self.tensors(INT8.style)) <= self.own_ranges.keys()

    def layers(self) -> list[str]:
        """Return all weighted ops by their first output, in the order of the graph."""
        return [placement.node for placement in self.placements()]

    def _channels(self, *, equalized: bool, ranges: Mapping[str, float]) -> dict[str, Channels]:
        key = (equalized, tuple(ranges.items()))
        if key not in self._observed_channels:
            tensors = read_tensors(ir.from_proto(self.largest_graph).graph, self.ops(EVERYWHERE))
            graphs = self._float_graphs(equalized=equalized)
            with self._reporter.step(
                "observe channels for weight correction", len(self.images)
            ) as advance:
                found = observe_channels(graphs, self.batches(advance), tensors, ranges)
            self._observed_channels[key] = found
        return self._observed_channels[key]

    def _float_graphs(self, *, equalized: bool) -> Graphs:
        """Return the float graphs, after weight equalization where ``equalized``."""
        if not equalized:
            return self.graphs
        if self._equalized_graphs is None:
            channels, ops = self._channels(equalized=False, ranges={}), self.ops()
            self._equalized_graphs = {
                size: equalize(graph, channels, ops, keep=self.own_ranges)[0]
                for size, graph in self.graphs.items()
            }
        return self._equalized_graphs

    def _corrected(
        self,
        graphs: Graphs,
        ranges: dict[str, float],
        quantization: QuantizationSettings,
        *,
        equalized: bool,
    ) -> Graphs:
        channels, ops = self._channels(equalized=equalized, ranges=ranges), self.ops(quantization)
        largest = quantization.style.largest_weight
        return {size: correct_biases(g, channels, ops, largest) for size, g in graphs.items()}


def _half(
    graphs: Graphs, peaks: Mapping[str, float], precision: Literal["fp16", "bf16"]
) -> tuple[Graphs, dict[str, str]]:
    """Cast float ops to 16 bits; return the graphs, and the nodes that keep fp32 and why."""
    cast = {size: autocast(graph, peaks, HALF_TYPES[precision]) for size, graph in graphs.items()}
    # All sizes have the same nodes, so the reasons of one graph are those of all.
    return {size: each.model for size, each in cast.items()}, next(iter(cast.values())).kept
