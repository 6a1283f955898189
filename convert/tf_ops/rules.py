"""The rules of all modules, in the form in which tf2onnx accepts them."""

from __future__ import annotations

from typing import Any

from . import arithmetic, resizes
from .emitter import Emitter, Rule, Tensor

RULES: dict[str, Rule] = {**arithmetic.RULES, **resizes.RULES}
"""TensorFlow op -> its rule."""

OPSET = 18
"""The opset that the rules write: the newest that tf2onnx writes."""


def handlers() -> dict[str, Any]:
    """Return the rules as ``custom_op_handlers`` of tf2onnx."""
    from tf2onnx.handler import tf_op

    own = tf_op.create_mapping(OPSET, None)
    return {op: (_handler(op, rule, own.get(op)), []) for op, rule in RULES.items()}


def _handler(op: str, rule: Rule, own: Any) -> Any:
    """Return tf2onnx's form of a rule; ``own`` is tf2onnx's handler and its settings, or None."""

    def convert(graph: Any, node: Any, name: str, arguments: Any) -> None:
        emit = Emitter(graph, node)
        results = rule(emit)
        if results is not None:
            emit.finish([results] if isinstance(results, Tensor) else results)
        elif own is not None:
            function, settings = own
            if onnx_op := settings.get("onnx_op"):
                node.type = onnx_op  # what tf2onnx does before it calls a handler
                settings["tf_op"] = op
            function(graph, node, **settings, initialized_tables={}, dequantize=False)

    return convert
