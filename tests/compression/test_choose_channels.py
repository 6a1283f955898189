"""Which channels stay: the predicted error is that of the best weights without the others."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.compression.channel_groups import ChannelGroup, channel_groups
from ocr_trt.compression.choose_channels import Kept, removals
from ocr_trt.compression.layers import WeightedLayer, weighted_layers
from ocr_trt.compression.prune import check_kept
from ocr_trt.compression.samples import layer_statistics
from tests.compression.graphs import images, sampled, unet
from tests.compression.random_channels import RandomGraph


class _Case:
    """A graph with samples of all of its layers."""

    def __init__(self, model: onnx.ModelProto, batches: list[np.ndarray]) -> None:
        graph = ir.from_proto(model).graph
        self.groups = {group.name: group for group in channel_groups(graph)}
        self.layers = {layer.name: layer for layer in weighted_layers(graph)}
        size = InputSize(*batches[0].shape[2:])
        self.samples = sampled({size: model}, batches, self.layers, 400)
        self.statistics = layer_statistics({size: model}, batches, self.layers, 400)

    def chosen(self, group: ChannelGroup, keep: int) -> Kept:
        found = removals(group, self.layers, self.statistics)
        return next(each for each in found if len(each.channels) == keep)


def _error(layer: WeightedLayer, inputs: np.ndarray, kept: np.ndarray) -> float:
    """Fit a layer without the other channels; return its error relative to its outputs."""
    columns = (kept[:, None] * layer.taps + np.arange(layer.taps)).reshape(-1)
    x = inputs.astype(np.float64)
    y = x @ layer.weights
    x, y = x[:, columns] - x[:, columns].mean(0), y - y.mean(0)
    fitted, *_ = np.linalg.lstsq(x, y, rcond=None)
    return float(np.square(x @ fitted - y).sum() / np.square(y).sum())


@pytest.fixture(scope="module")
def case() -> _Case:
    model = unet()
    return _Case(model, images(model, 20))


def test_the_error_is_that_of_refitted_layers(case: _Case) -> None:
    group = case.groups["a"]
    kept = case.chosen(group, 5)
    assert group.consumers == ("b",)
    expected = _error(case.layers["b"], case.samples["b"][0], np.array(kept.channels))
    assert kept.error == pytest.approx(expected, rel=0.02)


def test_a_greedy_choice_beats_most_random_ones(case: _Case) -> None:
    rng = np.random.default_rng(0)
    kept = case.chosen(case.groups["d"], 8)
    layer, samples = case.layers["e"], case.samples["e"][0]
    random = [_error(layer, samples, np.sort(rng.permutation(16)[:8])) for _ in range(40)]
    assert _error(layer, samples, np.array(kept.channels)) <= np.quantile(random, 0.05)


def test_a_channel_that_others_replace_goes_first(case: _Case) -> None:
    model = unet()
    weights = next(each for each in model.graph.initializer if each.name == "w0")
    array = onnx.numpy_helper.to_array(weights).copy()
    array[5] = array[2] * 3  # "b0" is another one, but Relu makes it differ
    weights.CopyFrom(onnx.numpy_helper.from_array(array, "w0"))
    bias = next(each for each in model.graph.initializer if each.name == "b0")
    shifts = np.abs(onnx.numpy_helper.to_array(bias))
    shifts[5] = shifts[2] * 3
    bias.CopyFrom(onnx.numpy_helper.from_array(shifts, "b0"))
    found = _Case(model, images(model, 20))
    kept = found.chosen(found.groups["a"], 7)
    assert {2, 5} - set(kept.channels)
    assert kept.error < 1e-3


@pytest.mark.parametrize("seed", range(100, 103))
def test_every_choice_fits_its_group(seed: int) -> None:
    model = ir.to_proto(RandomGraph(seed).build(3))
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((1, 3, 8, 8)).astype(np.float32) for _ in range(8)]
    found = _Case(model, batches)
    for group in found.groups.values():
        if group.is_prunable:
            errors = []
            for kept in removals(group, found.layers, found.statistics):
                check_kept(group, kept.channels)
                errors.append(kept.error)
            assert len(errors) > 1
            assert errors == sorted(errors)
