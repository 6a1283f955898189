"""The rules of all modules, in the form in which tf2onnx accepts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import (
    arithmetic,
    colors,
    complex_numbers,
    crops,
    deconvolutions,
    indexing,
    matrices,
    patches,
    resizes,
    segments,
    slices,
)
from .complex_numbers import COMPLEX_RULES, ComplexRule, Pair, Pairs
from .emitter import Emitter, RefusalError, Rule, Tensor, UnknownError
from .fourier import FOURIER_RULES
from .refused import NAMED_LIKE_ONNX, reason_of

_MODULES = (
    arithmetic, colors, complex_numbers, crops, deconvolutions, indexing, matrices, patches,
    resizes, segments, slices,
)  # fmt: skip
RULES: dict[str, Rule] = {op: rule for module in _MODULES for op, rule in module.RULES.items()}
"""TensorFlow op -> its rule, for real numbers."""

_COMPLEX: dict[str, ComplexRule] = {**COMPLEX_RULES, **FOURIER_RULES}

OPSET = 18
"""The opset that the rules write: the newest that tf2onnx writes."""


def modules_of_rules() -> dict[str, tuple[str, ...]]:
    """Return the names of the modules that write an op, by op; the document lists them."""
    found: dict[str, tuple[str, ...]] = {}
    for module in _MODULES:
        for op in module.RULES:
            found[op] = (module.__name__.rpartition(".")[2],)
    for name, rules in (("complex_numbers", COMPLEX_RULES), ("fourier", FOURIER_RULES)):
        for op in rules:
            found[op] = (*found.get(op, ()), name)
    return found


Convert = Callable[[Any, Any], None]
"""Converts a node of a graph, both of tf2onnx."""


def handlers() -> dict[str, Any]:
    """Return the rules as ``custom_op_handlers`` of tf2onnx, for one export."""
    from tf2onnx import tfonnx  # noqa: F401 - registers tf2onnx's own handlers
    from tf2onnx.handler import tf_op

    own, pairs = tf_op.create_mapping(OPSET, None), Pairs()
    found: dict[str, Any] = {}
    for op in NAMED_LIKE_ONNX:
        found[op] = (_handler(_real(op, _refuse, None)), [])
    for op in dict.fromkeys((*RULES, *_COMPLEX)):
        convert = _real(op, RULES.get(op), own.get(op))
        if op in _COMPLEX:
            convert = _complex(_COMPLEX[op], pairs, convert)
        found[op] = (_handler(convert), [])
    return found


def _refuse(e: Emitter) -> Tensor:
    raise RefusalError(str(reason_of(e.node.type)))


def _handler(convert: Convert) -> Any:
    def handler(graph: Any, node: Any, name: str, arguments: Any) -> None:
        convert(graph, node)

    return handler


def _real(op: str, rule: Rule | None, own: Any) -> Convert:
    """Apply a rule, or else tf2onnx's handler: ``own`` is the function and its settings."""

    def convert(graph: Any, node: Any) -> None:
        results = None
        if rule is not None:
            try:
                results = rule(Emitter(graph, node, convert))
            except UnknownError:
                if own is None:
                    raise
        if results is not None:
            emit = Emitter(graph, node, convert)
            emit.finish([results] if isinstance(results, Tensor) else results)
        elif own is not None:
            function, settings = own
            if onnx_op := settings.get("onnx_op"):
                node.type = onnx_op  # what tf2onnx does before it calls a handler
                settings["tf_op"] = op
            function(graph, node, **settings, initialized_tables={}, dequantize=False)

    return convert


def _complex(rule: ComplexRule, pairs: Pairs, real: Convert) -> Convert:
    """Apply a rule to nodes with a complex input or result, and ``real`` to all others."""

    def convert(graph: Any, node: Any) -> None:
        emit = Emitter(graph, node, real)
        if not any(emit.is_complex(name) for name in (*node.input, *node.output)) and not any(
            name in pairs for name in node.input
        ):
            real(graph, node)
            return
        result = rule(emit, pairs)
        if isinstance(result, Pair):
            # The node stays in the graph for its name, type and shape; nothing reads it at the end.
            pairs.add(node.output[0], result)
        else:
            emit.finish([result])

    return convert
