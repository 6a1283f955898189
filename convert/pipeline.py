"""Convert a model to a clean graph (float32, channel-first, opset 20), pass by pass.

export to raw ONNX -> lower to standard ops -> opset 20 -> the passes of pass_order.py
    -> free_batch -> order_nodes -> name_values

A graph whose batch axis cannot be freed is converted again for single images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps

import onnx
import onnx_ir as ir

from ..common.input_size import InputSize
from ..common.onnx_shapes import infer_shapes
from ..errors import BatchError, ConversionError
from ..spec import ModelSpec
from .batch_checks import check_batch, check_one_image, own_batch_only, trace_error
from .float_types import FloatTypes
from .graph import OPSET
from .input_multiples import size_error
from .invalid_source import refused_if_invalid
from .invariants import check_export, check_graph, check_ops
from .match_ranges import renamed_ranges
from .memory_limits import check_model_memory
from .opset import convert_opset
from .outcome import Outcome
from .pass_order import PASSES, PREPARE, Pass, io_passes
from .passes.free_batch import free_batch
from .passes.lower_integer_ops import lower_integer_ops
from .passes.merge_traces import merge_traces
from .passes.name_values import name_values
from .passes.normalize_types import normalize_types
from .passes.order_nodes import order_nodes
from .passes.pad_batch import pad_batch
from .sources import Source
from .sources.large_weights import Exported
from .sources.pixels import check_pixels
from .time_limit import TimeLimit, seconds_allowed

Watch = Callable[[str, ir.Model], None]

FLOAT_TYPE = "float_type"
"""Key of a graph's ``meta``: the 16-bit type in which the model computes, if any."""

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
    float_types: FloatTypes = field(default_factory=FloatTypes)
    """What was not float32 in the model."""
    batch_limit: str = ""
    """Why the graph accepts single images only, although the spec allows larger batches."""

    @property
    def ops(self) -> Counter[str]:
        """How often each op occurs in the result."""
        return Counter(node.op_type for node in self.model.graph.node)


def _no_watch(name: str, model: ir.Model) -> None:
    """Do nothing: the default of ``convert``."""


def _upgraded(raw: Exported) -> ir.Model:
    """Return a raw export as standard ONNX ops of opset 20, with all known shapes.

    Raises:
        ConversionError: an op is unknown to ONNX, or cannot be converted to opset 20.
    """
    graph = raw.whole()
    normalize_types(graph)
    return _at_opset(graph)


def _at_opset(graph: ir.Model) -> ir.Model:
    """Lower ops that are not ONNX's own, and convert a graph to opset 20; see :func:`_upgraded`."""
    # First: the check and the version converter support standard ops only.
    lower_integer_ops(graph)
    check_ops(graph)
    convert_opset(graph)
    graph.ir_version = 10
    infer_shapes(graph)
    return graph


def convert(
    source: Source,
    spec: ModelSpec,
    size: InputSize | None = None,
    watch: Watch = _no_watch,
) -> Converted:
    """Convert a model to a clean graph for one input size.

    The batch axis of the graph is free ("N") if ``max_batch`` is over 1. If it cannot be freed, the
    graph accepts single images, and ``batch_limit`` of the result states the reason.

    Args:
        source: the model.
        spec: its spec.
        size: height and width of the input; by default those of the spec.
        watch: called with a name and the graph: with "export" before the first pass, and with the
            name of each pass after it. A second "export" begins the conversion for single images.

    Raises:
        InputFileError: the model has no such input or output.
        SpecError: the model requires whole pixels, other sizes, or more memory than there is.
        ConversionError: an op has no ONNX form; the model cannot run, or takes too long to convert.
    """
    follower = _Follower(limit=TimeLimit(seconds_allowed()), watch=watch)
    size = size or spec.input.size
    with refused_if_invalid(source, spec, size):
        return follower.limit.run(lambda: _convert_fitting(source, spec, size, follower))


@dataclass(frozen=True, kw_only=True)
class _Follower:
    """Follows a conversion: ``limit`` knows the step that runs, ``watch`` sees each result."""

    limit: TimeLimit
    watch: Watch


def _convert_fitting(
    source: Source, spec: ModelSpec, size: InputSize, follower: _Follower
) -> Converted:
    """Convert a model; if that fails, find out whether the input's size is the reason."""
    try:
        return _convert(source, spec, size, follower)
    except ConversionError as error:
        follower.limit.step = "the runs at several sizes"
        if reason := size_error(source, spec, size):
            raise reason from error
        raise


