"""Magnitude pruning, to which competing_pruners.py compares the compression of this project."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.progress import SilentReporter
from ocr_trt.compression.channel_groups import ChannelGroup, channel_groups
from ocr_trt.compression.layers import weighted_layers
from ocr_trt.compression.prune import check_kept
from tests.builder.small_build import small_spec
from tests.compression.random_channels import RandomGraph
from tests.convert.helpers import graph

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)  # as for a script
    return importlib.import_module("pruning_methods")


CHAIN = """
    t (float[1, 3, 8, 8] image) => (y) {
        a = Conv (image, w0)
        b = Conv <group = 4> (a, w1)
        c = Conv <group = 2> (b, w2)
        y = Relu (c)
    }
"""
"""A depthwise convolution, and one with two groups that reads its results."""


def test_a_norm_counts_the_weights_that_write_and_read_a_channel(methods: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = {"w0": (4, 3, 3, 3), "w1": (4, 1, 3, 3), "w2": (6, 2, 1, 1)}
    weights = {k: rng.standard_normal(v).astype(np.float32) for k, v in shapes.items()}
    model = graph(CHAIN, **weights)
    layers = {layer.name: layer for layer in weighted_layers(model.graph)}
    group = next(each for each in channel_groups(model.graph) if each.name == "a")
    squares = sum((weights[name] ** 2).sum((1, 2, 3)) for name in ("w0", "w1"))
    # Outputs 0, 1, 2 read channels 0 and 1, outputs 3, 4, 5 read channels 2 and 3.
    read = (weights["w2"] ** 2).reshape(2, 3, 2).sum(1).reshape(-1)
    found = methods.channel_norms(group, layers)
    np.testing.assert_allclose(found, np.sqrt(squares + read), rtol=1e-5)


def test_the_strongest_channels_stay_in_each_row(methods: Any) -> None:
    group = ChannelGroup(name="x", size=8, rows=((0, 1, 2, 3), (4, 5, 6, 7)), fixed=frozenset({0}))
    norms = np.array([0.0, 3, 1, 2, 9, 8, 7, 6])
    assert methods.strongest(group, norms, 0.5, 8) == (0, 1, 4, 5)
    plain = ChannelGroup(name="x", size=8)
    assert methods.strongest(plain, norms, 0.5, 4) == (4, 5, 6, 7)
    assert methods.strongest(plain, norms, 0.9, 4) == tuple(range(8))


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs_can_lose_what_is_weak(methods: Any, seed: int) -> None:
    model = RandomGraph(seed).build(3)
    layers = {layer.name: layer for layer in weighted_layers(model.graph)}
    for group in channel_groups(model.graph):
        if group.is_prunable:
            norms = methods.channel_norms(group, layers)
            check_kept(group, methods.strongest(group, norms, 0.6, 1))


def test_the_nearest_flops_are_found(methods: Any) -> None:
    candidates = [1.0, 0.9, 0.62, 0.57, 0.2]
    for share, expected in ((0.6, 0.62), (0.58, 0.57), (1.2, 1.0), (0.1, 0.2), (0.9, 0.9)):
        assert methods.nearest(candidates, float, share) == expected


def test_a_model_is_pruned_to_a_share_of_its_flops(methods: Any, tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "m.onnx"))
    graphs = {InputSize(32, 32): model}
    pruner = methods.Pruner(spec, graphs, [], tmp_path / "options.jsonl", SilentReporter())
    made = pruner.pruned("magnitude", 0.6)
    assert methods.kept_flops(made, graphs) == pytest.approx(0.6, abs=0.05)
    assert methods.kept_flops(pruner.pruned("magnitude", 1.0), graphs) == 1
