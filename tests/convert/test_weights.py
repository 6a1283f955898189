"""Heavy models: weights stay outside tf2onnx, and the graph is the same as with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from ocr_trt.common import onnx_files as onnx_file
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import large_weights as weights
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings, RunSettings
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.targets import backend
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.spec import DetectorSpec, RecognizerSpec, SourceSpec, spec_from_dict

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(5)
    x = image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(gamma_initializer="random_normal")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = keras.layers.SeparableConv2D(48, 3, padding="same")(x)
    x = keras.layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Dense(32, activation="gelu")(x)
    x = keras.layers.LayerNormalization(gamma_initializer=keras.initializers.Constant(20.0))(x)
    path = tmp_path_factory.mktemp("heavy") / "model.keras"
    keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="map")(x)).save(path)
    return path


def spec_of(model: Path) -> DetectorSpec | RecognizerSpec:
    return spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": model},
            "input": {"name": "image", "shape": [1, 32, 48, 3]},
            "output": {"name": "map"},
        }
    )


@pytest.mark.parametrize("large", [1, 1 << 10], ids=["every constant", "the large ones"])
def test_weights_kept_outside_tf2onnx_are_restored(
    model: Path, large: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    spec = spec_of(model)
    source = open_source(spec.source)
    usual = convert(source, spec)
    monkeypatch.setattr(weights, "_HEAVY", 0)
    monkeypatch.setattr(weights, "_LARGE", large)
    raw = source.to_onnx("image", (1, 32, 48, 3), "map")
    assert len(raw.weights) >= 4
    left = sum(onnx.numpy_helper.to_array(t).nbytes >= large for t in raw.model.graph.initializer)
    assert left <= sum(array.nbytes < 8 for array in raw.weights.values()) + 40 // large
    heavy = convert(source, spec)
    assert heavy.ops == usual.ops
    image = rng.uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    ours = runner_from_model(heavy.model, label="x", max_batch=1).run(image)
    theirs = baseline_runner(source, spec).run(image)
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_small_models_keep_their_weights(model: Path) -> None:
    raw = open_source(SourceSpec(path=model)).to_onnx("image", (1, 32, 48, 3), "map")
    assert raw.weights == {}
    assert len(raw.model.graph.input) == 1


def test_large_weights_of_onnx_files_are_kept_outside_too(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = convert(open_source(SourceSpec(path=model)), spec_of(model)).model
    onnx.save(graph, tmp_path / "model.onnx")
    monkeypatch.setattr(weights, "_HEAVY", 0)
    monkeypatch.setattr(weights, "_LARGE", 1 << 10)
    source = open_source(SourceSpec(path=tmp_path / "model.onnx"))
    again = source.to_onnx("image", (1, 3, 32, 48), "map")
    assert len(again.weights) >= 4
    assert [value.name for value in source.signature().inputs] == ["image"]
    whole = ir.to_proto(again.whole())
    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    ours, theirs = (onnx_session(m).run(None, {"image": image})[0] for m in (whole, graph))
    assert theirs.std() > 1e-3
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "tensorrt-rtx"])
def test_what_is_too_large_for_one_message_is_built_from_files(
    model: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over 2 GB, which would take minutes: the limit is lowered instead."""
    if target == "tensorrt-rtx":
        pytest.importorskip("tensorrt_rtx")
    source = open_source(SourceSpec(path=model))
    spec = spec_of(model)
    graph = convert(source, spec).model
    image = np.random.default_rng(1).uniform(-1, 1, (1, 3, 32, 48)).astype(np.float32)
    expected = runner_from_model(graph, label="x", max_batch=1).run(image)
    monkeypatch.setattr(onnx_file, "LARGEST_MESSAGE", 1 << 10)
    plan = tmp_path / f"plan{backend(target).suffix}"
    backend(target).build(graph, plan, BuildSettings())
    if target == "tensorrt-rtx":
        assert plan.stat().st_size > 10_000
        return
    with backend(target).open(plan, label="x", settings=RunSettings(), max_batch=1) as runner:
        np.testing.assert_allclose(runner.run(image), expected, atol=2e-6)
    if target == "onnxruntime":
        assert {path.name for path in tmp_path.iterdir()} == {"plan.onnx", "plan.onnx.data"}
    in_memory = onnx_session(graph).run(None, {"image": image})[0]
    np.testing.assert_array_equal(in_memory, expected)
