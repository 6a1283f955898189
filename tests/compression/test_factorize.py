"""Layers that are split into two of lower rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.decisions import Factor, SmallerGraph
from ocr_trt.compression.factorize import (
    can_factor,
    candidate_ranks,
    factored_flops,
    factors,
    full_rank,
)
from ocr_trt.compression.layers import WeightedLayer, weighted_layers
from ocr_trt.compression.restructure import restructure
from ocr_trt.compression.samples import LayerStatistics, layer_statistics
from ocr_trt.convert.audit import node_flops
from ocr_trt.convert.graph import Graphs, constant
from ocr_trt.errors import ConversionError

from .graphs import TEXT_LAYERS, UNET_LAYERS, images, result, sampled, text_net, unet

MODELS = pytest.mark.parametrize(
    ("model_of", "names"), [(unet, UNET_LAYERS), (text_net, TEXT_LAYERS)], ids=["unet", "text"]
)


def layers_of(model: onnx.ModelProto) -> dict[str, WeightedLayer]:
    return {layer.name: layer for layer in weighted_layers(ir.from_proto(model).graph)}


def graphs_of(model: onnx.ModelProto, batches: list[np.ndarray]) -> Graphs:
    return {InputSize(*batches[0].shape[2:]): model}


def statistics_of(model: onnx.ModelProto, batches: list[np.ndarray]) -> dict[str, LayerStatistics]:
    return layer_statistics(graphs_of(model, batches), batches, layers_of(model), 50)


def restructured(
    model: onnx.ModelProto, decisions: Sequence[Factor], statistics: dict[str, LayerStatistics]
) -> SmallerGraph:
    (smaller,) = restructure({InputSize(1, 1): model}, decisions, statistics).values()
    return smaller


@MODELS
def test_samples_are_what_the_layer_computes(
    model_of: Callable[[], onnx.ModelProto], names: tuple[str, ...]
) -> None:
    model = model_of()
    batches, layers = images(model, 3, batch=1), layers_of(model)
    samples = sampled(graphs_of(model, batches), batches, layers, 50)
    for name in names:
        layer, (inputs, outputs) = layers[name], samples[name]
        bias = layer.bias if layer.bias is not None else 0
        np.testing.assert_allclose(inputs @ layer.weights + bias, outputs, atol=1e-5)


def test_statistics_without_rows_are_those_of_the_rows() -> None:
    model = unet()
    batches = images(model, 3)
    found = statistics_of(model, batches)
    samples = sampled(graphs_of(model, batches), batches, layers_of(model), 50)
    for name, (inputs, _) in samples.items():
        rows = inputs.astype(np.float64)
        np.testing.assert_allclose(found[name].mean, rows.mean(0), atol=1e-6)
        covariance = np.cov(rows.T, bias=True)
        np.testing.assert_allclose(found[name].covariance, covariance, atol=1e-6)


@MODELS
def test_full_rank_equals_the_original(
    model_of: Callable[[], onnx.ModelProto], names: tuple[str, ...]
) -> None:
    model = model_of()
    batches, layers = images(model, 4), layers_of(model)
    assert [name for name in layers if can_factor(layers[name])] == list(names)
    statistics = statistics_of(model, batches)
    decisions = [Factor(layer=name, rank=full_rank(layers[name])) for name in names]
    smaller = restructured(model, decisions, statistics)
    onnx.checker.check_model(smaller.model, full_check=True)
    assert smaller.channels == {}
    known = {info.name for info in smaller.model.graph.value_info}
    assert {f"{name}.first" for name in names} <= known
    for image in images(model, 3, seed=1):
        np.testing.assert_allclose(result(smaller.model, image), result(model, image), atol=1e-4)


@MODELS
def test_flops_of_a_rank_are_those_of_the_graph(
    model_of: Callable[[], onnx.ModelProto], names: tuple[str, ...]
) -> None:
    model = model_of()
    layers = layers_of(model)
    statistics = statistics_of(model, images(model, 2))
    ranks = {name: min(3, full_rank(layers[name])) for name in names}
    decisions = [Factor(layer=name, rank=rank) for name, rank in ranks.items()]
    smaller = ir.from_proto(restructured(model, decisions, statistics).model)
    nodes = {node.outputs[0].name: node for node in smaller.graph}
    for name in names:
        pieces = node_flops(nodes[f"{name}.first"]) + node_flops(nodes[name])
        assert pieces == factored_flops(layers[name], ranks[name]), name


def test_candidate_ranks_need_fewer_flops() -> None:
    layer = layers_of(unet())["d"]
    ranks = candidate_ranks(layer, step=2)
    assert ranks == list(range(2, ranks[-1] + 1, 2))
    assert factored_flops(layer, ranks[-1]) < layer.flops <= factored_flops(layer, ranks[-1] + 2)
    assert candidate_ranks(layers_of(unet())["c"]) == [], "a depthwise layer"


@pytest.mark.parametrize("name", ["up", "down"])  # more outputs than inputs, and fewer
def test_a_product_has_the_best_factors_for_its_inputs(name: str) -> None:
    model = text_net()
    batches, layer = images(model, 30), layers_of(model)[name]
    inputs, _ = sampled(graphs_of(model, batches), batches, [name], 50)[name]
    made = factors(layer, 5, statistics_of(model, batches)[name])
    rows = inputs - inputs.mean(0)
    error = np.square(rows @ (layer.weights - made.first @ made.second)).sum()
    # Eckart and Young: the best approximation of the outputs drops the smallest singular values.
    values = np.linalg.svd(rows @ layer.weights, compute_uv=False)
    assert error == pytest.approx(np.square(values[5:]).sum(), rel=1e-3)
    assert (rows @ made.first).std(0) == pytest.approx(np.ones(5), abs=1e-2)


def test_decisions_that_do_not_fit_are_refused() -> None:
    model = unet()
    statistics = statistics_of(model, images(model, 2))
    for decision, fact in (
        (Factor(layer="nowhere", rank=8), "nowhere"),
        (Factor(layer="c", rank=1), "c cannot"),
        (Factor(layer="e", rank=9), "full rank is 8"),
    ):
        with pytest.raises(ConversionError, match=fact):
            restructured(model, [decision], statistics)


def test_restructuring_keeps_metadata_and_the_input_graph() -> None:
    model = unet()
    node = next(node for node in model.graph.node if node.output[0] == "f")
    entry = node.metadata_props.add()
    entry.key, entry.value = "layer", "block/f"
    before = model.SerializeToString(deterministic=True)
    statistics = statistics_of(model, images(model, 2))
    decisions = [Factor(layer="f", rank=4)]
    one, two = (restructured(model, decisions, statistics).model for _ in range(2))
    assert model.SerializeToString(deterministic=True) == before
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)
    pieces = [node for node in ir.from_proto(one).graph if node.metadata_props]
    assert [dict(node.metadata_props) for node in pieces] == [{"layer": "block/f"}] * 2
    assert [node.outputs[0].name for node in pieces] == ["f.first", "f"]
    assert all(constant(node.inputs[1]) is not None for node in pieces)