def _convert(source: Source, spec: ModelSpec, size: InputSize, follower: _Follower) -> Converted:
    """Convert at the first batch size that is possible: any, the model's own, one."""
    settings, reason = spec.input, ""
    own = settings.shape[0]  # over 1 if the model itself accepts this batch size only
    for batch in dict.fromkeys((_TRACED_BATCH, own) if settings.max_batch > 1 else ()):
        if batch > 1:
            try:
                shape = settings.shape_at(batch, size)
                return _convert_at(source, spec, shape, follower, _freeing(source, spec, shape))
            except BatchError as error:
                reason = reason or str(error)
    try:
        single = _convert_at(source, spec, settings.shape_at(1, size), follower)
        check_one_image(single.model)
    except BatchError as error:
        if own == 1:
            raise
        reason = own_batch_only(error, own)
        single = _convert_at(source, spec, settings.shape_at(own, size), follower, pad_batch)
    return replace(single, batch_limit=reason)


def _convert_at(
    source: Source,
    spec: ModelSpec,
    shape: tuple[int, ...],
    follower: _Follower,
    last: Pass | None = None,
) -> Converted:
    """Trace a model at an input shape, and run all passes; ``last`` changes the batch axis.

    Raises:
        BatchError: it cannot be converted at this batch size.
        ConversionError: it cannot be converted at any.
    """
    follower.limit.step = "the export by TensorFlow and tf2onnx"
    raw = _exported(source, spec, shape)
    check_pixels(raw.model, spec.input)
    follower.limit.step = f"the conversion to opset {OPSET}"
    graph = raw.whole()
    # Before the version converter and all rules: they are written for float32.
    types = raw.float_types + normalize_types(graph).float_types
    model = _at_opset(graph)
    own_batch = spec.input.shape[0]
    is_free = last is not None and last is not pad_batch
    # Many passes run parts of the graph.
    check_largest = check_model_memory(model, shape, spec.input.max_batch if is_free else 1)
    if last is not None or shape[0] != own_batch:
        check_batch(model)
    if own_batch == 1:  # else the batch may turn out to be fixed, and the model may fit
        check_largest()
    # The layout changes before PASSES, so that they cancel the Transposes that it adds.
    passes = [*PREPARE, *io_passes(spec), *PASSES]
    if last is not None:
        # Near the end: the rules of PASSES compare shapes, which are numbers until here.
        passes.append(last)
    # Order and names come last, since every pass before them adds or removes nodes.
    passes += [order_nodes, name_values]
    if types.coarsest is not None:
        model.meta[FLOAT_TYPE] = types.coarsest
    follower.watch("export", model)
    steps, own = [], dict[str, float]()
    for each in passes:
        steps.append(_run(each, model, follower))
        outcome = steps[-1].outcome
        if each is last and outcome.skipped:
            skip = outcome.skipped[0]
            raise BatchError(f"the batch size cannot be made variable: {skip.value}: {skip.reason}")
        if outcome.ranges:
            # Later passes rename and fold tensors: keep the graph whose names the ranges use.
            own, stated_in = outcome.ranges, ir.to_proto(model)
    check_largest()
    ranges = renamed_ranges(stated_in, model, own, spec, shape) if own else {}
    ops = Counter(node.op_type for node in raw.model.graph.node)
    return Converted(
        model=ir.to_proto(model), raw_ops=ops, steps=tuple(steps), ranges=ranges, float_types=types
    )


def _freeing(source: Source, spec: ModelSpec, shape: tuple[int, ...]) -> Pass:
    """Return ``free_batch``, followed by ``merge_traces`` where it cannot free a graph."""

    @wraps(free_batch)
    def free(model: ir.Model) -> Outcome:
        outcome = free_batch(model)
        if outcome.changed:
            return outcome
        try:
            other = _upgraded(_exported(source, spec, (shape[0] + 1, *shape[1:])))
            check_batch(other)
            other.meta.update(model.meta)
            for each in (*PREPARE, *io_passes(spec), *PASSES):
                each(other)
        except ConversionError:  # a model that accepts one batch size only
            return outcome
        merged = merge_traces(model, other)
        return merged if merged.changed else outcome

    return free


def _exported(source: Source, spec: ModelSpec, shape: tuple[int, ...]) -> Exported:
    """Export a model at an input shape.

    Raises:
        BatchError: it cannot be traced, and the batch size is not the model's own.
    """
    try:
        return source.to_onnx(spec.input.name, shape, spec.output.name)
    except ConversionError as error:
        if shape[0] == spec.input.shape[0]:
            raise
        raise trace_error(error, shape[0]) from error


def _run(rewrite: Pass, model: ir.Model, follower: _Follower) -> PassRecord:
    follower.limit.step = f"the rule {rewrite.__name__}"
    outcome = rewrite(model)
    if rewrite is PREPARE[0]:  # it only mends types of the export
        check_export(model)
    else:
        check_graph(model, rewrite.__name__)
    follower.watch(rewrite.__name__, model)
    ops = Counter(node.op_type for node in model.graph)
    return PassRecord(name=rewrite.__name__, outcome=outcome, ops=ops)
