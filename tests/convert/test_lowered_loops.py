"""Frozen graphs of TensorFlow 2 whose loops were lowered, as freezing does by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from ocr_trt.convert.passes.close_loops import close_loops
from ocr_trt.convert.passes.fold_constants import fold_constants
from ocr_trt.convert.passes.raise_directions import raise_directions
from ocr_trt.convert.passes.raise_recurrent import raise_recurrent
from ocr_trt.convert.passes.settle_loop_types import settle_loop_types
from ocr_trt.convert.pipeline import _upgraded
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.lowered_loops import has_lowered_loops
from ocr_trt.spec import SourceSpec

from .helpers import evaluated, ops

SHAPE = (2, 5, 4)


def lowered(function: Callable[[Any], Any], path: Path) -> Any:
    """Freeze a function of (N, T, C) into a file, and return its GraphDef."""
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(function).get_concrete_function(
        tf.TensorSpec((None, *SHAPE[1:]), tf.float32, name="x")
    )
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    graph = frozen.graph.as_graph_def()
    path.write_bytes(graph.SerializeToString())
    return graph


def recurrent(layer: str) -> Callable[[Any], Any]:
    """Return a bidirectional layer and one that returns its last state."""
    import keras

    kind = getattr(keras.layers, layer)
    keras.utils.set_random_seed(3)
    both = keras.layers.Bidirectional(kind(3, return_sequences=True))
    last = kind(3)
    image = keras.Input(SHAPE[1:])
    return keras.Model(image, last(both(image)))


def accumulated(x: Any) -> Any:
    """A loop that is no cell, with a value that stays the same and a value read behind it."""
    total, sums = tf.scan(
        lambda state, row: (tf.nn.elu(state[0] * 0.5 + row), state[1] + row),
        tf.transpose(x, [1, 0, 2]),
        (tf.zeros_like(x[:, 0]), tf.ones_like(x[:, 0])),
    )
    return total[-1] + sums[-1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LSTM", {"LSTM": 2}),
        pytest.param("GRU", {"GRU": 2}, marks=pytest.mark.full),
        pytest.param("SimpleRNN", {"RNN": 2}, marks=pytest.mark.full),
        ("scan", {"Loop": 1}),
    ],
)
def test_lowered_loops_convert(name: str, expected: dict[str, int], tmp_path: Path) -> None:
    function = accumulated if name == "scan" else recurrent(name)
    assert has_lowered_loops(lowered(function, tmp_path / "m.pb"))
    source = open_source(SourceSpec(path=tmp_path / "m.pb"))
    model = _upgraded(source.to_onnx("x", SHAPE, "Identity"))
    settle_loop_types(model)
    for rewrite in (fold_constants, raise_recurrent, close_loops, fold_constants, raise_directions):
        rewrite(model)
    found = ops(model)
    assert {op: found[op] for op in ("LSTM", "GRU", "RNN", "Loop") if found[op]} == expected
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    feed = ir.to_proto(model).graph.input[0].name
    assert feed == "x"
    np.testing.assert_allclose(evaluated(model, x), function(tf.constant(x)), atol=1e-5)


def test_loops_that_are_functions_stay(tmp_path: Path) -> None:
    graph = tf.function(accumulated).get_concrete_function(tf.TensorSpec(SHAPE)).graph
    assert not has_lowered_loops(graph.as_graph_def())
