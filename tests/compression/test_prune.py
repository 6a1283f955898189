"""Removed channels: graphs stay valid and compute what masking the channels computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.compression.channel_groups import channel_groups
from ocr_trt.compression.decisions import Prune
from ocr_trt.compression.prune import prune_channels
from tests.compression.random_channels import RandomGraph, chosen_channels, masked, run


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, 8, 8)).astype(np.float32)


def _checked(model: ir.Model) -> onnx.ModelProto:
    """Check a graph, and that the stated shapes are those that inference finds."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    stated = {v.name: v.type for v in proto.graph.value_info}
    del proto.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    for value in inferred.graph.value_info:
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        assert sizes == [d.dim_value for d in stated[value.name].tensor_type.shape.dim], value.name
    return inferred


def _prune_at_random(seed: int, blocks: int, *, transformer: bool) -> int:
    model = RandomGraph(seed).build(blocks, transformer=transformer)
    rng = np.random.default_rng(seed)
    groups = [group for group in channel_groups(model.graph) if group.is_prunable]
    kept = {group: chosen_channels(group, rng) for group in groups if rng.random() < 0.7}
    expected = run(masked(model, kept), _image())
    names = {value.name for node in model.graph for value in node.outputs}
    decisions = [Prune(group=group.name, kept=channels) for group, channels in kept.items()]
    channels = prune_channels(model, decisions)
    _checked(model)
    assert {value.name for node in model.graph for value in node.outputs} == names
    result = run(model, _image())
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert bool(channels) == any(len(c) < g.size for g, c in kept.items())
    return len(kept)


@pytest.mark.parametrize("seed", range(12))
def test_random_channels_of_maps(seed: int) -> None:
    assert _prune_at_random(seed, 4, transformer=False) >= 0


@pytest.mark.parametrize("seed", range(100, 106))
def test_random_channels_with_attention(seed: int) -> None:
    assert _prune_at_random(seed, 1, transformer=True) >= 0
