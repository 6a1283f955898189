"""Convert a model to a clean graph (float32, channel-first, opset 20), pass by pass.

export to raw ONNX -> lower to standard ops -> opset 20 -> PREPARE -> io_passes -> PASSES
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
from .passes.channel_first_io import batch_first_output, channel_first_input, channel_first_output
from .passes.collapse_views import collapse_views
from .passes.fold_affine import fold_affine
from .passes.fold_constants import fold_constants
from .passes.fold_scale import fold_scale
from .passes.free_batch import free_batch
from .passes.fuse_attention import fuse_attention
from .passes.lower_erfc import lower_erfc
from .passes.lower_integer_ops import lower_integer_ops
from .passes.lower_tfl_gelu import lower_tfl_gelu
from .passes.name_values import name_values
from .passes.order_nodes import order_nodes
from .passes.raise_activations import raise_activations
from .passes.raise_dense import raise_dense
from .passes.raise_directions import raise_directions
from .passes.raise_grid_sample import raise_grid_sample
from .passes.raise_group_norms import raise_group_norms
from .passes.raise_max_unpool import raise_max_unpool
from .passes.raise_norms import raise_norms
from .passes.raise_recurrent import raise_recurrent
from .passes.raise_resize import raise_resize
from .passes.raise_where import raise_where
from .passes.remove_fake_quantization import remove_fake_quantization
from .passes.remove_pixel_casts import remove_pixel_casts
from .passes.sink_views import sink_views
from .sources import Source
from .sources.large_weights import Exported
from .sources.pixels import pixel_noise, requires_whole_pixels

Pass = Callable[[ir.Model], Outcome]
Watch = Callable[[str, ir.Model], None]

# At batch 1 the batch axis could not be distinguished from other axes of size 1.
_TRACED_BATCH = 2

PREPARE: tuple[Pass, ...] = (
    # First: all later rules are written for float graphs, without Q/DQ between their nodes.
    remove_fake_quantization,
    # raise_recurrent runs one step of a loop, and needs its bounds and weights as constants.
    fold_constants,
    # Loop or Scan -> LSTM, GRU, RNN. Values behind a Loop have no known shape until then.
    raise_recurrent,
    # Needs the recurrent ops of the pass above: flips around them become their direction.
    raise_directions,
    # Shapes behind former loops are known now, and what is computed from them becomes constant.
    fold_constants,
    # Pixels of an integer type: removes Round and Cast where the next node casts back to float.
    remove_pixel_casts,
)
"""Passes that must come before any pass that reads shapes."""

PASSES: tuple[Pass, ...] = (
    # Raise: a subgraph that an exporter spelled out becomes the one ONNX op that it computes.
    # Most rules recognize it by running it, and need shapes and constants as numbers.
    fold_constants,
    # MaxPool with indices + scatter -> MaxPoolArgmax2d + MaxUnpool2d.
    raise_max_unpool,
    # Nearest-neighbor enlarging by Tile, Reshape, ... -> Resize.
    raise_resize,
    # Bilinear sampling by four gathers -> GridSample.
    raise_grid_sample,
    # A sum of masked products -> Where; as a sum it turns to NaN in fp16.
    raise_where,
    # Elementwise subgraphs of one input -> Gelu, HardSwish, Mish, HardSigmoid.
    raise_activations,
    # Moments, squared differences and rsqrt -> LayerNormalization.
    raise_norms,
    # The same over groups of channels -> InstanceNormalization.
    raise_group_norms,
    # Drops the constants and nodes that raised ops no longer need.
    fold_constants,
    # Views: einsum leaves chains of them, and raise_dense matches single Reshapes.
    collapse_views,
    # Dense layers run on the tensor itself; their Reshapes move up or down.
    raise_dense,
    # A Reshape that sank below one MatMul can sink below the next once its views have merged.
    collapse_views,
    raise_dense,
    collapse_views,
    # Transposes, Squeezes and Unsqueezes move down through other ops, until they cancel.
    sink_views,
    # Cancels or merges the views that have met.
    collapse_views,
    # Matches query, key and value in their normal form, so it follows all view passes.
    fuse_attention,
    # Scales fold only into the layer directly in front or behind: views must be gone from between.
    fold_affine,
    fold_scale,
    # Merges what the folds above left constant.
    fold_constants,
)
"""Passes on a graph whose shapes are all known."""


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


def io_passes(spec: DetectorSpec | RecognizerSpec) -> tuple[Pass, ...]:
    """Return the passes that give a model the layout of engines: NCHW in, (N, T, C) classes out."""
    passes: list[Pass] = []
    if spec.input.layout == "NHWC":
        passes.append(channel_first_input)
        if spec.role == "detector":
            passes.append(channel_first_output)
    if spec.role == "recognizer" and spec.output.layout == "TNC":
        passes.append(batch_first_output)
    return tuple(passes)


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
