from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.engines.lower_deconvolutions import lower_deconvolutions
from ocr_trt.engines.openvino.fake_quantize import lower_qdq_pairs
from ocr_trt.engines.targets import backend

CONCAT = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[1,3,16,16] x) => (float[1,8,16,16] y)
    <float s = {0.03}, int8 z = {0}>
    {
        a = Conv <pads = [1, 1, 1, 1]> (x, w0)
        b = Conv <pads = [1, 1, 1, 1]> (x, w1)
        ra = Relu(a)
        rb = Relu(b)
        c = Concat <axis = 1> (ra, rb)
        q = QuantizeLinear(c, s, z)
        d = DequantizeLinear(q, s, z)
        w = DequantizeLinear <axis = 0> (w2, ws, wz)
        y = Conv <pads = [1, 1, 1, 1]> (d, w)
    }
"""


def unet_corner(rng: np.random.Generator) -> onnx.ModelProto:
    """Two branches, a concat, an int8 convolution: where OpenVINO's importer loses the scale."""
    model = onnx.parser.parse_model(CONCAT)
    largest = backend("openvino").needs().style.largest_weight
    arrays = {
        "w0": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "w1": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "w2": rng.integers(-largest, largest + 1, (8, 16, 3, 3)).astype(np.int8),
        "ws": rng.uniform(0.001, 0.002, 8).astype(np.float32),
        "wz": np.zeros(8, np.int8),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    return model


def noise(reference: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - other) ** 2).sum()))


def test_openvino_computes_a_quantized_concat_correctly(
    rng: np.random.Generator,
) -> None:
    import openvino as ov

    model = unet_corner(rng)
    x = rng.standard_normal((1, 3, 16, 16)).astype(np.float32)
    reference = onnx_session(model).run(None, {"x": x})[0]
    core = ov.Core()
    lowered = core.read_model(lower_qdq_pairs(model).SerializeToString())
    result = core.compile_model(lowered, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([x])[0]
    assert noise(reference, result) > 60


def test_only_pairs_on_activations_are_lowered(rng: np.random.Generator) -> None:
    lowered = lower_qdq_pairs(unet_corner(rng))
    kinds = [node.op_type for node in lowered.graph.node]
    assert kinds.count("FakeQuantize") == 1
    assert kinds.count("DequantizeLinear") == 1, "that of the weights"
    assert "QuantizeLinear" not in kinds
    node = next(node for node in lowered.graph.node if node.op_type == "FakeQuantize")
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in lowered.graph.initializer}
    low, high = (float(arrays[name]) for name in node.input[1:3])
    assert (low, high) == (pytest.approx(-128 * 0.03), pytest.approx(127 * 0.03))


def deconvolution(
    rng: np.random.Generator,
    kernel: tuple[int, int],
    *,
    out: tuple[int, int],
    outputs: int = 7,
    **attributes: object,
) -> onnx.ModelProto:
    """ConvTranspose of x (N, 5, 6, 7) with a bias, and a Relu behind it."""
    groups = attributes.get("group", 1)
    arrays = {"w": rng.standard_normal((5, outputs, *kernel)), "b": rng.standard_normal(outputs)}
    if groups == 5:
        arrays = {"w": rng.standard_normal((5, 1, *kernel)), "b": rng.standard_normal(5)}
    value, make = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [make("ConvTranspose", ["x", "w", "b"], ["c"], **attributes), make("Relu", ["c"], ["y"])],
        "g",
        [value("x", 1, ["N", 5, 6, 7])],
        [value("y", 1, ["N", len(arrays["b"]), *out])],
        [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((2, 2), 2, (0, 0, 0, 0)),
        ((4, 4), 2, (1, 1, 1, 1)),
        ((3, 3), 2, (0, 0, 1, 1)),
        ((3, 3), 2, (1, 1, 0, 0)),
        ((3, 2), 2, (0, 0, 1, 0)),
        ((5, 5), 2, (1, 1, 2, 2)),
        ((3, 3), 3, (0, 0, 0, 0)),
        ((8, 8), 4, (2, 2, 2, 2)),
    ],
)
def test_deconvolution_becomes_a_convolution(
    kernel: tuple[int, int], stride: int, pads: tuple[int, ...], rng: np.random.Generator
) -> None:
    attributes = {"strides": [stride, stride], "pads": pads}
    model = deconvolution(rng, kernel, out=(6 * stride, 7 * stride), **attributes)
    lowered = lower_deconvolutions(model)
    onnx.checker.check_model(lowered, full_check=True)
    assert [n.op_type for n in lowered.graph.node] == ["Conv", "DepthToSpace", "Relu"]
    assert {tensor.name for tensor in lowered.graph.initializer}.isdisjoint({"w", "b"})
    x = rng.standard_normal((2, 5, 6, 7)).astype(np.float32)
    (theirs,), (ours,) = (onnx_session(m).run(None, {"x": x}) for m in (model, lowered))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "out", "attributes"),
    [
        ((3, 3), (13, 15), {"strides": [2, 2]}),
        ((2, 2), (12, 21), {"strides": [2, 3], "output_padding": [0, 1]}),
        ((3, 3), (12, 14), {"strides": [2, 2], "pads": [0, 0, 1, 1], "group": 5}),
        ((3, 3), (8, 9), {}),
        ((1, 1), (12, 14), {"strides": [2, 2], "output_padding": [1, 1]}),
        ((4, 4), (12, 14), {"strides": [2, 2], "output_shape": [12, 14]}),
    ],
    ids=["not a multiple", "two strides", "groups", "stride 1", "mostly zeros", "output_shape"],
)
def test_other_deconvolutions_are_unchanged(
    kernel: tuple[int, int],
    out: tuple[int, int],
    attributes: dict[str, object],
    rng: np.random.Generator,
) -> None:
    model = deconvolution(rng, kernel, out=out, **attributes)
    assert lower_deconvolutions(model) is model


@pytest.mark.parametrize(("outputs", "expected"), [(1, True), (2, True), (3, False)])
def test_openvino_lowers_deconvolutions_with_few_outputs(
    outputs: int, expected: bool, rng: np.random.Generator
) -> None:
    model = deconvolution(rng, (2, 2), out=(12, 14), outputs=outputs, strides=[2, 2])
    lowered = backend("openvino").lower(model)
    assert (lowered is not model) == expected
    kinds = [node.op_type for node in lowered.graph.node]
    first = ["Conv", "DepthToSpace"] if expected else ["ConvTranspose"]
    assert kinds == [*first, "Relu"]
