"""2:4 sparse weights: the pattern that tensor cores need, and a smaller error than by magnitude."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.layers import weighted_layers
from ocr_trt.compression.sparsify import is_2_4, sparse_fit, sparse_weights, sparsify
from ocr_trt.convert.graph import Graphs
from tests.compression.graphs import images, result, sampled, text_net, unet


def test_the_check_counts_zeros_along_one_axis() -> None:
    weights = np.ones((3, 8, 2))
    weights[:, [0, 2, 5, 6]] = 0
    assert is_2_4(weights, 1)
    assert not is_2_4(weights, 0), "3 is no multiple of 4"
    weights[2, 5, 1] = 1
    assert not is_2_4(weights, 1)
    assert is_2_4(np.zeros((4, 4)), 0)


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return {InputSize(h, w): unet(h, w) for h, w in ((16, 12), (8, 20))}


def _batches(graphs: Graphs, seed: int) -> list[np.ndarray]:
    return [image for model in graphs.values() for image in images(model, 8, seed=seed)]


def _sparse_by_magnitude(weights: np.ndarray) -> np.ndarray:
    """Set the smaller two of each four along axis 1 to 0."""
    groups = np.moveaxis(weights, 1, -1).copy()
    four = groups.reshape(-1, 4)
    np.put_along_axis(four, np.argsort(np.abs(four), axis=1)[:, :2], 0, axis=1)
    return np.moveaxis(four.reshape(groups.shape), -1, 1)


def _by_magnitude(graphs: Graphs, names: set[str]) -> Graphs:
    found = {}
    for size, model in graphs.items():
        copy = ir.from_proto(model)
        for node in copy.graph:
            if node.op_type == "Conv" and node.outputs[0].name in names:
                value = node.inputs[1]
                assert value is not None
                assert value.const_value is not None
                array = _sparse_by_magnitude(value.const_value.numpy())
                value.const_value = ir.tensor(array, name=value.name)
        found[size] = ir.to_proto(copy)
    return found


def _error(graphs: Graphs, other: Graphs) -> float:
    errors = [
        np.square(result(other[size], image) - result(model, image)).mean()
        for size, model in graphs.items()
        for image in images(model, 8, seed=5)
    ]
    return float(np.mean(errors))


def test_layers_in_sequence_beat_zeros_by_magnitude(graphs: Graphs) -> None:
    sparse = sparsify(graphs, _batches(graphs, 3), positions_per_image=100)
    names = {"b", "d", "e", "f", "g"}  # not the first layer, of 3 channels, and the depthwise one
    for model in sparse.values():
        onnx.checker.check_model(model, full_check=True)
        arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Conv":
                assert is_2_4(arrays[node.input[1]], 1) == (node.output[0] in names)
    assert _error(graphs, sparse) < 0.5 * _error(graphs, _by_magnitude(graphs, names))


def test_products_are_sparse_along_their_inputs() -> None:
    graphs = {InputSize(4, 12): text_net(12)}
    (model,) = sparsify(graphs, images(graphs[InputSize(4, 12)], 6), ["up", "y"]).values()
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node}
    assert is_2_4(arrays[nodes["up"].input[1]], 0)
    assert is_2_4(arrays[nodes["y"].input[1]], 0)  # without transB after a change of weights
    assert not is_2_4(arrays[nodes["down"].input[1]], 0)


def test_the_remaining_weights_are_the_best_ones(graphs: Graphs) -> None:
    """Least squares on the columns of each output that remain gives the same error."""
    model = graphs[InputSize(16, 12)]
    batches = images(model, 20)
    inputs, _ = sampled({InputSize(16, 12): model}, batches, ["f"], 200)["f"]
    layer = next(each for each in weighted_layers(ir.from_proto(model).graph) if each.name == "f")
    x = inputs.astype(np.float64)
    covariance = np.cov(x.T, bias=True) + 0.01 * np.eye(x.shape[1])
    target = layer.weights.astype(np.float64)
    weights = sparse_weights(target, covariance, layer.taps)
    for output in range(layer.outputs):
        kept = weights[:, output] != 0
        right = covariance[kept] @ target[:, output]
        best = np.linalg.solve(covariance[np.ix_(kept, kept)], right)
        np.testing.assert_allclose(weights[kept, output], best, atol=1e-3)


def test_without_noise_a_layer_that_is_sparse_stays(graphs: Graphs) -> None:
    rng = np.random.default_rng(0)
    layer = next(
        each for each in weighted_layers(ir.from_proto(graphs[InputSize(16, 12)]).graph)
        if each.name == "e"
    )  # fmt: skip
    target = layer.weights.reshape(-1, 4, layer.outputs).astype(np.float64)
    target[:, :2] = 0
    target = target.reshape(layer.weights.shape)
    x = rng.standard_normal((400, len(target))).astype(np.float32)
    y = (x @ target).astype(np.float32)
    weights, bias = sparse_fit(layer, x, y)
    np.testing.assert_allclose(weights, target, atol=2e-2)
    assert bias is None or np.abs(bias).max() < 2e-2


def test_a_layer_that_cannot_be_sparse_is_refused(graphs: Graphs) -> None:
    with pytest.raises(ValueError, match=r"a cannot be 2:4 sparse: 3 input channels"):
        sparsify(graphs, _batches(graphs, 3)[:1], ["a"])


def test_polygraphy_finds_the_pattern(graphs: Graphs) -> None:
    """Another implementation of the check."""
    tool = pytest.importorskip("polygraphy.tools.sparse")
    size = InputSize(16, 12)
    sparse = sparsify({size: graphs[size]}, images(graphs[size], 4), positions_per_image=50)[size]
    pruner = tool.SparsityPruner(sparse)
    pruner.check()
    layers = [n for n in sparse.graph.node if n.op_type == "Conv" and n.output[0] in "bdefg"]
    assert {node.input[1] for node in layers} <= pruner.sparse_tensors
