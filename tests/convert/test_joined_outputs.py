"""Detectors with two maps: EAST and CRAFT in all formats, from init to boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.builder import build
from ocr_trt.cli.spec_text import spec_text
from ocr_trt.common.safe_yaml import load_yaml
from ocr_trt.convert.draft import draft_spec
from ocr_trt.convert.hints import Hints
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.preset import PresetRole, load_preset
from ocr_trt.convert.sources import open_source
from ocr_trt.convert.sources.joined_outputs import channel_axis
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import baseline_runner
from ocr_trt.errors import InputFileError, SpecError
from ocr_trt.pipeline.scales import detect_at_scales
from ocr_trt.pipeline.stages import detect
from ocr_trt.spec import (
    CraftOutput,
    DetectorSpec,
    EastOutput,
    MapOutput,
    SourceSpec,
    spec_from_dict,
)
from tests.builder.small_build import fp32_request, generous
from tests.ocr.test_families import QUADS, SIZE, east_maps, matches


def drafted(path: Path, preset: str | None = None) -> DetectorSpec:
    known = load_preset(preset).of("detector") if preset else PresetRole()
    spec = draft_spec("detector", Hints(source=SourceSpec(path=path), preset=known))
    assert isinstance(spec, DetectorSpec)
    # What init writes is read as the same spec.
    again = spec_from_dict(load_yaml(spec_text(spec, path.parent)))
    assert isinstance(again, DetectorSpec)
    parts = ("output", "boxes", "accuracy", "input")
    assert [getattr(again, part) for part in parts] == [getattr(spec, part) for part in parts]
    return spec


def perfect_east(path: Path) -> Path:
    """Write an ONNX model that returns the maps of known boxes in two outputs."""
    maps = east_maps("rbox")
    rows, columns = maps.shape[1:]
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,{SIZE[0]},{SIZE[1]}] image)
            => (float[N,5,{rows},{columns}] geometry, float[N,1,{rows},{columns}] score)
        {{ m = GlobalAveragePool(image) z = Conv(m, w)
           geometry = Add(z, a) score = Add(z, b) }}"""
    model = onnx.parser.parse_model(text)
    for name, array in (
        ("w", np.zeros((1, 3, 1, 1), np.float32)), ("a", maps[None, 1:]), ("b", maps[None, :1]),
    ):  # fmt: skip
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        model.graph.initializer.append(tensor)
    onnx.save(model, path)
    return path


def test_two_outputs_of_an_onnx_file_become_one_engine_with_boxes(tmp_path: Path) -> None:
    spec = drafted(perfect_east(tmp_path / "east.onnx"))
    assert isinstance(spec.output, EastOutput)
    assert (spec.output.name, spec.output.geometry) == ("score + geometry", "rbox")
    assert spec.accuracy.max_difference > 0.001  # the geometry is in pixels
    (result,) = build(fp32_request(generous(spec), tmp_path / "b"))
    assert result.bundle is not None, result.error
    with Engine.from_bundle(result.bundle) as engine:
        image = np.zeros((*SIZE, 3), np.uint8)
        quads, _ = detect(engine, image)
        assert len(quads) == len(QUADS)
        assert min(matches(quads, QUADS)) > 0.98
        # In tiles, each of which returns the same maps.
        (tiled, _), _ = detect_at_scales(engine, cv2.resize(image, (960, 704)), max_shrink=1.0)
        assert len(tiled) >= len(QUADS)


def test_a_preset_decides_and_other_outputs_stay_alone(tmp_path: Path) -> None:
    path = perfect_east(tmp_path / "east.onnx")
    assert isinstance(drafted(path, "east").output, EastOutput)
    alone = drafted(path, "ppocr").output
    assert isinstance(alone, EastOutput)  # the outputs show the family
    source = open_source(SourceSpec(path=path))
    with pytest.raises(InputFileError, match=r"'scores'.*geometry, score"):
        source.to_onnx("image", (1, 3, *SIZE), "scores + geometry")
    plain = spec_from_dict({**drafted(path).model_dump(), "output": {"name": "score"}})
    assert isinstance(plain.output, MapOutput)
    assert convert(source, plain).model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 1


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(1, 16, 24, 1), (1, 16, 24, 5)], -1),
        ([(1, 1, 160, 160), (1, 5, 160, 160)], 1),
        ([(None, None, None, 1), (None, None, None, 1)], -1),
        ([(None, 1, None, None), (None, 1, None, None)], 1),
        ([None, None], 7),
    ],
)
def test_axis_of_the_channels(shapes: Any, axis: int) -> None:
    assert channel_axis(shapes, default=7) == axis


@pytest.fixture(scope="module")
def east() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    image = keras.Input((64, 96, 3), name="image")
    x = keras.layers.Conv2D(8, 4, strides=4, activation="relu")(image)
    score = keras.layers.Conv2D(1, 1, activation="sigmoid", name="pred_score_map")(x)
    sides = keras.layers.Conv2D(4, 1, activation="sigmoid")(x)
    angle = keras.layers.Conv2D(1, 1, activation="tanh")(x)
    geometry = keras.layers.Concatenate(name="pred_geo_map")([sides, angle])
    return keras.Model(image, [score, geometry])


def write(model: Any, path: Path) -> Path:
    import tensorflow as tf

    if path.suffix == ".keras":
        model.save(path)
    elif path.suffix == ".pb":
        from tensorflow.python.framework import convert_to_constants

        call = tf.function(lambda image: model(image, training=False))
        traced = call.get_concrete_function(tf.TensorSpec((None, 64, 96, 3), name="image"))
        frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    elif path.suffix == ".tflite":
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    else:
        model.export(path, verbose=False)
    return path


@pytest.mark.parametrize("name", ["m.keras", "saved", "m.pb", "m.tflite"])
def test_every_format_joins_its_outputs(east: Any, tmp_path: Path, name: str) -> None:
    spec = drafted(write(east, tmp_path / name))
    assert isinstance(spec.output, EastOutput)
    assert spec.output.name.count(" + ") == 1
    assert spec.output.geometry_scale == 512  # distances from 0 to 1
    source = open_source(spec.source)
    images = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    model = baseline_runner(source, spec, spec.input.size)
    graph = runner_from_model(convert(source, spec).model, label="graph", max_batch=1)
    expected = [np.asarray(each) for each in east(images.transpose(0, 2, 3, 1), training=False)]
    joined = np.concatenate(expected, -1).transpose(0, 3, 1, 2)
    for runner in (model, graph):
        np.testing.assert_allclose(runner.run(images), joined, atol=1e-5)


def test_craft_with_two_outputs_or_one(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    image = keras.Input((64, 96, 3), name="image")
    x = keras.layers.Conv2D(8, 2, strides=2, activation="relu")(image)
    maps = [keras.layers.Conv2D(1, 1, name=name)(x) for name in ("region", "affinity")]
    for outputs, name in (
        (maps, "region + affinity"),
        (keras.layers.Concatenate(name="both")(maps), "both"),
    ):
        spec = drafted(write(keras.Model(image, outputs), tmp_path / "craft.keras"), "craft")
        assert isinstance(spec.output, CraftOutput)
        assert (spec.output.name, spec.boxes.link_threshold) == (name, 0.4)
    missing = spec.model_copy(update={"output": CraftOutput(family="craft", name="region")})
    with pytest.raises(SpecError, match="affinity"):
        (result,) = build(fp32_request(generous(missing), tmp_path / "b"))
        assert result.error is not None
        raise result.error
