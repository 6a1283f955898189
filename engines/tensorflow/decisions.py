"""Read the inputs of all ops of a TensorFlow model at which its result can jump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.sources.freeze import freeze

Array = npt.NDArray[np.float32]

DISCONTINUOUS = frozenset(
    {
        *("MaxPoolWithArgmax", "ArgMax", "ArgMin", "TopKV2", "Round", "Rint", "Floor", "Ceil"),
        *("Sign", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"),
        *("FloorMod", "FloorDiv", "Unique", "NonMaxSuppressionV3"),
    }
)
"""TensorFlow ops that turn a rounding error into another result: docs/decisions/0008."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """One run of a model."""

    inputs: dict[str, Array]
    """Float inputs of its discontinuous ops, by the name of the tensor in TensorFlow."""
    output: npt.NDArray
    """The model's output in the same run, in the model's own layout."""


def _inputs(graph: Any) -> list[str]:
    """Return the names of all float tensors that discontinuous ops read."""
    from tensorflow import dtypes

    names = [
        name if ":" in name else f"{name}:0"
        for node in graph.node
        if node.op in DISCONTINUOUS and node.attr["T"].type == dtypes.float32.as_datatype_enum
        for name in node.input
        if not name.startswith("^")
    ]
    constants = {f"{node.name}:0" for node in graph.node if node.op == "Const"}
    return [name for name in dict.fromkeys(names) if name not in constants]


def decisions(function: Any, image: Any) -> Decisions | None:
    """Run a function on an image; None if it has no discontinuous op outside of loops.

    Args:
        function: a ``tf.function`` of one tensor.
        image: the tensor.
    """
    import tensorflow as tf

    traced = function.get_concrete_function(tf.TensorSpec(image.shape, image.dtype))
    frozen = freeze(traced, whole=True)
    names = _inputs(frozen.graph)
    if not names:
        return None
    (entry,), (result,) = frozen.inputs, frozen.outputs

    def run(x: Any) -> Any:
        ends = [*names, result]
        return tf.graph_util.import_graph_def(frozen.graph, {entry: x}, ends, name="")

    # One run for all of them: in another run, TensorFlow may fuse other ops and round differently.
    *inputs, output = tf.function(run)(image)
    arrays = {name: np.asarray(array) for name, array in zip(names, inputs, strict=True)}
    return Decisions(inputs=arrays, output=np.asarray(output))
