"""Checks that a graph runs at the batch size that it was traced at."""

from __future__ import annotations

import re
from threading import Timer
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from ..common.error_text import cause
from ..common.onnx_session import onnx_session
from ..errors import BatchError, ConversionError
from .graph import name_of, shape_of
from .passes.settle_loop_types import settle_loop_types
from .sources.failing_layer import failing_node
from .sources.tf_graph import FAILED_EXPORT

_SECONDS = 30
"""Time limit of a run, which takes milliseconds unless a loop has no end."""


def check_batch(model: ir.Model) -> None:
    """Run a graph once, on zeros, after the types of its loops are settled.

    Raises:
        BatchError: it does not run, such as with a Reshape that contains another batch size.
    """
    value = model.graph.inputs[0]
    shape = shape_of(value)
    settle_loop_types(model)  # onnxruntime does not load loops as tf2onnx writes them
    try:
        feeds = {name_of(value): np.zeros(shape, np.float32)}
        _run_within(onnx_session(ir.to_proto(model), optimize=False), feeds)
    except Exception as error:  # onnxruntime has no common base class
        place = re.search(r"running (\w+) node\. Name:'([^']*)'", str(error))
        why = f"it fails at {place[1]} {place[2]!r}" if place else cause(str(error))
        raise BatchError(f"the model does not run at batch size {shape[0]}: {why}") from error


def _run_within(session: Any, feeds: dict[str, Any]) -> None:
    """Run a session, which must end by itself: the condition of a loop may stay true forever."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    # Python cannot interrupt native code; onnxruntime reads this flag before each node.
    timer = Timer(_SECONDS, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        session.run(None, feeds, options)
    except Exception as error:  # onnxruntime has no common base class
        if options.terminate:
            raise TimeoutError(f"it does not end within {_SECONDS} seconds") from error
        raise
    finally:
        timer.cancel()


def trace_error(error: ConversionError, batch: int) -> BatchError:
    """Return the error about a model that cannot be exported at a batch size other than its own.

    TensorFlow's text about shapes is replaced by the name of the node where it stops.
    """
    node = failing_node(error.__cause__ or error) or failing_node(error)
    why = f"it fails at {node}" if node else str(error).removeprefix(FAILED_EXPORT)
    return BatchError(f"the model does not run at batch size {batch}: {why}")


def own_batch_only(error: BatchError, own: int) -> str:
    """Return why a graph runs each image in a batch of copies.

    ``error``: why it cannot run one image alone. ``own``: the batch size in the model.
    """
    place = re.search(r"it fails at (.*)", str(error))
    where = f" ({place[0]} with another number)" if place else ""
    return (
        f"the model accepts batches of {own} images only{where}; each image runs in a batch of "
        f"{own} copies"
    )


def check_one_image(model: onnx.ModelProto) -> None:
    """Check that a graph for one image has one result at the first axis of its output.

    Raises:
        BatchError: it has more.
    """
    output = model.graph.output[0]
    sizes = [axis.dim_value for axis in output.type.tensor_type.shape.dim]
    if sizes and sizes[0] > 1:  # 0: not known
        raise BatchError(
            f"the output {output.name} has the shape {sizes} for one image, expected 1 at its "
            "first axis; if that is time, set output.layout: TNC in the spec"
        )
