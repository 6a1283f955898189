"""Rules that undo each other end in an error that names them."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from ocr_trt.convert.fixpoint import RewriteBudget
from ocr_trt.convert.passes import raise_dense as dense
from ocr_trt.convert.passes.raise_dense import raise_dense
from ocr_trt.errors import ConversionError

from . import helpers

GRAPH = """
agraph (float[2, 3] x) => (float[2, 3] y) {
    kept = Neg(x)
    swapped = Relu(kept)
    y = Neg(swapped)
}
"""


def _to_abs(graph: ir.Graph, node: ir.Node) -> bool:
    node.op_type = "Abs"
    return True


def _to_relu(graph: ir.Graph, node: ir.Node) -> bool:
    node.op_type = "Relu"
    return True


def test_rules_that_undo_each_other_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_REWRITES", {"Relu": (_to_abs,), "Abs": (_to_relu,)})
    with pytest.raises(ConversionError) as caught:
        raise_dense(helpers.graph(GRAPH))
    text = str(caught.value)
    for fact in ("raise_dense", "_to_abs (6 of", "_to_relu (6 of", "swapped"):
        assert fact in text


def test_budget_grows_with_the_graph() -> None:
    small, large = helpers.graph(GRAPH).graph, helpers.graph(GRAPH).graph
    for _ in range(50):
        large.append(ir.node("Neg", [large.inputs[0]]))
    limits = []
    for graph in (small, large):
        budget = RewriteBudget("a pass", graph)
        with pytest.raises(ConversionError, match="a pass"):
            while True:
                budget.spend("a rule", "a node")
        limits.append(budget.spent)
    assert limits[0] < limits[1]
