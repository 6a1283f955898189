"""Convert a model to a clean graph (float32, channel-first, opset 20), pass by pass.

export to raw ONNX -> lower to standard ops -> opset 20 -> the passes of pass_order.py
    -> free_batch -> order_nodes -> name_values
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from ..common.error_text import first_line
from ..common.onnx_session import onnx_session
from ..errors import ConversionError, SpecError
from ..spec import DetectorSpec, InputSpec, RecognizerSpec
from .graph import OPSET, name_of, shape_of
from .invariants import check_graph, check_ops
from .match_ranges import matched_ranges
from .outcome import Outcome
from .pass_order import PASSES, PREPARE, Pass, io_passes
from .passes.free_batch import free_batch
from .passes.lower_erfc import lower_erfc
from .passes.lower_integer_ops import lower_integer_ops
from .passes.lower_tfl_gelu import lower_tfl_gelu
from .passes.name_values import name_values
from .passes.order_nodes import order_nodes
from .sources import Source
from .sources.large_weights import Exported
from .sources.pixels import pixel_noise, requires_whole_pixels

Watch = Callable[[str, ir.Model], None]

# At batch 1 the batch axis could not be distinguished from other axes of size 1.
_TRACED_BATCH = 2


@dataclass(frozen=True, kw_only=True)
class PassRecord:
    """The outcome of one pass, and how often each op occurs after it."""

    name: str
    outcome: Outcome
    ops: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A clean graph, float32, NCHW, opset 20.

    Input: the spec's input name, (N, C, H, W). Output: the spec's output name, (N, C, H, W) or
    (N, H, W) for a detector, (N, T, C) for a recognizer.
    """

    model: onnx.ModelProto
    raw_ops: Counter[str] = field(repr=False)
    steps: tuple[PassRecord, ...]
    ranges: dict[str, float] = field(default_factory=dict, repr=False)
    """The largest |x| that int8 must represent, by tensor; only those that the model states."""

    @property
    def ops(self) -> Counter[str]:
        """How often each op occurs in the result."""
        return Counter(node.op_type for node in self.model.graph.node)


def _no_watch(name: str, model: ir.Model) -> None:
    """Do nothing: the default of ``convert``."""


def _upgraded(raw: Exported) -> ir.Model:
    """Return a raw export as standard ONNX ops of opset 20, with all shapes that can be inferred.

    Raises:
        ConversionError: an op is unknown to ONNX, or cannot be converted to opset 20.
    """
    from onnxscript import version_converter

    graph = raw.whole()
    # Lower non-standard ops first: the check and the converter support standard ops only.
    lower_erfc(graph)
    lower_tfl_gelu(graph)
    lower_integer_ops(graph)
    check_ops(graph)
    try:
        version_converter.convert_version(graph, target_version=OPSET)
    except Exception as error:  # its own error has no public name
        reason = first_line(error)
        raise ConversionError(
            f"the model cannot be converted to opset {OPSET}: {reason}"
        ) from error
    # The converter can return a model of an older opset without an error.
    if graph.graph.opset_imports[""] != OPSET:
        raise ConversionError(
            f"the model cannot be converted from opset {graph.graph.opset_imports['']} to {OPSET}"
        )
    graph.ir_version = 10
    common.ShapeInferencePass()(graph)
    return graph


def _check_pixels(raw: onnx.ModelProto, settings: InputSpec) -> None:
    """Refuse a spec that scales pixels for a model of an integer input type."""
    is_unscaled = not any(settings.mean) and all(scale == 1 for scale in settings.scale)
    if requires_whole_pixels(raw) and not is_unscaled:
        raise SpecError(
            f"the model requires integers at {settings.name}, so pixels must not be scaled: "
            f"expected mean [0] and scale [1], got {list(settings.mean)} and {list(settings.scale)}"
        )


