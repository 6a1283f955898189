"""Graphs that real runtimes refuse: the error names the node, the layer and the cause."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from ocr_trt.common.error_text import cause
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.refusal import refusal_text, refused_nodes
from ocr_trt.engines.targets import backend
from ocr_trt.errors import EngineBuildError

FULL = pytest.mark.full  # each starts two child processes

HEAD = '<ir_version: 9, opset_import: ["" : 20, "mine" : 1]>'

UNKNOWN_OP = f"""{HEAD} g (float[1,3,16,16] image) => (float[1,3,16,16] map) {{
    [net__relu] a = Relu (image)  [net__warp] b = mine.Warp (a)  [last] map = Relu (b) }}"""
DETERMINANT = f"""{HEAD} g (float[1,3,16,16] image) => (float[1,3] map) {{
    [net__relu] a = Relu (image)  [volume] d = Det (a)  [net__score] map = Relu (d) }}"""
BAD_PRODUCT = f"""{HEAD} g (float[1,3,16,16] image) => (float[1,3,16,9] map) {{
    s = Constant <value_ints = [1,3,8,32]> ()
    [net__fold] r = Reshape (image, s)  [net__dot] map = MatMul (image, r) }}"""
IN_A_LOOP = f"""{HEAD} g (float[1,3,16,16] image) => (float[1,3,16,16] map) {{
    n = Constant <value_int = 2> ()  c = Constant <value = bool {{1}}> ()
    [net__loop] map = Loop (n, c, image) <body = b (int64 i, bool k, float[1,3,16,16] x)
        => (bool o, float[1,3,16,16] y) {{ o = Identity (k)  d = Det (x)
        s = Constant <value_ints = [1,3,1,1]> () e = Reshape (d, s) y = Add (x, e) }}> }}"""
TWO_RESULTS = f"""{HEAD} g (float[1,3,16,16] image) => (float[1,3,8,8] map) {{
    [net__pool] p, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (image)
    f = Cast <to = 1> (i)  map = Add (p, f) }}"""
UNIQUE = f"""{HEAD} g (float[1,3,16,16] image) => (float[n] map) {{
    [net__unique] u = Unique <sorted = 1> (image)  map = Relu (u) }}"""


def parsed(text: str) -> onnx.ModelProto:
    """Parse a graph; "__" in the name of a node stands for the slash of TensorFlow's scopes."""
    model = onnx.parser.parse_model(text)
    for node in model.graph.node:
        node.name = node.name.replace("__", "/")
    return model


@pytest.mark.parametrize(
    ("target", "text", "facts"),
    [
        ("openvino", UNKNOWN_OP, ("Warp net/warp", "it has no op mine.Warp")),
        ("openvino", DETERMINANT, ("Det volume (in the model at net/score)", "no op Det")),
        ("openvino", BAD_PRODUCT, ("MatMul net/dot", "Incompatible MatMul matrix dimension")),
        ("openvino", IN_A_LOOP, ("Loop net/loop", "no op Det")),
        ("tensorrt-rtx", UNKNOWN_OP, ("Warp net/warp", "it has no such op")),
        pytest.param(
            "tensorrt-rtx",
            DETERMINANT,
            ("Det volume (in the model at net/score)", "no such op"),
            marks=FULL,
        ),
        ("tensorrt-rtx", BAD_PRODUCT, ("MatMul net/dot", "16", "8", "must match")),
        pytest.param("tensorrt-rtx", TWO_RESULTS, ("MaxPool net/pool", "1 outputs"), marks=FULL),
        pytest.param("tensorrt-rtx", UNIQUE, ("Unique net/unique", "no such op"), marks=FULL),
    ],
)
def test_build_names_the_refused_node(
    target: str, text: str, facts: tuple[str, ...], tmp_path: Path
) -> None:
    built = backend(target)
    if not built.availability().can_build:
        pytest.skip(f"{target} is not installed")
    with pytest.raises(EngineBuildError) as refused:
        built.build(parsed(text), tmp_path / f"plan{built.suffix}", BuildSettings())
    message = str(refused.value)
    for fact in (*facts, target, "output.name"):
        assert fact in message
    assert "\n" not in message
    assert len(message) < 600
    assert refused.value.__cause__ is not None, "-v prints it"


@pytest.mark.parametrize("text", [UNKNOWN_OP, BAD_PRODUCT])
def test_onnxruntime_names_the_refused_node(text: str) -> None:
    ((node, why),) = backend("onnxruntime").refusals(parsed(text)).items()
    assert node in ("net/warp", "net/dot")
    assert "no op mine:Warp" in why or "Incompatible dimensions" in why


def test_a_graph_refused_as_a_whole_has_no_node() -> None:
    model = parsed(DETERMINANT)

    def accepts(graph: onnx.ModelProto) -> None:
        if len(graph.graph.node) > 1:
            raise RuntimeError("Check 'x' failed at a.cpp:3:\ntoo many nodes in core.\n")

    refused = refused_nodes(model, accepts)
    assert refused == {"": "too many nodes in core"}
    assert "openvino refuses the graph: too many nodes" in refusal_text("openvino", model, refused)


def test_many_refused_nodes_are_counted() -> None:
    model = parsed(UNKNOWN_OP)
    text = refusal_text("openvino", model, {f"n{number}": "why" for number in range(5)})
    assert "n2: why; and 2 more" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it gives no reason"),
        ("false", "it has no such op, or not in this form"),
        (
            "In f at /_src/a.cpp:3\nIBuilder: Error Code 10: Internal Error (Could not find any "
            "implementation for node {ForeignNode[a...b]}. In optimize at /_src/b.cpp:9)",
            "it has no kernel for {ForeignNode[a...b]}",
        ),
        (
            "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for "
            "Det(11) node with name 'x'",
            "it has no CPU kernel for Det",
        ),
        ("[ONNXRuntimeError] : 1 : FAIL : out of ideas.", "out of ideas"),
        ('axis == 1 && "axis must be 1"', "axis must be 1"),
    ],
)
def test_causes_are_extracted(text: str, expected: str) -> None:
    assert cause(text) == expected
