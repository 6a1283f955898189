"""Checks that every graph between two passes must satisfy."""

from __future__ import annotations

from collections import defaultdict

import onnx
import onnx_ir as ir

from ..common.error_text import cause
from ..common.onnx_shapes import check_model
from ..errors import ConversionError
from ..plugins.onnx_function import DOMAIN
from .graph import name_of, nodes_of
from .tf_ops.refused import reason_of
from .tf_ops.rules import RULES

_RANDOM = (
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Multinomial", "Bernoulli"),
)


_FLAGS = frozenset(
    {
        *(
            "keepdims",
            "noop_with_empty_axes",
            "allowzero",
            "largest",
            "sorted",
            "fmod",
            "exclusive",
        ),
        *("reverse", "select_last_index", "ceil_mode", "count_include_pad", "transA", "transB"),
        *("align_corners", "antialias", "exclude_outside", "training_mode", "upper", "inverse"),
    }
)
"""Attributes that are 0 or 1. Libraries disagree about other numbers: some compare with 1, others
with 0."""


def unknown_ops(model: ir.Model) -> dict[str, list[str]]:
    """Return the ops that neither ONNX nor the model's own functions define: op -> node names."""
    opset = model.graph.opset_imports.get("", 1)
    own = {(function.domain, function.name) for function in model.functions.values()}
    found: dict[str, list[str]] = defaultdict(list)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):  # bodies of loops too
        # "ai.onnx" is the other spelling of ONNX's own domain.
        standard = node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, opset, "")
        if not standard and (node.domain, node.op_type) not in own:
            label = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            found[label].append(node.name or node.outputs[0].name or "?")
    return dict(found)


def check_ops(model: ir.Model) -> None:
    """Refuse a graph with ops that no target supports, that draw random numbers, or with odd flags.

    Raises:
        ConversionError: lists each op, and the TensorFlow nodes it comes from.
    """
    random = [node.name or name_of(node.outputs[0]) for node in nodes_of(model, *_RANDOM)]
    if random:
        raise ConversionError(
            f"these ops draw random numbers: {', '.join(random[:5])}. An engine must return the "
            "same result for the same image; export the model for inference, without them"
        )
    _check_flags(model)
    unknown = unknown_ops(model)
    left = [op for op in sorted(unknown) if op in RULES or op.startswith("TFL_")]
    if left:  # the export of a TensorFlow model contains none of them
        raise ConversionError(
            f"the ONNX file contains TensorFlow ops: {', '.join(left)}, at {unknown[left[0]][0]}. "
            "The tool that wrote the file did not convert them. Give ocr-trt the TensorFlow or "
            "TFLite model instead of the ONNX file"
        )
    if unknown:
        listed = "; ".join(
            f"{op} at {', '.join(names[:3])}"
            + (f" ({reason})" if (reason := reason_of(op)) else "")
            for op, names in sorted(unknown.items())
        )
        raise ConversionError(
            f"these ops have no ONNX equivalent and no rule rewrites them: {listed}. Rewrite the "
            "layers with other ops, or end the model before them (output.name in the spec)"
        )


def _check_flags(model: ir.Model) -> None:
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for name in _FLAGS.intersection(node.attributes):
            item = node.attributes[name]
            if item.type == ir.AttributeType.INT and item.value not in (0, 1):
                where = f"{node.op_type} at {node.name or node.outputs[0].name}"
                raise ConversionError(
                    f"the attribute {name} of {where} is {item.value}, expected 0 or 1; correct "
                    "the model"
                )


def check_export(model: ir.Model) -> None:
    """Check the first graph whose types and shapes must be right; a violation is not our bug.

    Raises:
        ConversionError: the exporter wrote an invalid graph, or as for :func:`check_graph`.
    """
    try:
        check_graph(model, "the export")
    except AssertionError as error:
        raise ConversionError(
            f"the ONNX graph that was exported from the model is not valid: {cause(str(error))}. "
            "Write the layer at this node in another way, or end the model before it (output.name "
            "in the spec)"
        ) from error


def check_graph(model: ir.Model, stage: str) -> None:
    """Check names, order, types and shapes after a pass; a violation is a bug in that pass.

    Raises:
        ConversionError: an output is a constant, or the input itself.
        AssertionError: the graph is invalid; ``stage`` names the pass.
    """
    for value in model.graph.outputs:
        if value.producer() is None:
            raise ConversionError(
                f"the output {value.name} does not depend on the input; choose another output "
                "(output.name in the spec)"
            )
    domains = {node.domain for node in model.graph} - {"", "ai.onnx", DOMAIN}
    assert not domains, f"after {stage}: foreign domains {domains}"
    try:
        # It serializes the graph without the values of weights, so large models are no problem.
        check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise AssertionError(f"after {stage}: not a valid graph: {error}") from error
