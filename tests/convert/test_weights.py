"""Heavy models: their weights go around tf2onnx, and the graph is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source, weights
from ocr_trt.engines.backends.onnxruntime import runner_from_model
from ocr_trt.engines.baseline import baseline_runner
from ocr_trt.spec import SourceSpec, spec_from_dict

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(5)
    x = image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(gamma_initializer="random_normal")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = keras.layers.SeparableConv2D(48, 3, padding="same")(x)
    x = keras.layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="gelu")(x)
    x = keras.layers.LayerNormalization()(keras.layers.Dense(32)(x))
    path = tmp_path_factory.mktemp("heavy") / "model.keras"
    keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="map")(x)).save(path)
    return path


@pytest.mark.parametrize("large", [1, 1 << 10], ids=["every constant", "the large ones"])
def test_weights_that_go_around_come_back(
    model: Path, large: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": model},
            "input": {"name": "image", "shape": [1, 32, 48, 3]},
            "output": {"name": "map"},
        }
    )
    source = open_source(spec.source)
    usual = convert(source, spec)
    taken = list[str]()
    original = weights.give_weights
    monkeypatch.setattr(weights, "_HEAVY", 0)
    monkeypatch.setattr(weights, "_LARGE", large)
    monkeypatch.setattr(
        "ocr_trt.convert.sources.tf_graph.give_weights",
        lambda graph, arrays: original(graph, taken.extend(arrays) or arrays),
    )
    heavy = convert(source, spec)
    assert len(taken) >= 4
    assert heavy.ops == usual.ops
    picture = rng.uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    ours = runner_from_model(heavy.model, label="x", max_batch=1).run(picture)
    theirs = baseline_runner(source, spec, 48).run(picture)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_small_models_keep_theirs(model: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    graph = tf.compat.v1.GraphDef()
    with tf.Graph().as_default() as made:
        tf.constant(np.ones((200, 200), np.float32), name="w")
    graph.CopyFrom(made.as_graph_def())
    assert weights.take_weights(graph) == {}
    assert [node.op for node in graph.node] == ["Const"]
    assert open_source(SourceSpec(path=model)).signature().inputs
