"""The recipe: from what tf2onnx leaves to a clean, channel-first graph, one named step after
another.
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
from .adopt import adopted_ranges
from .graph import OPSET, name_of, shape_of
from .invariants import check_graph, check_ops
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
from .sources.pixels import pixel_noise, takes_whole_pixels

Pass = Callable[[ir.Model], Outcome]
Watch = Callable[[str, ir.Model], None]

_TRACED_BATCH = 2  # a batch of one could not be told from other axes of size one

PREPARE: tuple[Pass, ...] = (
    remove_fake_quantization,  # rules know float graphs
    fold_constants,
    raise_recurrent,  # what stands behind a Loop has no known shape
    raise_directions,
    fold_constants,
    remove_pixel_casts,
)
"""What must come before anything that wants to know shapes."""

PASSES: tuple[Pass, ...] = (
    fold_constants,  # everything after wants to see shapes as numbers
    raise_max_unpool,
    raise_resize,
    raise_grid_sample,
    raise_where,
    raise_activations,
    raise_norms,
    raise_group_norms,
    fold_constants,  # drops what the raised ops no longer need
    collapse_views,  # einsum leaves chains; the dense rule wants single Reshapes
    raise_dense,
    collapse_views,  # what has sunk below one MatMul may sink below the next
    raise_dense,
    collapse_views,
    sink_views,
    collapse_views,  # what the sunk ones met
    fuse_attention,
    fold_affine,  # after views are gone from between a layer and its scale
    fold_scale,
    fold_constants,
)


@dataclass(frozen=True, kw_only=True)
class PassRecord:
    """One pass as it went: rewrites made, matches that almost fired, and the ops behind it."""

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
    """The largest |x| that int8 shall represent, of tensors for which the model itself says it."""

    @property
    def ops(self) -> Counter[str]:
        """How often each op occurs in the result."""
        return Counter(node.op_type for node in self.model.graph.node)


def _nothing(name: str, model: ir.Model) -> None:
    """Watch nothing."""


def _upgraded(raw: Exported) -> ir.Model:
    from onnxscript import version_converter

    graph = raw.whole()
    lower_erfc(graph)
    lower_tfl_gelu(graph)
    lower_integer_ops(graph)
    check_ops(graph)
    try:
        version_converter.convert_version(graph, target_version=OPSET)
    except Exception as error:  # its own error has no public name
        reason = first_line(error)
        raise ConversionError(f"the model cannot be brought to opset {OPSET}: {reason}") from error
    if graph.graph.opset_imports[""] != OPSET:
        raise ConversionError(
            f"the model's opset {graph.graph.opset_imports['']} cannot be brought to {OPSET}"
        )
    graph.ir_version = 10
    common.ShapeInferencePass()(graph)
    return graph


def _check_pixels(raw: onnx.ModelProto, settings: InputSpec) -> None:
    as_they_are = not any(settings.mean) and all(scale == 1 for scale in settings.scale)
    if takes_whole_pixels(raw) and not as_they_are:
        raise SpecError(
            f"the model takes whole numbers at {settings.name}, so pixels must stay as they are: "
            f"expected mean [0] and scale [1], got {list(settings.mean)} and {list(settings.scale)}"
        )


def _check_batch(model: ir.Model, settings: InputSpec) -> None:
    """Refuse a graph that was made for one batch size: its Reshapes hold numbers."""
    if settings.max_batch == 1:
        return
    value = model.graph.inputs[0]
    feeds = {name_of(value): np.zeros(shape_of(value), np.float32)}
    try:
        onnx_session(ir.to_proto(model), optimize=False).run(None, feeds)
    except Exception as error:  # onnxruntime has no common base class
        place = re.search(r"running (\w+) node\. Name:'([^']*)'", str(error))
        why = f"it stops at {place[1]} {place[2]!r}" if place else first_line(error)
        raise ConversionError(
            f"the model does not run with a batch of {_TRACED_BATCH}: {why}; set input.max_batch: 1"
        ) from error


def io_passes(spec: DetectorSpec | RecognizerSpec) -> tuple[Pass, ...]:
    """Return the passes that give a model the layout of input and output that engines have."""
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
    watch: Watch = _nothing,
) -> Converted:
    """Convert a model to a clean graph for one input width (the spec's by default).

    The batch axis is free ("N") if the spec's ``max_batch`` is over 1, and fixed otherwise.
    ``watch`` is shown the graph as it came ("export"), and again after each pass, with its name.

    Raises:
        InputFileError: the model has no such input or output.
        SpecError: the model takes whole pixels, and the spec would scale them.
        ConversionError: an op has no ONNX form, or the model cannot be traced or freed.
    """
    shape = spec.input.shape_at(traced_batch(spec.input), width or spec.input.width)
    raw = source.to_onnx(spec.input.name, shape, spec.output.name)
    _check_pixels(raw.model, spec.input)
    model = _upgraded(raw)
    _check_batch(model, spec.input)
    passes = [*PREPARE, *io_passes(spec), *PASSES]
    if spec.input.max_batch > 1:
        passes.append(free_batch)
    watch("export", model)
    steps, own = [], dict[str, float]()
    for each in (*passes, order_nodes, name_values):
        steps.append(_run(each, model, watch))
        if steps[-1].outcome.ranges:
            own, rounding = steps[-1].outcome.ranges, ir.to_proto(model)
    ranges = _found_again(rounding, model, own, spec, shape) if own else {}
    for step in steps:
        if step.name == free_batch.__name__ and step.outcome.skipped:
            skip = step.outcome.skipped[0]
            raise ConversionError(
                f"the batch axis cannot be freed: {skip.value}: {skip.reason}; "
                "set input.max_batch: 1"
            )
    raw_ops = Counter(node.op_type for node in raw.model.graph.node)
    proto = ir.to_proto(model)
    return Converted(model=proto, raw_ops=raw_ops, steps=tuple(steps), ranges=ranges)


def _found_again(
    before: onnx.ModelProto,
    after: ir.Model,
    ranges: dict[str, float],
    spec: DetectorSpec | RecognizerSpec,
    shape: tuple[int, ...],
) -> dict[str, float]:
    """Return the ranges that a model brought along, by their names in the clean graph."""
    is_nhwc = spec.input.layout == "NHWC"
    width = shape[2 if is_nhwc else 3]
    images = pixel_noise(spec.input, shape[0], width, np.random.default_rng(0))
    held = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if is_nhwc else images
    return adopted_ranges(before, after, ranges, (held, images))


def _run(step: Pass, model: ir.Model, watch: Watch = _nothing) -> PassRecord:
    outcome = step(model)
    check_graph(model, step.__name__)
    watch(step.__name__, model)
    ops = Counter(node.op_type for node in model.graph)
    return PassRecord(name=step.__name__, outcome=outcome, ops=ops)
