"""Pruning, factors of full rank and dead channels in graphs that real networks rarely have."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.compression.channel_groups import channel_groups
from ocr_trt.compression.dead_channels import remove_dead_channels
from ocr_trt.compression.decisions import Decision, Factor, Prune
from ocr_trt.compression.factorize import can_factor, full_rank
from ocr_trt.compression.layers import weighted_layers
from ocr_trt.compression.prune import prune_channels
from ocr_trt.compression.restructure import restructure
from ocr_trt.compression.samples import layer_statistics
from ocr_trt.compression.shrinker import Shrinker
from tests.compression.odd_blocks import KINDS, OddGraph
from tests.compression.random_channels import chosen_channels, masked, zero_channels

_SIZE = InputSize(8, 8)


def _image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, 8, 8)).astype(np.float32)


def _outputs(model: ir.Model, seed: int = 0) -> list[np.ndarray]:
    return onnx_session(ir.to_proto(model), optimize=False).run(None, {"image": _image(seed)})


def _check_equal(one: ir.Model, other: ir.Model) -> None:
    """Compare the outputs for an image; most values are about 1."""
    onnx.checker.check_model(ir.to_proto(one), full_check=True)
    for ours, theirs in zip(_outputs(one), _outputs(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def _check_groups(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for group in channel_groups(OddGraph(seed).with_block(kind).graph):
        if not group.is_prunable:
            continue
        model = OddGraph(seed).with_block(kind)
        (same,) = (each for each in channel_groups(model.graph) if each.name == group.name)
        kept = chosen_channels(same, rng)
        expected = masked(model, {same: kept})
        prune_channels(model, [Prune(group=group.name, kept=kept)])
        _check_equal(model, expected)


def _check_full_ranks(model: ir.Model) -> None:
    proto = ir.to_proto(model)
    layers = {each.name: each for each in weighted_layers(model.graph)}
    batches = [_image(seed) for seed in range(3)]
    statistics = layer_statistics({_SIZE: proto}, batches, layers, 100)
    decisions = [
        Factor(layer=name, rank=full_rank(layer))
        for name, layer in layers.items()
        if can_factor(layer)
    ]
    assert decisions
    smaller = restructure({_SIZE: proto}, decisions, statistics)[_SIZE].model
    _check_equal(ir.from_proto(smaller), model)


def _check_dead_channels(model: ir.Model, seed: int) -> bool:
    zero_channels(model, np.random.default_rng(seed))
    smaller = remove_dead_channels({_SIZE: ir.to_proto(model)})[_SIZE]
    _check_equal(ir.from_proto(smaller.model), model)
    return bool(smaller.channels)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_block_is_made_smaller_as_if_it_were_masked(kind: str) -> None:
    for seed in (0, 1):
        _check_groups(kind, seed)
        _check_dead_channels(OddGraph(seed).with_block(kind), seed)
    _check_full_ranks(OddGraph(0).with_block(kind))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1000, 1030))
def test_several_blocks_are_made_smaller(seed: int) -> None:
    _check_full_ranks(OddGraph(seed).with_blocks(3))
    _check_dead_channels(OddGraph(seed).with_blocks(3), seed)
    graphs = {_SIZE: ir.to_proto(OddGraph(seed).with_blocks(3))}
    shrinker = Shrinker(graphs, [_image(each) for each in range(5)], few=3, multiple=2)
    shrinker.prepare()
    options, places = shrinker.options(), dict[tuple[str, str], Decision]()
    for index in np.random.default_rng(seed).permutation(len(options)):
        each = options[index]
        name = each.layer if isinstance(each, Factor) else each.group
        places.setdefault((each.kind, name), each)
    fitted = ir.from_proto(shrinker.fitted(list(places.values()))[_SIZE].model)
    assert all(np.isfinite(each).all() for each in _outputs(fitted))


def test_removed_channels_do_not_change_a_product_along_another_axis() -> None:
    """As many columns as channels: the product over the columns keeps its weights in a fit."""
    proto = ir.to_proto(OddGraph(0).with_block("mixed_columns"))
    shrinker = Shrinker({_SIZE: proto}, [_image(seed) for seed in range(5)], multiple=2)
    shrinker.prepare()
    (columns,) = (each for each in shrinker.layers.values() if each.kind == "MatMul")
    (group,) = (each for each in shrinker.groups if columns.name in each.places)
    assert columns.name not in group.consumers
    assert group.places[columns.name].axis == 1
    prune = Prune(group=group.name, kept=(0, 2, 3, 5, 6, 7))
    after = shrinker.fitted([prune])[_SIZE]
    assert len(after.channels[columns.name]) == 6
    (same,) = (e for e in weighted_layers(ir.from_proto(after.model).graph) if e.kind == "MatMul")
    np.testing.assert_array_equal(same.weights, columns.weights)
    statistics = layer_statistics({_SIZE: proto}, [_image(0)], [columns.name])
    factor = Factor(layer=columns.name, rank=4)
    model = restructure({_SIZE: proto}, [prune, factor], statistics)[_SIZE].model
    assert f"{columns.name}.first" in {name for node in model.graph.node for name in node.output}