def _check_batch(model: ir.Model, settings: InputSpec) -> None:
    """Run a graph once, on zeros; refuse it if a Reshape in it contains another batch size."""
    if settings.max_batch == 1:
        return
    value = model.graph.inputs[0]
    feeds = {name_of(value): np.zeros(shape_of(value), np.float32)}
    try:
        onnx_session(ir.to_proto(model), optimize=False).run(None, feeds)
    except Exception as error:  # onnxruntime has no common base class
        place = re.search(r"running (\w+) node\. Name:'([^']*)'", str(error))
        why = f"it fails at {place[1]} {place[2]!r}" if place else first_line(error)
        raise ConversionError(
            f"the model does not run at batch size {_TRACED_BATCH}: {why}; set input.max_batch: 1"
        ) from error


def traced_batch(settings: InputSpec) -> int:
    """Return the batch size that a model is traced at."""
    return _TRACED_BATCH if settings.max_batch > 1 else settings.shape[0]


def convert(
    source: Source,
    spec: DetectorSpec | RecognizerSpec,
    width: int | None = None,
    watch: Watch = _no_watch,
) -> Converted:
    """Convert a model to a clean graph for one input width.

    Args:
        source: the model.
        spec: its spec. The batch axis is free ("N") if ``max_batch`` is over 1, and else fixed.
        width: input width in pixels; by default that of the spec.
        watch: called with a name and the graph: with "export" before the first pass, and with the
            name of each pass after it.

    Raises:
        InputFileError: the model has no such input or output.
        SpecError: the model requires whole pixels, and the spec scales them.
        ConversionError: an op has no ONNX form, or the model cannot be traced, or its batch axis
            cannot be freed.
    """
    shape = spec.input.shape_at(traced_batch(spec.input), width or spec.input.width)
    raw = source.to_onnx(spec.input.name, shape, spec.output.name)
    _check_pixels(raw.model, spec.input)
    model = _upgraded(raw)
    _check_batch(model, spec.input)
    # The layout changes before PASSES, so that they cancel the Transposes that it adds.
    passes = [*PREPARE, *io_passes(spec), *PASSES]
    if spec.input.max_batch > 1:
        # Near the end: the rules of PASSES compare shapes, which are numbers until here.
        passes.append(free_batch)
    # Order and names come last, since every pass before them adds or removes nodes.
    passes += [order_nodes, name_values]
    watch("export", model)
    steps, own = [], dict[str, float]()
    for each in passes:
        steps.append(_run(each, model, watch))
        if steps[-1].outcome.ranges:
            # Later passes rename and fold tensors: keep the graph whose names the ranges use.
            own, stated_in = steps[-1].outcome.ranges, ir.to_proto(model)
    ranges = _renamed_ranges(stated_in, model, own, spec, shape) if own else {}
    for step in steps:
        if step.name == free_batch.__name__ and step.outcome.skipped:
            skip = step.outcome.skipped[0]
            raise ConversionError(
                f"the batch size cannot be made variable: {skip.value}: {skip.reason}; set "
                "input.max_batch: 1"
            )
    raw_ops = Counter(node.op_type for node in raw.model.graph.node)
    return Converted(model=ir.to_proto(model), raw_ops=raw_ops, steps=tuple(steps), ranges=ranges)


def _renamed_ranges(
    before: onnx.ModelProto,
    after: ir.Model,
    ranges: dict[str, float],
    spec: DetectorSpec | RecognizerSpec,
    shape: tuple[int, ...],
) -> dict[str, float]:
    """Return the ranges that a model states, by the names of tensors in the clean graph."""
    is_nhwc = spec.input.layout == "NHWC"
    width = shape[2 if is_nhwc else 3]
    images = pixel_noise(spec.input, shape[0], width, np.random.default_rng(0))  # (N, C, H, W)
    given = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if is_nhwc else images
    return matched_ranges(before, after, ranges, (given, images))


def _run(rewrite: Pass, model: ir.Model, watch: Watch) -> PassRecord:
    outcome = rewrite(model)
    check_graph(model, rewrite.__name__)
    watch(rewrite.__name__, model)
    ops = Counter(node.op_type for node in model.graph)
    return PassRecord(name=rewrite.__name__, outcome=outcome, ops=ops)
