"""Competing runtimes: their labels, and that their results equal those of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocr_trt.common.cpu import has_bf16
from ocr_trt.convert.sources import Source, open_source
from ocr_trt.engines.runner import Runner
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.engines.tensorflow.competitors import Competitor, competitors_of
from ocr_trt.errors import InputFileError
from ocr_trt.spec import DetectorSpec, RecognizerSpec, spec_from_dict
from tests.builder.small_build import small_spec

OPENVINO = "openvino as it is"


def competitors(
    spec: DetectorSpec | RecognizerSpec,
) -> tuple[Source, Runner, dict[str, Competitor]]:
    """The source, which owns the weights, the baseline, and the competitors by name."""
    source = open_source(spec.source)
    competing = {competitor.label: competitor for competitor in competitors_of(source, spec)}
    return source, baseline_runner(source, spec), competing


def check_same(runner: Runner, baseline: Runner, batch: int, rng: np.random.Generator) -> None:
    noise = rng.uniform(-1, 1, (batch, *baseline.shape)).astype(np.float32)
    expected = baseline.run(noise)
    result = runner.run(noise)
    if "(bf16)" in runner.label:  # OpenVINO's own choice on such processors; single values jump
        assert np.abs(result - expected).mean() < 0.02 * np.abs(expected).mean()
        return
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)


def test_recognizer_runs_in_all_competitors(
    recognizer_spec: RecognizerSpec, rng: np.random.Generator
) -> None:
    pytest.importorskip("tensorflow")
    _source, baseline, competing = competitors(recognizer_spec)
    assert list(competing) == ["tensorflow eager", "tensorflow XLA", OPENVINO]
    for label, competitor in competing.items():
        runner = competitor.open()
        assert runner.label.startswith(label)
        for batch in (1, 4):
            check_same(runner, baseline, batch, rng)


def test_xla_has_no_max_pool_with_argmax_but_openvino_has(
    detector_spec: DetectorSpec, rng: np.random.Generator
) -> None:
    pytest.importorskip("tensorflow")
    _source, baseline, competing = competitors(detector_spec)
    check_same(competing[OPENVINO].open(), baseline, 1, rng)
    noise = rng.uniform(-1, 1, (1, *baseline.shape)).astype(np.float32)
    with pytest.raises(Exception, match="MaxPoolWithArgmax"):
        competing["tensorflow XLA"].open().run(noise)


def test_label_of_openvino_states_the_precision(detector_spec: DetectorSpec) -> None:
    pytest.importorskip("tensorflow")
    runner = competitors(detector_spec)[2][OPENVINO].open()
    expected = {f"{OPENVINO} (bf16)"} if has_bf16() else {f"{OPENVINO} (f32)", f"{OPENVINO} (bf16)"}
    assert runner.label in expected


def test_onnx_file_runs_in_openvino_only(tmp_path: Path, rng: np.random.Generator) -> None:
    _source, baseline, competing = competitors(small_spec(tmp_path))
    assert list(competing) == [OPENVINO]
    check_same(competing[OPENVINO].open(), baseline, 1, rng)


def test_inner_output_is_refused_by_openvino(tmp_path: Path) -> None:
    _source, _, competing = competitors(small_spec(tmp_path, output="e"))
    with pytest.raises(InputFileError, match=r"finds no output 'e' .* map"):
        competing[OPENVINO].open()


def test_keras_file_with_integer_input(tmp_path: Path, rng: np.random.Generator) -> None:
    """OpenVINO gets the traced function, which accepts floats and rounds them."""
    pytest.importorskip("tensorflow")
    import keras

    layers = keras.layers
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    x = layers.Conv2D(4, 3, padding="same")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="map")(x))
    model.save(tmp_path / "m.keras")
    spec = spec_from_dict(
        {
            "name": "m",
            "role": "detector",
            "source": {"path": tmp_path / "m.keras"},
            "input": {"name": "image", "shape": [1, 32, 32, 3], "scale": [1.0]},
            "output": {"name": "map"},
        }
    )
    _source, baseline, competing = competitors(spec)
    noise = rng.integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
    expected = baseline.run(noise)
    for competitor in competing.values():
        runner = competitor.open()
        tolerance = 0.05 if "(bf16)" in runner.label else 1e-5
        np.testing.assert_allclose(runner.run(noise), expected, rtol=0, atol=tolerance)
