"""Layers of the source model by the names that TensorFlow and Keras gave to its ops."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest

from ocr_trt.convert.tensorflow_names import LayerNames

KERAS_3 = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,8,4] image) => (float[1,8,4] classes)
    <float[4,4] w = {1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1}, float[4] b = {1,2,3,4}>
    { "net_1/conv_1/convolution" = Relu (image)
      "net_1/norm_1/batchnorm/add_1" = Relu ("net_1/conv_1/convolution")
      "net_1/bilstm_1_1/forward_lstm_1/transpose" = Relu ("net_1/norm_1/batchnorm/add_1")
      LSTM_1 = Relu ("net_1/bilstm_1_1/forward_lstm_1/transpose")
      "net_1/bilstm_1_1/concat" = Relu (LSTM_1)
      MatMul_1 = MatMul ("net_1/bilstm_1_1/concat", w)
      "net_1/dense_1/Add" = Add (MatMul_1, b)
      MatMul_2 = MatMul ("net_1/dense_1/Add", w)
      "net_1/dense_2_1/Relu" = Relu (MatMul_2)
      classes = Relu ("net_1/dense_2_1/Relu") }"""
"""As Keras 3 traces a model with the layers conv, norm, bilstm_1, dense and dense_2."""


def places(text: str) -> dict[str, str]:
    graph = ir.from_proto(onnx.parser.parse_model(text)).graph
    names = LayerNames(graph)
    return {str(v.name): names.place_of(v) for node in graph for v in node.outputs}


def test_scopes_of_keras_3_become_layer_names() -> None:
    assert places(KERAS_3) == {
        "net_1/conv_1/convolution": "conv",
        "net_1/norm_1/batchnorm/add_1": "norm/batchnorm",
        "net_1/bilstm_1_1/forward_lstm_1/transpose": "bilstm_1/forward_lstm",
        "LSTM_1": "bilstm_1",
        "net_1/bilstm_1_1/concat": "bilstm_1",
        "MatMul_1": "dense",
        "net_1/dense_1/Add": "dense",
        "MatMul_2": "before dense_2",
        "net_1/dense_2_1/Relu": "dense_2",
        "classes": "behind dense_2",
    }


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        # TensorFlow 1 and Keras 2 append no number to every scope.
        (["model/conv_1/Conv2D", "model/conv/Relu"], ["conv_1", "conv"]),
        (["model_1/conv_1/Conv2D", "model_1/conv/Relu"], ["conv_1", "conv"]),
        (["a/b/net/stem/Relu", "a/b/net/head/Relu"], ["stem", "head"]),
        (["stem/Relu", "head/Relu"], ["stem", "head"]),
        (["net/block/Relu", "net/block/Add"], ["block", "block"]),
        (["net/Relu", "net/head/Relu"], ["net", "net/head"]),
        (["a", "b"], ["", ""]),
    ],
)
def test_scopes_that_all_names_share_are_left_out(paths: list[str], expected: list[str]) -> None:
    first, second = paths
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1] image) => (float[1] y)
        {{ "{first}" = Relu (image)
           "{second}" = Relu ("{first}")
           y = Relu ("{second}") }}"""
    assert list(places(text).values())[:2] == expected


def test_graph_without_names_has_no_layers() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[1] y) { y = Relu (x) }"""
    assert places(text) == {"y": ""}
