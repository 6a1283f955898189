"""Model-local functions, which define an op of the domain ``ocr_trt`` inside the model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

DOMAIN = "ocr_trt"


def function_from_text(text: str) -> ir.Function:
    """Parse a function body in ONNX text syntax."""
    # Here, because every command that names a target imports this module.
    import onnx.parser
    import onnx_ir as ir

    return ir.serde.deserialize_function(onnx.parser.parse_function(text))


def add_function(model: ir.Model, text: str) -> None:
    """Add a function body to the model, unless the model has it."""
    function = function_from_text(text)
    model.functions.setdefault(function.identifier(), function)
    model.graph.opset_imports.setdefault(function.domain, 1)
