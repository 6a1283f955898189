"""Convert a TensorFlow function to raw ONNX: trace at a fixed shape, freeze, run tf2onnx."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from ...common.cores import limited_cores
from ...common.error_text import first_line, why_not_imported
from ...errors import ConversionError, OcrTrtError, TargetMissingError
from ..float_types import FloatTypes
from ..tf_ops.failures import check_failures, quantized_nodes, recorded_failures
from ..tf_ops.rules import OPSET, handlers
from .failing_layer import reason_with_layer
from .fake_quantization import has_fake_quantization, lower_fake_quantization
from .float32_graph import has_other_floats, to_float32
from .folding import folded
from .freeze import freeze
from .function_names import rename_inside
from .large_weights import Exported, Weights, extract_constants
from .lowered_loops import has_lowered_loops, raise_loops
from .pixels import rename, with_float_input
from .side_effects import check_deterministic
from .tf2onnx_fixes import fixed_tf2onnx

FAILED_EXPORT = "tf2onnx cannot convert the model: "


def import_tensorflow() -> Any:
    """Import TensorFlow without its start-up messages.

    Raises:
        TargetMissingError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        with _stderr_to_null():  # its C++ code writes messages before any log level applies
            import tensorflow as tf
    except ImportError as error:
        raise TargetMissingError(
            f"{why_not_imported(error, 'TensorFlow')}; install it with: pip install 'ocr-trt[tf]'"
        ) from None
    tf.get_logger().setLevel("ERROR")
    # Without this, TensorFlow starts one thread per core of the machine, not of the container.
    if cores := limited_cores():
        with contextlib.suppress(RuntimeError):  # its threads have been started already
            tf.config.threading.set_intra_op_parallelism_threads(cores)
            tf.config.threading.set_inter_op_parallelism_threads(cores)
    return tf


@contextlib.contextmanager
def _stderr_to_null() -> Iterator[None]:
    """Discard everything that native code writes to file descriptor 2."""
    try:
        saved = os.dup(2)
    except OSError:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(null)
        os.close(saved)


def accepting_float(function: Any, dtype: Any) -> Any:
    """Return a function that accepts float32 instead of ``dtype`` and rounds for integer types."""
    tf = import_tensorflow()
    if dtype == tf.float32:
        return function

    def call(image: Any) -> Any:
        return function(tf.cast(tf.round(image) if dtype.is_integer else image, dtype))

    return call


def onnx_from_function(
    function: Any, input_name: str, shape: tuple[int, ...], output_name: str
) -> Exported:
    """Convert a function of one tensor, traced at ``shape`` (float32), to raw ONNX (opset 18).

    The result may contain ops that ONNX does not have; ``pipeline`` lowers or refuses them.

    Raises:
        ConversionError: TensorFlow cannot trace the model at that shape, or tf2onnx fails.
    """
    tf = import_tensorflow()
    try:
        with _stderr_to_null():
            traced = tf.function(function).get_concrete_function(
                tf.TensorSpec(shape, tf.float32, name="input")
            )
            ends = [tensor.name for tensor in traced.outputs]
            check_deterministic(traced.graph.as_graph_def(), ends, traced, shape)
            frozen = freeze(traced)
    except OcrTrtError:  # of our own functions, such as a constant that does not fit its input
        raise
    except Exception as error:  # whatever the user's graph raises when it is traced
        raise ConversionError(
            f"the model cannot be traced with an input of shape {list(shape)}: "
            f"{reason_with_layer(error)}; check input.shape in the spec, change that layer, or end "
            "the model before it (output.name in the spec)"
        ) from error
    (entry,), (result,) = frozen.inputs, frozen.outputs
    exported = _onnx_from_frozen(frozen.graph, entry, result, frozen.weights)
    return replace(exported, model=_renamed(exported.model, input_name, output_name))


def graph_def_from_function(function: Callable[..., Any], specs: dict[str, Any]) -> Any:
    """Freeze a function from named tensors to a dictionary of tensors as a GraphDef.

    The placeholders have the names of the inputs. ``function`` must name each result as its key in
    the dictionary.

    Raises:
        ConversionError: TensorFlow cannot trace or freeze it.
    """
    tf = import_tensorflow()
    try:
        with _stderr_to_null():
            traced = tf.function(function).get_concrete_function(**specs)
            graph = freeze(traced, whole=True).graph
            ends = list(traced.structured_outputs)
            return _without_order(tf.compat.v1.graph_util.extract_sub_graph(graph, ends))
    except OcrTrtError:  # of our own functions, such as a constant that does not fit its input
        raise
    except Exception as error:  # whatever the user's graph raises when it is traced
        raise ConversionError(
            f"the model cannot be traced: {reason_with_layer(error)}; change that layer, or end "
            "the model before it (output.name in the spec)"
        ) from error


def _without_order(graph: Any) -> Any:
    """Drop control inputs, which inlining adds to every constant; no node here is stateful."""
    for node in graph.node:
        node.input[:] = [name for name in node.input if not name.startswith("^")]
    return graph


