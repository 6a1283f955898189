"""Model-local functions: how an op of the domain ``ocr_trt`` carries its own meaning."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir

DOMAIN = "ocr_trt"


def function_from_text(text: str) -> ir.Function:
    """Parse a function body written in ONNX text syntax."""
    return ir.serde.deserialize_function(onnx.parser.parse_function(text))


def add_function(model: ir.Model, text: str) -> None:
    """Add the function to the model, unless it is there already."""
    function = function_from_text(text)
    model.functions.setdefault(function.identifier(), function)
    model.graph.opset_imports.setdefault(function.domain, 1)
