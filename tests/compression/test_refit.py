"""Least squares: weights of a smaller graph fitted to the results of the original one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from ocr_trt.common.inner_tensors import read_tensors
from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.decisions import Factor, Prune, SmallerGraph
from ocr_trt.compression.layers import weighted_layers
from ocr_trt.compression.least_squares import Moments, fitted
from ocr_trt.compression.refit import RefitSettings, refit
from ocr_trt.compression.restructure import restructure
from ocr_trt.compression.samples import layer_statistics
from ocr_trt.convert.graph import Graphs

from .graphs import images, result, text_net, unet

Case = tuple[Graphs, dict[InputSize, SmallerGraph], list[np.ndarray]]


def small_unet() -> Case:
    """Two input sizes with the same weights, factored at half the full ranks."""
    graphs = {InputSize(h, w): unet(h, w) for h, w in ((16, 12), (8, 20))}
    ranks = {"b": 6, "d": 6, "e": 4, "f": 8}
    return _restructured(graphs, ranks)


def small_text() -> Case:
    graphs = {InputSize(4, width): text_net(width) for width in (12, 20)}
    return _restructured(graphs, {"up": 5, "down": 5, "y": 4})


def _restructured(graphs: Graphs, ranks: dict[str, int]) -> Case:
    batches = [image for model in graphs.values() for image in images(model, 6, seed=3)]
    statistics = layer_statistics(graphs, batches, ranks, positions_per_image=60)
    decisions = [Factor(layer=name, rank=rank) for name, rank in ranks.items()]
    smaller = restructure(graphs, decisions, statistics)
    return graphs, smaller, batches


def total_error(graphs: Graphs, smaller: dict[InputSize, SmallerGraph], seed: int) -> float:
    """Return the mean squared error of the outputs on new images."""
    errors = [
        np.square(result(smaller[size].model, image) - result(model, image)).mean()
        for size, model in graphs.items()
        for image in images(model, 10, seed=seed)
    ]
    return float(np.mean(errors))


@pytest.mark.parametrize("case", [small_unet, small_text])
def test_refit_lowers_the_error_on_new_images(case: Callable[[], Case]) -> None:
    graphs, smaller, batches = case()
    settings = RefitSettings(positions_per_image=60)
    after = refit(graphs, smaller, batches, settings)
    assert total_error(graphs, after, seed=9) < total_error(graphs, smaller, seed=9)
    layers = [weighted_layers(ir.from_proto(each.model).graph) for each in after.values()]
    for one, two in zip(*layers, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.weights, two.weights)
    again = refit(graphs, smaller, batches, settings)
    for size, each in after.items():
        assert each.model == again[size].model, "two runs give the same bytes"


def test_refit_of_an_unchanged_graph_changes_nothing() -> None:
    graphs, _, batches = small_text()
    same = restructure(graphs, [], {})
    after = refit(graphs, same, batches)
    assert {size: each.model for size, each in after.items()} == {
        size: each.model for size, each in same.items()
    }


def test_refit_of_one_layer_alone() -> None:
    graphs, smaller, batches = small_unet()
    fitted_graphs = refit(graphs, smaller, batches, RefitSettings(only=frozenset({"f"})))
    size = next(iter(graphs))
    before, after = (
        {layer.name: layer for layer in weighted_layers(ir.from_proto(each[size].model).graph)}
        for each in (smaller, fitted_graphs)
    )
    changed = {n for n in before if not np.array_equal(before[n].weights, after[n].weights)}
    assert changed == {"f"}


@pytest.mark.parametrize("name", ["a", "c", "d", "e", "f"])
def test_the_error_of_a_layer_never_increases(name: str) -> None:
    """Few rows, outputs that the layer cannot return, and a channel that is always zero."""
    model = unet()
    layer = {each.name: each for each in weighted_layers(ir.from_proto(model).graph)}[name]
    rng = np.random.default_rng(5)
    for rows in (3, 40, 500):
        inputs = rng.standard_normal((rows, layer.channels * layer.taps)).astype(np.float32)
        inputs[:, : layer.taps] = 0
        outputs = rng.standard_normal((rows, layer.outputs)).astype(np.float32)
        half = rows // 2
        parts = [slice(half), slice(half, None)] if rows > 3 else [slice(None)]
        moments = [Moments.of(inputs[part], outputs[part], layer.groups) for part in parts]
        weights, bias = fitted(layer, *moments)
        old = np.zeros(layer.outputs) if layer.bias is None else layer.bias
        errors = []
        for matrix, shift in ((layer.weights, old), (weights, bias)):
            x = inputs[parts[0]]
            x = x.reshape(len(x), layer.groups, -1).transpose(1, 0, 2)
            w = matrix.reshape(matrix.shape[0], layer.groups, -1).transpose(1, 0, 2)
            made = (x @ w).transpose(1, 0, 2).reshape(x.shape[1], -1) + shift
            errors.append(np.square(made - outputs[parts[0]]).sum())
        assert errors[1] <= errors[0] * (1 + 1e-9)
        assert np.isfinite(weights).all()


def test_a_fit_that_fails_on_other_images_leaves_the_layer_alone() -> None:
    layer = {each.name: each for each in weighted_layers(ir.from_proto(unet()).graph)}["f"]
    assert layer.bias is not None
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((400, len(layer.weights))).astype(np.float32)
    outputs = inputs @ layer.weights + layer.bias
    # The rows to fit contradict those to check, in their weights and in their mean.
    wrong = rng.standard_normal((200, layer.outputs)).astype(np.float32) + 1
    moments = [Moments.of(inputs[:200], wrong, 1), Moments.of(inputs[200:], outputs[200:], 1)]
    weights, bias = fitted(layer, *moments)
    np.testing.assert_array_equal(weights, layer.weights)
    np.testing.assert_array_equal(bias, layer.bias)


def test_pruned_channels_and_factors_are_fitted_together() -> None:
    graphs, _, batches = small_unet()
    statistics = layer_statistics(graphs, batches, ["f"], positions_per_image=60)
    # "b" is also pooled and unpooled, and added to "f": all of them lose its channels.
    decisions = [Prune(group="b", kept=(0, 1, 3, 4, 6, 7)), Factor(layer="f", rank=6)]
    smaller = restructure(graphs, decisions, statistics)
    assert all(each.channels["joined"][6:] == (8, 9, 11, 12, 14, 15) for each in smaller.values())
    fitted = refit(graphs, smaller, batches, RefitSettings(positions_per_image=60))
    assert total_error(graphs, fitted, seed=9) < total_error(graphs, smaller, seed=9) / 2


def test_the_bias_behind_a_product_counts_from_the_original_one() -> None:
    """Factors change the bias already; a fit must not add that change once more."""
    size, model = InputSize(4, 12), text_net(12)
    graphs, batches = {size: model}, [image + 2 for image in images(model, 3)]
    statistics = layer_statistics(graphs, batches, ["a", "up"])
    decisions = [Factor(layer="a", rank=2), Factor(layer="up", rank=2)]
    smaller = restructure(graphs, decisions, statistics)
    after = refit(graphs, smaller, batches)
    means = [
        np.mean([read_tensors(each, ["upb"], image)["upb"] for image in batches], (0, 1, 2))
        for each in (model, after[size].model)
    ]
    np.testing.assert_allclose(means[1], means[0], atol=1e-4)