def onnx_from_graph_def(
    graph: Any, entry: str, result: str, input_name: str, output_name: str
) -> Exported:
    """Convert a frozen GraphDef whose placeholder has a fixed shape to raw ONNX (opset 18).

    Its input becomes float32. Changes the graph.

    Raises:
        ConversionError: tf2onnx fails.
    """
    _keep_loops(graph)
    if has_lowered_loops(graph):
        graph, entry, result = _with_raised_loops(graph, entry, result)
    weights = extract_constants(graph)
    exported = _onnx_from_frozen(graph, entry, result, weights)
    model = with_float_input(_renamed(exported.model, input_name, output_name))
    return replace(exported, model=model)


def _with_raised_loops(graph: Any, entry: str, result: str) -> tuple[Any, str, str]:
    """Return a graph with While ops, its input and its output; the graph itself if that fails."""
    tf = import_tensorflow()
    name = entry.split(":")[0]
    node = next(node for node in graph.node if node.name == name)
    spec = tf.TensorSpec(node.attr["shape"].shape, node.attr["dtype"].type, name)
    try:
        with _stderr_to_null():
            frozen = freeze(raise_loops(graph, spec, result), whole=True)
    except Exception:  # a loop of another form: tf2onnx converts it, or its ops are refused by name
        return graph, entry, result
    return frozen.graph, frozen.inputs[0], frozen.outputs[0]


def _keep_loops(graph: Any) -> None:
    """Keep loops as functions, because tf2onnx recognizes LSTMs by them."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    for node in nodes:
        node.attr.pop("_lower_using_switch_merge", None)


def onnx_from_tflite(path: Path) -> onnx.ModelProto:
    """Convert a float .tflite file to raw ONNX (opset 18); names stay.

    Raises:
        ConversionError: tf2onnx fails.
    """
    return _run_tf2onnx(
        lambda tf2onnx: tf2onnx.convert.from_tflite(
            str(path), opset=OPSET, custom_op_handlers=handlers()
        )[0]
    )


def _onnx_from_frozen(graph: Any, entry: str, result: str, weights: Weights) -> Exported:
    """Convert a graph with tf2onnx; the image is its first input, ``weights`` are the others."""
    entries = [entry, *(f"{name}:0" for name in weights)]
    check_failures(quantized_nodes(graph))
    graph, types = _prepared(graph, entries, result, weights)
    rename_inside(graph)
    model = _run_tf2onnx(
        lambda tf2onnx: tf2onnx.convert.from_graph_def(
            graph,
            input_names=entries,
            output_names=[result],
            opset=OPSET,
            custom_op_handlers=handlers(),
        )[0]
    )
    rename(model.graph, {f"{name}:0": name for name in weights})
    inputs = {value.name: value for value in model.graph.input}
    image = inputs.pop(entry)
    for name, value in inputs.items():
        value.name = name.removesuffix(":0")
    ordered = [image, *inputs.values()]
    del model.graph.input[:]
    model.graph.input.extend(ordered)
    return Exported(model=model, weights=weights, float_types=types)


def _prepared(
    graph: Any, entries: list[str], result: str, weights: Weights
) -> tuple[Any, FloatTypes]:
    """Rewrite what tf2onnx cannot convert: other float types, and other fake quantization."""
    has_types, has_fakes = has_other_floats(graph), has_fake_quantization(graph)
    if not has_types and not has_fakes:
        return graph, FloatTypes()
    # Before the types change: what does not depend on the image keeps TensorFlow's rounding.
    graph = folded(graph, entries, [result])
    lower_fake_quantization(graph)
    return graph, to_float32(graph, weights)


def _run_tf2onnx(conversion: Callable[[Any], onnx.ModelProto]) -> onnx.ModelProto:
    try:
        with _stderr_to_null():
            import tf2onnx
    except ImportError as error:
        raise TargetMissingError(
            f"{why_not_imported(error, 'tf2onnx')}; install it with: pip install 'ocr-trt[tf]'"
        ) from None
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    # By default tf2onnx copies the whole graph before each of its optimizers, to recover from their
    # errors. The copies take most of its time, so the first attempt goes without them.
    for catch in ("FALSE", "TRUE"):
        with _stderr_to_null(), _environment(TF2ONNX_CATCH_ERRORS=catch):
            try:
                with recorded_failures() as failures, fixed_tf2onnx():
                    model = conversion(tf2onnx)
                check_failures(failures)
                return model
            except ConversionError:
                raise
            except Exception as error:  # tf2onnx raises anything
                failure = error
    raise ConversionError(f"{FAILED_EXPORT}{first_line(failure)}") from failure


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the length of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _renamed(model: onnx.ModelProto, input_name: str, output_name: str) -> onnx.ModelProto:
    """Rename the input and the output of a model to the names in its spec."""
    names = {model.graph.input[0].name: input_name, model.graph.output[0].name: output_name}
    rename(model.graph, names)
    model.graph.input[0].name, model.graph.output[0].name = input_name, output_name
    return model
