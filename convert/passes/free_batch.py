"""A graph made at batch size B -> the same graph for any batch size N.

    Reshape(x, [k B, ...])  ->  Reshape(x, [-1, ...])      x's elements stay batch-major

A constant of B equal slices where the batch axis is becomes one slice. The result is proven by
running it: at batch 1 and 3 it must give, picture by picture, what the fixed graph gives.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from ..graph import constant, name_of, new_initializer, shape_of, static_shape
from ..outcome import Outcome, Skip
from ..regions import evaluate

_TOLERANCE = 1e-4


def _free_reshapes(model: ir.Model, batch: int) -> Skip | None:
    for node in model.graph:
        if node.op_type != "Reshape":
            continue
        result = node.outputs[0]
        shape = static_shape(result)
        if not shape or shape[0] % batch:
            return Skip(value=name_of(result), reason=f"it is reshaped to {result.shape}")
        free = np.array([-1, *shape[1:]], np.int64)
        node.replace_input_with(1, new_initializer(model.graph, free, "shape"))
    return None


def _free_constants(model: ir.Model, batch: int) -> None:
    for node in model.graph:
        rank = max((len(v.shape) for v in node.outputs if v.shape is not None), default=0)
        for index, value in enumerate(node.inputs):
            array = constant(value)
            if node.op_type not in ("Add", "Sub", "Mul", "Div", "Where") or array is None:
                continue
            if array.ndim == rank and array.shape[0] == batch and (array == array[:1]).all():
                node.replace_input_with(
                    index, new_initializer(model.graph, array[:1], name_of(value))
                )


def _free_shape(value: ir.Value, batch: int) -> None:
    """Let a shape that begins with a multiple k of the batch begin with "N" or "kN"."""
    shape = static_shape(value)
    if shape and shape[0] % batch == 0:
        factor = shape[0] // batch
        value.shape = ir.Shape(["N" if factor == 1 else f"{factor}N", *shape[1:]])


def _agree(fixed: onnx.ModelProto, free: onnx.ModelProto, batch: int) -> bool:
    entry = fixed.graph.input[0]
    shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    for size in (1, 3):
        pictures = rng.uniform(-1, 1, (size, *shape[1:])).astype(np.float32)
        got = evaluate(free, {entry.name: pictures})
        for number, picture in enumerate(pictures):
            expected = evaluate(fixed, {entry.name: np.repeat(picture[None], batch, 0)})
            if got is None or expected is None or got.shape[0] != size:
                return False
            if not np.allclose(got[number], expected[0], rtol=_TOLERANCE, atol=_TOLERANCE):
                return False
    return True


def free_batch(model: ir.Model) -> Outcome:
    """Free the batch axis in place, or leave the model as it is and say why."""
    (image,), (result,) = model.graph.inputs, model.graph.outputs
    batch = shape_of(image)[0]
    fixed = ir.to_proto(model)
    skip = _free_reshapes(model, batch)
    if skip is None:
        _free_constants(model, batch)
        for value in [image, *(v for node in model.graph for v in node.outputs)]:
            _free_shape(value, batch)
        if _agree(fixed, ir.to_proto(model), batch):
            return Outcome(changed=1)
        skip = Skip(
            value=name_of(result), reason="batch 1 and 3 do not give what the fixed batch gives"
        )
    _restore(model, fixed)
    return Outcome(changed=0, skipped=(skip,))


def _restore(model: ir.Model, proto: onnx.ModelProto) -> None:
    model.graph = ir.from_proto(proto).graph
