"""How TensorRT treats Q/DQ pairs, as ``inspect QUANTIZED.onnx`` reports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.calibration.lint import is_quantized, lint, prepared

RNG = np.random.default_rng(4)
CONV = RNG.integers(-127, 128, (16, 16, 3, 3)).astype(np.int8)
DENSE = RNG.integers(-127, 128, (16, 16)).astype(np.int8)
STEPS = RNG.uniform(0.001, 0.002, 16).astype(np.float32)
S, Z = np.float32(0.02), np.int8(0)
CHANNELS = np.zeros(16, np.int8)
IMAGE = "(float[1,16,8,8] x) => (float[1,16,8,8] y)"
TOKENS = "(float[1,8,16] x) => (float[1,8,16] y)"
PAIR = "q = QuantizeLinear({0}, s, z) d = DequantizeLinear(q, s, z)"
WEIGHT = "w = DequantizeLinear <axis = 0> (w8, ws, wz)"
CONVOLUTION = f"{WEIGHT} y = Conv <pads = [1, 1, 1, 1]> (d, w)"

USUAL: dict[str, Any] = {"s": S, "z": Z, "w8": CONV, "ws": STEPS, "wz": CHANNELS}
PRODUCT: dict[str, Any] = {**USUAL, "w8": DENSE}


def model(text: str, opset: int = 20, **weights: Any) -> onnx.ModelProto:
    head = f'<ir_version: 10, opset_import: ["" : {opset}]> agraph '
    proto = onnx.parser.parse_model(head + text)
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in weights.items()
        if name in used
    )
    return proto


def results_of(proto: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    """By op type: what it runs in, and why."""
    found = lint(prepared(ir.from_proto(proto)))
    return {each.op_type: (each.runs, each.reason) for each in found}


def pair(of: str) -> str:
    return PAIR.format(of)


INT8 = [
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", USUAL, "Conv", "straight before"),
    (f"{IMAGE} {{ r = Relu(x) {pair('r')} {CONVOLUTION} }}", USUAL, "Conv", "after activation"),
    (f"{IMAGE} {{ {pair('x')} {WEIGHT} t = Transpose <perm = [0,1,3,2]> (d) "
     "y = Conv <pads = [1, 1, 1, 1]> (t, w) }", USUAL, "Conv", "pairs pass a Transpose"),
    (f"{IMAGE} {{ {pair('x')} w = DequantizeLinear(w8, s, z) "
     "y = Conv <pads = [1, 1, 1, 1]> (d, w) }", USUAL, "Conv", "one scale for all weights"),
    (f"{IMAGE} {{ {pair('x')} wq = QuantizeLinear <axis = 0> (wf, ws, wz) "
     "w = DequantizeLinear <axis = 0> (wq, ws, wz) y = Conv <pads = [1, 1, 1, 1]> (d, w) }",
     {**USUAL, "wf": CONV.astype(np.float32) * 0.001}, "Conv", "Q and DQ of float weights"),
    (f"{TOKENS} {{ {pair('x')} w = DequantizeLinear <axis = 1> (w8, ws, wz) y = MatMul(d, w) }}",
     PRODUCT, "MatMul", "a scale per output"),
    ("(float[1,8,8,8] x) => (float[1,16,8,8] y) { a = Relu(x) b = Neg(x) "
     "qa = QuantizeLinear(a, s, z) da = DequantizeLinear(qa, s, z) "
     "qb = QuantizeLinear(b, s, z) db = DequantizeLinear(qb, s, z) "
     f"d = Concat <axis = 1> (da, db) {CONVOLUTION} }}", USUAL, "Conv", "equal scales in a Concat"),
]  # fmt: skip
FLOAT = [
    (f"{IMAGE} {{ {WEIGHT} y = Conv <pads = [1, 1, 1, 1]> (x, w) }}", USUAL, "Conv",
     "only its weights are quantized"),
    (f"{IMAGE} {{ {pair('x')} y = Conv <pads = [1, 1, 1, 1]> (d, wf) }}",
     {**USUAL, "wf": np.ones((16, 16, 3, 3), np.float32)}, "Conv", "only its input is quantized"),
    (f"{IMAGE} {{ {pair('x')} {WEIGHT} r = Relu(d) y = Conv <pads = [1, 1, 1, 1]> (r, w) }}",
     USUAL, "Conv", "put the pair after the Relu"),
    ("(float[1,16,4,4] x) => (float[1,16,8,8] y) { " + pair("x") + f" {WEIGHT} "
     "u = Resize(d, , sizes) y = Conv <pads = [1, 1, 1, 1]> (u, w) }",
     {**USUAL, "sizes": np.array([1, 1, 2, 2], np.float32)}, "Conv",
     "put the pair after the Resize"),
    (f"{IMAGE} {{ {pair('x')} w = DequantizeLinear <axis = 1> (w8, ws, wz) "
     "y = Conv <pads = [1, 1, 1, 1]> (d, w) }", USUAL, "Conv", "per entry of axis 1"),
    (f"{TOKENS} {{ {pair('x')} w = DequantizeLinear <axis = 0> (w8, ws, wz) y = MatMul(d, w) }}",
     PRODUCT, "MatMul", "per entry of axis 0"),
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", {**USUAL, "s": S[None], "z": Z[None]}, "Conv",
     "scale of its input has shape [1]"),
    (f"{IMAGE} {{ q = QuantizeLinear <axis = 1> (x, ws, wz) "
     f"d = DequantizeLinear <axis = 1> (q, ws, wz) {CONVOLUTION} }}", USUAL, "Conv",
     "a scale per channel"),
    ("(float[1,16,8,8] x) => (float[1,16,17,17] y) { " + pair("x") + f" {WEIGHT} "
     "y = ConvTranspose <strides = [2, 2]> (d, w) }", USUAL, "ConvTranspose",
     "no int8 deconvolution; Q/DQ pairs around it"),
    ("(float[1,8,8,8] x) => (float[1,16,8,8] y) { a = Relu(x) b = Neg(x) "
     "qa = QuantizeLinear(a, s, z) da = DequantizeLinear(qa, s, z) "
     "qb = QuantizeLinear(b, s2, z) db = DequantizeLinear(qb, s2, z) "
     f"d = Concat <axis = 1> (da, db) {CONVOLUTION} }}", {**USUAL, "s2": np.float32(0.03)}, "Conv",
     "different scales; put one Q/DQ pair after it"),
    ("(float[1,8,8,8] x) => (float[1,16,8,8] y) { a = Relu(x) b = Neg(x) "
     "qa = QuantizeLinear(a, s, z) da = DequantizeLinear(qa, s, z) "
     f"d = Concat <axis = 1> (da, b) {CONVOLUTION} }}", USUAL, "Conv", "only some inputs"),
]  # fmt: skip
REFUSED = [
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", {**USUAL, "z": np.int8(3)}, "QuantizeLinear",
     "its zero point is 3", 20),
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", {**USUAL, "s": np.float32(0)}, "QuantizeLinear",
     "not above 0", 20),
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}",
     {**USUAL, "ws": np.where(np.arange(16) == 3, 0, STEPS).astype(np.float32)},
     "DequantizeLinear", "not above 0", 20),
    (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", {**USUAL, "ws": STEPS[:8], "wz": CHANNELS[:8]},
     "DequantizeLinear", "8 scales for axis 0, which has 16", 20),
    (f"{IMAGE} {{ {pair('x')} {WEIGHT} b = DequantizeLinear(b32, s) "
     "y = Conv <pads = [1, 1, 1, 1]> (d, w, b) }", {**USUAL, "b32": np.arange(16, dtype=np.int32)},
     "DequantizeLinear", "dequantizes int32", 20),
    (f"{IMAGE} {{ q = QuantizeLinear(x, s, z) "
     "c = QLinearConv <pads = [1, 1, 1, 1]> (q, s, z, w8, s, z, s, z) "
     "y = DequantizeLinear(c, s, z) }", USUAL, "QLinearConv", "TensorRT has no QLinearConv", 20),
]  # fmt: skip


@pytest.mark.parametrize(("text", "weights", "op", "why"), INT8, ids=[row[3] for row in INT8])
def test_runs_in_int8(text: str, weights: dict, op: str, why: str) -> None:
    assert results_of(model(text, **weights)) == {op: ("int8", "")}


def all_but_first_in_full(rows: list[tuple]) -> list:
    """The builder is started for one row in `make test`, and for all rows in `make test-all`."""
    return [
        pytest.param(*row, id=row[3], marks=pytest.mark.full if index else ())
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("text", "weights", "op", "why"), FLOAT, ids=[row[3] for row in FLOAT])
def test_runs_in_float(text: str, weights: dict, op: str, why: str) -> None:
    runs, reason = results_of(model(text, **weights))[op]
    assert runs == "float"
    assert why in reason


@pytest.mark.parametrize(("text", "weights", "op", "why"), all_but_first_in_full(FLOAT))
def test_builder_accepts_without_a_warning(
    text: str, weights: dict, op: str, why: str, tmp_path: Path
) -> None:
    assert builds(model(text, **weights), tmp_path) is None, "which is why lint has to report it"


@pytest.mark.parametrize(("text", "weights", "op", "why", "opset"), REFUSED,
                         ids=[row[3] for row in REFUSED])  # fmt: skip
def test_is_refused(text: str, weights: dict, op: str, why: str, opset: int) -> None:
    runs, reason = results_of(model(text, opset, **weights))[op]
    assert runs == "refused"
    assert why in reason


@pytest.mark.parametrize(("text", "weights", "op", "why", "opset"), all_but_first_in_full(REFUSED))
def test_builder_refuses_what_lint_refuses(
    text: str, weights: dict, op: str, why: str, opset: int, tmp_path: Path
) -> None:
    assert builds(model(text, opset, **weights), tmp_path)


def builds(proto: onnx.ModelProto, folder: Path) -> str | None:
    """Return what the builder says against a graph, or None."""
    pytest.importorskip("tensorrt_rtx")
    from ocr_trt.engines.base import BuildSettings
    from ocr_trt.engines.targets import backend
    from ocr_trt.errors import EngineBuildError

    settings = BuildSettings(options={"compute-capability": "8.9"})
    try:
        backend("tensorrt-rtx").build(proto, folder / "plan", settings)
    except EngineBuildError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "weights", "why"),
    [
        (f"{IMAGE} {{ q = QuantizeLinear(x, s) d = DequantizeLinear(q, s) {CONVOLUTION} }}",
         USUAL, "no zero point, so its type is uint8 in ONNX but int8 in TensorRT"),
        (f"{IMAGE} {{ {pair('x')} {CONVOLUTION} }}", {**USUAL, "z": np.uint8(0)},
         "uint8 (0 to 255), but TensorRT uses int8"),
    ],
)  # fmt: skip
def test_what_tensorrt_interprets_otherwise_is_reported(text: str, weights: dict, why: str) -> None:
    runs, reason = results_of(model(text, **weights))["QuantizeLinear"]
    assert runs == "differs"
    assert why in reason


def test_scale_from_data_is_refused_before_it_kills_the_builder() -> None:
    text = f"{IMAGE} {{ m = ReduceMax <keepdims = 0> (x) {PAIR.format('x')} {CONVOLUTION} }}"
    proto = model(text.replace("s, z", "m, z"), **USUAL)
    runs, reason = results_of(proto)["QuantizeLinear"]
    assert runs == "refused"
    assert "computed from data" in reason


def test_int8_attention_is_reported_to_end_the_fused_kernel() -> None:
    text = """(float[1,2,8,16] x) => (float[1,2,8,8] y) { a = Relu(x)
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        t = Transpose <perm = [0, 1, 3, 2]> (a)
        r = QuantizeLinear(t, s, z) e = DequantizeLinear(r, s, z) y = MatMul(d, e) }"""
    runs, reason = results_of(model(text, **USUAL))["MatMul"]
    assert runs == "int8"
    assert "fused attention kernel" in reason


def test_weights_with_a_list_of_one_scale_are_reported() -> None:
    weights = {**USUAL, "ws": STEPS[:1], "wz": CHANNELS[:1]}
    runs, reason = results_of(model(INT8[0][0], **weights))["Conv"]
    assert runs == "int8"
    assert "has shape [1]" in reason


def test_float_graphs_are_not_quantized() -> None:
    assert not is_quantized(ir.from_proto(model(f"{IMAGE} {{ y = Relu(x) }}")))
    assert is_quantized(ir.from_proto(model(INT8[0][0], **INT8[0][1])))
